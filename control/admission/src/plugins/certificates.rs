//! Certificate requests: who may approve, who may sign for which signer (those of pods too), and what no signer of the API's clients signs
//! (plugin/pkg/admission/certificates, v1.35).

use crate::chain::Plugin;
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use sampan_api::admission::{Attributes, Operation};
use sampan_api::field::{FieldError, FieldErrors, Path, go_quote};
use sampan_api::user::{self, GROUP_MASTERS};
use sampan_api::{Authorizer, GroupKind, Object, Status};
use std::sync::Arc;

const GROUP: &str = "certificates.k8s.io";
const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";

fn is_about(attributes: &Attributes<'_>, subresource: &str) -> bool {
    let resource = (attributes.resource.group.as_str(), attributes.resource.resource.as_str());
    resource == (GROUP, "certificatesigningrequests") && attributes.subresource == subresource
}

fn signer(request: &Object) -> &str {
    request.get_str(&["spec", "signerName"]).unwrap_or_default()
}

/// Whether the user may do `verb` for the signer, by its name or by `<domain>/*`.
async fn may(authorizer: &dyn Authorizer, attributes: &Attributes<'_>, verb: &str, signer: &str) -> bool {
    let domain = signer.split('/').next().unwrap_or_default();
    for name in [signer.to_owned(), format!("{domain}/*")] {
        let asked = user::Attributes {
            user: attributes.user.clone().into(),
            verb: verb.into(),
            group: GROUP.into(),
            version: "*".into(),
            resource: "signers".into(),
            name,
            resource_request: true,
            ..user::Attributes::default()
        };
        if authorizer.authorize(&asked).await.allowed() {
            return true;
        }
    }
    false
}

/// The signer of the request as it is stored: what an update names in its place counts for nothing.
fn stored<'a>(attributes: &Attributes<'a>) -> Result<&'a Object, Status> {
    attributes.old.ok_or_else(|| attributes.forbidden("expected type CertificateSigningRequest, got: <nil>"))
}

/// Kubernetes' CertificateApproval plugin.
pub struct CertificateApproval {
    authorizer: Arc<dyn Authorizer>,
}

impl CertificateApproval {
    /// `authorizer` decides who may `approve` for a signer.
    pub fn new(authorizer: Arc<dyn Authorizer>) -> Self {
        Self { authorizer }
    }
}

#[async_trait]
impl Plugin for CertificateApproval {
    fn name(&self) -> &'static str {
        "CertificateApproval"
    }

    async fn validate(&self, attributes: &Attributes<'_>, _: Option<&Object>) -> Result<(), Status> {
        if attributes.operation != Operation::Update || !is_about(attributes, "approval") {
            return Ok(());
        }
        let signer = signer(stored(attributes)?);
        if may(&*self.authorizer, attributes, "approve", signer).await {
            return Ok(());
        }
        let why = format!("user not permitted to approve requests with signerName {}", go_quote(signer));
        Err(attributes.forbidden(&why))
    }
}

/// Kubernetes' ClusterTrustBundleAttest plugin.
pub struct ClusterTrustBundleAttest {
    authorizer: Arc<dyn Authorizer>,
}

impl ClusterTrustBundleAttest {
    /// `authorizer` decides who may `attest` for a signer.
    pub fn new(authorizer: Arc<dyn Authorizer>) -> Self {
        Self { authorizer }
    }
}

/// Whether nothing but finalizers, owners and their bookkeeping differ: a garbage collector's write.
fn only_collects(new: &Object, old: &Object) -> bool {
    let rest = |object: &Object| {
        let mut rest = object.clone();
        for name in ["finalizers", "ownerReferences", "managedFields", "resourceVersion"] {
            rest.remove(&["metadata", name]);
        }
        rest.to_value()
    };
    rest(new) == rest(old)
}

