//! CertificateSigningRequests: approves the ones of kubelets, signs approved ones of the built-in signers, and cleans up
//! old ones, those of pods too (pkg/controller/certificates).

mod plan;
mod pods;
#[cfg(test)]
mod tests;

pub use plan::{Clean, Signer, approval, clean, judge, lifetime};

use crate::{Context, Error, limits, owner};
use sampan_api::certificate::CertificateAuthority;
use sampan_api::k8s::ByteString;
use sampan_api::k8s::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use sampan_api::k8s::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestCondition};
use sampan_api::{RecordKey, UserInfo};
use sampan_client::{Client, DeleteParams, Lister};
use sampan_env::Env;
use sampan_reconcile::{Reconcile, Requeue, Runtime, time};
use std::sync::Arc;

pub(crate) fn start(context: &Context) -> Result<(), Error> {
    let (env, tasks) = (&context.config.env, &context.config.tasks);
    let requests = context.informers.of::<CertificateSigningRequest>()?;
    let client = context.client(UserInfo::service_account("kube-system", "certificate-controller"), "certificates")?;
    let mut runtime: Runtime = Runtime::new("certificates", env, tasks);
    runtime.watch(&requests);
    let authority = context.config.authority.clone();
    runtime.start(Certificates { requests: requests.lister(), client, authority, env: env.clone() }, limits::WORKERS);
    if context.config.settings.pod_certificate_requests { pods::start(context) } else { Ok(()) }
}

struct Certificates {
    requests: Lister<CertificateSigningRequest>,
    client: Client,
    authority: Arc<dyn CertificateAuthority>,
    env: Env,
}

impl Reconcile for Certificates {
    async fn reconcile(&self, key: &RecordKey) -> Result<Requeue, Error> {
        let Some(request) = self.requests.get("", &key.name) else { return Ok(Requeue::Never) };
        let now = self.env.now();
        let ends = |certificate: &[u8]| self.authority.not_after(certificate);
        let stays = match clean(&request, now, ends) {
            Clean::Delete => {
                let uid = owner::uid(&request.metadata);
                let api = self.client.all::<CertificateSigningRequest>();
                return written(api.delete(&key.name, &DeleteParams::uid(uid)).await.map(drop));
            }
            Clean::After(wait) => wait,
        };
        if let Some(approved) = self.approve(&request).await? {
            let api = self.client.all::<CertificateSigningRequest>();
            let written_so: Result<CertificateSigningRequest, _> =
                api.update_subresource(&key.name, "approval", &approved).await;
            return written(written_so.map(drop));
        }
        if let Some(signed) = self.sign(&request)? {
            let api = self.client.all::<CertificateSigningRequest>();
            return written(api.update_status(&key.name, &signed).await.map(drop));
        }
        Ok(Requeue::After(stays))
    }
}

/// Somebody else was first: the change is a key of its own.
fn written(outcome: sampan_client::Result<()>) -> Result<Requeue, Error> {
    match outcome {
        Err(error) if !(error.is_conflict() || error.is_not_found()) => Err(error.into()),
        _ => Ok(Requeue::Never),
    }
}

impl Certificates {
    /// The request with its approval, where it is of a kubelet that may ask for this certificate. Errors: `NotYet`, where it
    /// is a kubelet's that may not: rights may come (approver/sarapprove.go).
    async fn approve(&self, request: &CertificateSigningRequest) -> Result<Option<CertificateSigningRequest>, Error> {
        let recognized = approval(request, &*self.authority);
        for &(subresource, message) in &recognized {
            if self.may(request, subresource).await? {
                let mut approved = request.clone();
                let condition = CertificateSigningRequestCondition {
                    type_: "Approved".into(),
                    status: "True".into(),
                    reason: Some("AutoApproved".into()),
                    message: Some(message.into()),
                    ..CertificateSigningRequestCondition::default()
                };
                approved.status.get_or_insert_default().conditions.get_or_insert_default().push(condition);
                return Ok(Some(approved));
            }
        }
        if recognized.is_empty() {
            return Ok(None);
        }
        let tried: Vec<&str> = recognized.iter().map(|&(subresource, _)| subresource).collect();
        let name = request.metadata.name.as_deref().unwrap_or_default();
        Err(Error::NotYet(format!("recognized csr {name:?} as {tried:?} but subject access review was not approved")))
    }

    async fn may(&self, request: &CertificateSigningRequest, subresource: &str) -> Result<bool, Error> {
        let spec = &request.spec;
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: spec.username.clone(),
                uid: spec.uid.clone(),
                groups: spec.groups.clone(),
                extra: spec.extra.clone(),
                resource_attributes: Some(ResourceAttributes {
                    group: Some("certificates.k8s.io".into()),
                    resource: Some("certificatesigningrequests".into()),
                    verb: Some("create".into()),
                    subresource: Some(subresource.into()),
                    version: Some("*".into()),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let answer = self.client.all::<SubjectAccessReview>().create(&review).await?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }

    /// The request with its certificate, or with the reason why it cannot have one; `None`: it is not to be signed here.
    fn sign(&self, request: &CertificateSigningRequest) -> Result<Option<CertificateSigningRequest>, Error> {
        let Some(signer) = Signer::of(request) else { return Ok(None) };
        let now = self.env.now();
        let mut signed = request.clone();
        let status = signed.status.get_or_insert_default();
        let spec = &request.spec;
        let problem = |why: String| sampan_client::Error::Config(format!("unable to parse csr: {why}"));
        let asked = self.authority.read(&spec.request.0).map_err(problem)?;
        let usages: Vec<&str> = spec.usages.iter().flatten().map(String::as_str).collect();
        match judge(signer, &asked, &usages) {
            Err(why) => status.conditions.get_or_insert_default().push(CertificateSigningRequestCondition {
                type_: "Failed".into(),
                status: "True".into(),
                reason: Some("SignerValidationFailure".into()),
                message: Some(why),
                last_update_time: Some(time::of(now)),
                ..CertificateSigningRequestCondition::default()
            }),
            Ok(()) => {
                let lasts = lifetime(spec.expiration_seconds);
                let signed = self.authority.sign(&spec.request.0, &usages, lasts, now);
                let refused = |why| sampan_client::Error::Config(format!("error auto signing csr: {why}"));
                status.certificate = Some(ByteString(signed.map_err(refused)?.into_bytes()));
            }
        }
        Ok(Some(signed))
    }
}
