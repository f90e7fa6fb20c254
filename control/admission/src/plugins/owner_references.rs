//! Who makes an object another's, or keeps the other from going with it, must have the right to do that by other means
//! (plugin/pkg/admission/gc).

use crate::chain::Plugin;
use async_trait::async_trait;
use parking_lot::Mutex;
use sampan_api::admission::{Attributes, Operation};
use sampan_api::meta::{GroupVersion, GroupVersionKind};
use sampan_api::{Authorizer, Object, Status, user};
use sampan_client::{ApiResource, Client, Discovery};
use serde_json::Value;
use std::sync::Arc;

/// The plugin.
pub struct OwnerReferencesPermissionEnforcement {
    authorizer: Arc<dyn Authorizer>,
    client: Client,
    /// Read anew where it does not know a kind.
    discovery: Mutex<Arc<Discovery>>,
}

fn references(object: &Object) -> &[Value] {
    object.get(&["metadata", "ownerReferences"]).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn blocks(reference: &Value) -> bool {
    reference["blockOwnerDeletion"] == true
}

/// References that keep their owners, which did not before.
fn newly_blocking<'a>(object: &'a Object, old: Option<&Object>) -> Vec<&'a Value> {
    let before: Vec<&Value> = old.into_iter().flat_map(references).filter(|one| blocks(one)).collect();
    let known = |one: &Value| before.iter().any(|old| old["uid"] == one["uid"]);
    references(object).iter().filter(|one| blocks(one) && !known(one)).collect()
}

impl OwnerReferencesPermissionEnforcement {
    /// `client` finds the resources of owners' kinds.
    pub fn new(authorizer: Arc<dyn Authorizer>, client: Client) -> Self {
        Self { authorizer, client, discovery: Mutex::default() }
    }

    /// The resource of a kind.
    async fn resource_of(&self, kind: &GroupVersionKind) -> Result<ApiResource, String> {
        let known = self.discovery.lock().clone();
        if let Some(found) = known.by_kind(kind) {
            return Ok(found.clone());
        }
        let read = Arc::new(self.client.discover().await.map_err(|error| error.to_string())?);
        *self.discovery.lock() = read.clone();
        let found = read.by_kind(kind).cloned();
        let version = GroupVersion::new(kind.group.clone(), kind.version.clone());
        found.ok_or_else(|| format!("no matches for kind {:?} in version {:?}", kind.kind, version.to_string()))
    }

    async fn may_finalize(&self, attributes: &Attributes<'_>, reference: &Value) -> Result<(), Status> {
        let text = |name: &str| reference[name].as_str().unwrap_or_default();
        let unknown = |why: &str| {
            let (version, kind) = (text("apiVersion"), text("kind"));
            attributes.forbidden(&format!(
                "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion {version} Kind {kind}: {why}"
            ))
        };
        let version = GroupVersion::parse(text("apiVersion"))
            .ok_or_else(|| unknown(&format!("unexpected GroupVersion string: {}", text("apiVersion"))))?;
        let resource = self.resource_of(&version.with_kind(text("kind"))).await.map_err(|why| unknown(&why))?;
        let asked = user::Attributes {
            user: Arc::new(attributes.user.clone()),
            verb: "update".into(),
            group: resource.resource.group,
            version: resource.resource.version,
            resource: resource.resource.resource,
            subresource: "finalizers".into(),
            name: text("name").to_owned(),
            namespace: if resource.namespaced { attributes.namespace.to_owned() } else { String::new() },
            resource_request: true,
            ..user::Attributes::default()
        };
        let decision = self.authorizer.authorize(&asked).await;
        if decision.allowed() {
            return Ok(());
        }
        let why = "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on";
        Err(attributes.forbidden(&format!("{why}: {}, <nil>", decision.reason)))
    }
}

#[async_trait]
impl Plugin for OwnerReferencesPermissionEnforcement {
    fn name(&self) -> &'static str {
        "OwnerReferencesPermissionEnforcement"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        // A write to a pod's status keeps the metadata as it was, by its strategy.
        let of_pods = attributes.resource.group.is_empty() && attributes.resource.resource == "pods";
        let kept = of_pods && attributes.subresource == "status";
        matches!(attributes.operation, Operation::Create | Operation::Update) && !kept
    }

    async fn validate(&self, attributes: &Attributes<'_>, object: Option<&Object>) -> Result<(), Status> {
        let Some(object) = object else { return Ok(()) };
        if references(object) == attributes.old.map_or(&[][..], references) {
            return Ok(());
        }
        let user = Arc::new(attributes.user.clone());
        if attributes.operation != Operation::Create {
            let delete = user::Attributes {
                user: user.clone(),
                verb: "delete".into(),
                namespace: attributes.namespace.to_owned(),
                group: attributes.resource.group.clone(),
                version: attributes.resource.version.clone(),
                resource: attributes.resource.resource.clone(),
                subresource: attributes.subresource.to_owned(),
                name: attributes.name.to_owned(),
                resource_request: true,
                ..user::Attributes::default()
            };
            let decision = self.authorizer.authorize(&delete).await;
            if !decision.allowed() {
                let why = "cannot set an ownerRef on a resource you can't delete";
                return Err(attributes.forbidden(&format!("{why}: {}, <nil>", decision.reason)));
            }
        }
        let blocking = newly_blocking(object, attributes.old);
        if blocking.is_empty() {
            return Ok(());
        }
        let any = user::Attributes {
            user,
            verb: "update".into(),
            group: "*".into(),
            version: "*".into(),
            resource: "*".into(),
            subresource: "finalizers".into(),
            name: "*".into(),
            resource_request: true,
            ..user::Attributes::default()
        };
        if self.authorizer.authorize(&any).await.allowed() {
            return Ok(());
        }
        for reference in blocking {
            self.may_finalize(attributes, reference).await?;
        }
        Ok(())
    }
}