#[async_trait]
impl Plugin for ClusterTrustBundleAttest {
    fn name(&self) -> &'static str {
        "ClusterTrustBundleAttest"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        let resource = (attributes.resource.group.as_str(), attributes.resource.resource.as_str());
        let written = matches!(attributes.operation, Operation::Create | Operation::Update);
        written && resource == (GROUP, "clustertrustbundles")
    }

    async fn validate(&self, attributes: &Attributes<'_>, object: Option<&Object>) -> Result<(), Status> {
        // A change of the signer is refused by the kind's own rules: the new object says which one it is.
        let Some(bundle) = object.filter(|bundle| !signer(bundle).is_empty()) else { return Ok(()) };
        if attributes.old.is_some_and(|old| only_collects(bundle, old)) {
            return Ok(());
        }
        let signer = signer(bundle);
        if may(&*self.authorizer, attributes, "attest", signer).await {
            return Ok(());
        }
        Err(attributes.forbidden(&format!("user not permitted to attest for signerName {}", go_quote(signer))))
    }
}

/// Kubernetes' CertificateSigning plugin.
pub struct CertificateSigning {
    authorizer: Arc<dyn Authorizer>,
}

impl CertificateSigning {
    /// `authorizer` decides who may `sign` for a signer.
    pub fn new(authorizer: Arc<dyn Authorizer>) -> Self {
        Self { authorizer }
    }
}

#[async_trait]
impl Plugin for CertificateSigning {
    fn name(&self) -> &'static str {
        "CertificateSigning"
    }

    async fn validate(&self, attributes: &Attributes<'_>, object: Option<&Object>) -> Result<(), Status> {
        if attributes.operation != Operation::Update || !is_about(attributes, "status") {
            return Ok(());
        }
        let old = stored(attributes)?;
        let same = |field: &str| {
            let of = |request: &Object| {
                request
                    .get(&["status", field])
                    .filter(|value| !value.is_null() && **value != serde_json::json!([]))
                    .cloned()
            };
            object.is_some_and(|new| of(new) == of(old))
        };
        if same("certificate") && same("conditions") {
            return Ok(());
        }
        let signer = signer(old);
        if may(&*self.authorizer, attributes, "sign", signer).await {
            return Ok(());
        }
        Err(attributes.forbidden(&format!("user not permitted to sign requests with signerName {}", go_quote(signer))))
    }
}

/// The check of whoever decides on a PodCertificateRequest, which Kubernetes' storage makes (StatusStrategy of
/// pkg/registry/certificates/podcertificaterequest): no plugin that could be turned off.
pub(crate) struct PodCertificateSigning {
    authorizer: Arc<dyn Authorizer>,
}

impl PodCertificateSigning {
    /// `authorizer` decides who may `sign` for a signer.
    pub(crate) fn new(authorizer: Arc<dyn Authorizer>) -> Self {
        Self { authorizer }
    }
}

#[async_trait]
impl Plugin for PodCertificateSigning {
    fn name(&self) -> &'static str {
        "PodCertificateSigning"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        let resource = (attributes.resource.group.as_str(), attributes.resource.resource.as_str());
        let update = attributes.operation == Operation::Update && attributes.subresource == "status";
        update && resource == (GROUP, "podcertificaterequests")
    }

    async fn validate(&self, attributes: &Attributes<'_>, object: Option<&Object>) -> Result<(), Status> {
        let old = stored(attributes)?;
        let Some(request) = object else { return Ok(()) };
        let told =
            |request: &Object| request.get(&["status"]).filter(|status| **status != serde_json::json!({})).cloned();
        if told(request) == told(old) {
            return Ok(());
        }
        let signer = signer(old);
        if may(&*self.authorizer, attributes, "sign", signer).await {
            return Ok(());
        }
        let (user, signer) = (go_quote(&attributes.user.name), go_quote(signer));
        let why = format!("User {user} is not permitted to \"sign\" for signer {signer}");
        let path = Path::root().child("spec").child("signerName");
        let errors = FieldErrors::from_iter([FieldError::forbidden(&path, why)]);
        let kind = GroupKind::new(GROUP, "PodCertificateRequest");
        Err(Status::invalid(&kind, attributes.name, &errors))
    }
}

/// Kubernetes' CertificateSubjectRestriction plugin: no certificate makes its bearer a member of `system:masters`.
pub struct CertificateSubjectRestriction;

#[async_trait]
impl Plugin for CertificateSubjectRestriction {
    fn name(&self) -> &'static str {
        "CertificateSubjectRestriction"
    }

    async fn validate(&self, attributes: &Attributes<'_>, object: Option<&Object>) -> Result<(), Status> {
        let Some(request) = object else { return Ok(()) };
        let created = attributes.operation == Operation::Create && is_about(attributes, "");
        if !created || signer(request) != CLIENT_SIGNER {
            return Ok(());
        }
        let failed = |why: String| attributes.forbidden(&format!("failed to parse CSR: {why}"));
        let pem = BASE64.decode(request.get_str(&["spec", "request"]).unwrap_or_default());
        let pem = pem.map_err(|error| failed(error.to_string()))?;
        let asked = sampan_auth::signing::read(&pem).map_err(failed)?;
        if asked.organizations.iter().any(|group| group == GROUP_MASTERS) {
            let why = format!("use of {CLIENT_SIGNER} signer with {GROUP_MASTERS} group is not allowed");
            return Err(attributes.forbidden(&why));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::future::{BoxFuture, FutureExt};
    use sampan_api::GroupVersionResource;
    use sampan_api::admission::{NoKinds, Warnings};
    use sampan_api::user::{Decision, UserInfo};
    use serde_json::{Value, json};

    /// Allows these names to everybody.
    struct Signers(Vec<(&'static str, &'static str)>);

    impl Authorizer for Signers {
        fn authorize<'a>(&'a self, asked: &'a user::Attributes) -> BoxFuture<'a, Decision> {
            let allowed = asked.resource == "signers" && self.0.contains(&(asked.verb.as_str(), asked.name.as_str()));
            let decision = if allowed { Decision::allow("") } else { Decision::no_opinion("") };
            std::future::ready(decision).boxed()
        }
    }

    fn request(spec: Value, status: Value) -> Object {
        let value =
            json!({"kind": "CertificateSigningRequest", "metadata": {"name": "r"}, "spec": spec, "status": status});
        Object::from_value(value).expect("a request")
    }

    async fn told(
        plugin: &dyn Plugin,
        operation: Operation,
        subresource: &str,
        old: Option<&Object>,
        new: &Object,
    ) -> String {
        let resource = GroupVersionResource::new(GROUP, "v1", "certificatesigningrequests");
        told_of(plugin, &resource, operation, subresource, old, new).await
    }

    async fn told_of(
        plugin: &dyn Plugin,
        resource: &GroupVersionResource,
        operation: Operation,
        subresource: &str,
        old: Option<&Object>,
        new: &Object,
    ) -> String {
        let (user, warnings) = (UserInfo::new("alice", ["dev"]), Warnings::default());
        let attributes = Attributes {
            operation,
            resource,
            subresource,
            namespace: "",
            name: "r",
            user: &user,
            dry_run: false,
            options: &Value::Null,
            old,
            warnings: &warnings,
            kinds: &NoKinds,
            annotations: None,
        };
        if !plugin.concerns(&attributes) {
            return String::new();
        }
        plugin.validate(&attributes, Some(new)).await.err().map_or_else(String::new, |status| status.message)
    }

    #[tokio::test]
    async fn approving_and_signing_need_the_right_on_the_stored_signer() {
        let signer = |name: &str| json!({"signerName": name});
        let old = request(signer("a.io/one"), json!({}));
        let approved = request(signer("b.io/two"), json!({"conditions": [{"type": "Approved"}]}));
        let check = async |rights: Vec<(&'static str, &'static str)>, approval: bool, expected: &str| {
            let authorizer = Arc::new(Signers(rights));
            let found = if approval {
                told(&CertificateApproval::new(authorizer), Operation::Update, "approval", Some(&old), &approved).await
            } else {
                told(&CertificateSigning::new(authorizer), Operation::Update, "status", Some(&old), &approved).await
            };
            let intro = "certificatesigningrequests.certificates.k8s.io \"r\" is forbidden: ";
            assert_eq!(found, if expected.is_empty() { String::new() } else { format!("{intro}{expected}") });
        };
        let no_approval = "user not permitted to approve requests with signerName \"a.io/one\"";
        check(vec![("approve", "a.io/one")], true, "").await;
        check(vec![("approve", "a.io/*")], true, "").await;
        check(vec![("approve", "b.io/two"), ("sign", "a.io/one")], true, no_approval).await;
        check(vec![("sign", "a.io/one")], false, "").await;
        check(vec![("approve", "a.io/one")], false, "user not permitted to sign requests with signerName \"a.io/one\"")
            .await;
        let nobody = CertificateSigning::new(Arc::new(Signers(Vec::new())));
        assert_eq!(told(&nobody, Operation::Update, "status", Some(&old), &old).await, "", "nothing is signed");
        assert_eq!(told(&nobody, Operation::Update, "", Some(&old), &approved).await, "");
    }

    #[tokio::test]
    async fn whoever_decides_on_the_certificate_of_a_pod_signs_for_its_signer() {
        let decided = json!({"conditions": [{"type": "Denied"}]});
        let check = async |rights: Vec<(&'static str, &'static str)>,
                           subresource: &str,
                           status: Value,
                           expected: &str| {
            let (old, new) = (request(json!({"signerName": "a.io/one"}), json!({})), json!({"signerName": "b.io/two"}));
            let resource = GroupVersionResource::new(GROUP, "v1beta1", "podcertificaterequests");
            let plugin = PodCertificateSigning::new(Arc::new(Signers(rights)));
            let found =
                told_of(&plugin, &resource, Operation::Update, subresource, Some(&old), &request(new, status)).await;
            assert_eq!(found, expected);
        };
        let refused = "PodCertificateRequest.certificates.k8s.io \"r\" is invalid: spec.signerName: Forbidden: User \"alice\" is \
            not permitted to \"sign\" for signer \"a.io/one\"";
        check(vec![("sign", "b.io/two"), ("approve", "a.io/one")], "status", decided.clone(), refused).await;
        check(vec![("sign", "a.io/one")], "status", decided.clone(), "").await;
        check(vec![("sign", "a.io/*")], "status", decided.clone(), "").await;
        check(vec![], "status", json!({}), "").await;
        check(vec![], "", decided, "").await;
    }

    #[tokio::test]
    async fn nobody_asks_for_a_certificate_of_the_masters() {
        let asked = |group: &str, signer: &str| {
            let mut params = rcgen::CertificateParams::default();
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(rcgen::DnType::OrganizationName, group);
            let key = rcgen::KeyPair::generate().expect("a key");
            let pem = params.serialize_request(&key).expect("a request").pem().expect("PEM");
            request(json!({"signerName": signer, "request": BASE64.encode(pem)}), json!({}))
        };
        let check = async |group: &str, signer: &str, refused: bool| {
            let plugin = CertificateSubjectRestriction;
            let found = told(&plugin, Operation::Create, "", None, &asked(group, signer)).await;
            let why = "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed";
            assert_eq!(found.ends_with(why), refused, "{group} {signer}: {found:?}");
            assert_eq!(found.is_empty(), !refused, "{found:?}");
        };
        check("system:masters", CLIENT_SIGNER, true).await;
        check("dev", CLIENT_SIGNER, false).await;
        check("system:masters", "example.com/own", false).await;
    }
}
