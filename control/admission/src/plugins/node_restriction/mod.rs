//! The limits of a node's writes (k8s.io/kubernetes/plugin/pkg/admission/noderestriction, v1.35, with its messages):
//! its own Node without what steers others' workloads to it, the status and the end of its own pods, tokens for them,
//! its own lease, CSINode, resource slices and certificate requests, and those for its pods.

mod node;
mod pod_certificates;
mod pods;
#[cfg(test)]
mod tests;
mod token;

use crate::chain::Plugin;
use async_trait::async_trait;
use sampan_api::admission::{Attributes, Mutated, Operation};
use sampan_api::field::go_quote;
use sampan_api::{Authorizer, Object, Status};
use sampan_auth::node::{LEASE_NAMESPACE, node_name};
use sampan_client::Client;
use serde_json::{Map, Value};
use std::sync::Arc;

/// The plugin. As in Kubernetes it looks at what the client sent, before strategies take away what may not change, so that
/// a node is told instead of ignored.
pub struct NodeRestriction {
    /// Reads as `system:apiserver`.
    client: Client,
    authorizer: Arc<dyn Authorizer>,
}

impl NodeRestriction {
    /// `client` should read as `system:apiserver`; `authorizer` says which audiences a node may have tokens for beside
    /// those that its pods name.
    pub fn new(client: Client, authorizer: Arc<dyn Authorizer>) -> Self {
        Self { client, authorizer }
    }

    async fn admit(&self, attributes: &Attributes<'_>, object: Option<&Object>) -> Result<(), Status> {
        let Some(node) = node_name(attributes.user) else { return Ok(()) };
        if node.is_empty() {
            let user = go_quote(&attributes.user.name);
            return Err(attributes.forbidden(&format!("could not determine node from user {user}")));
        }
        let write = Write { node, attributes, object };
        match (attributes.resource.group.as_str(), attributes.resource.resource.as_str()) {
            ("", "pods") => match attributes.subresource {
                "" => pods::pod(&write, &self.client).await,
                "status" => pods::status(&write),
                "eviction" => pods::eviction(&write, &self.client).await,
                other => Err(attributes.forbidden(&format!(
                    "unexpected pod subresource {}, only 'status' and 'eviction' are allowed",
                    go_quote(other)
                ))),
            },
            ("", "nodes") => node::node(&write),
            ("", "persistentvolumeclaims") if attributes.subresource == "status" => claim_status(&write),
            ("", "persistentvolumeclaims") => Err(attributes.forbidden("may only update PVC status")),
            ("", "serviceaccounts") => token::token(&write, &self.client, &*self.authorizer).await,
            ("coordination.k8s.io", "leases") => lease(&write),
            ("storage.k8s.io", "csinodes") => csi_node(&write),
            ("resource.k8s.io", "resourceslices") => resource_slice(&write),
            ("certificates.k8s.io", "certificatesigningrequests") => node::certificate_request(&write),
            ("certificates.k8s.io", "podcertificaterequests") => pod_certificates::request(&write, &self.client).await,
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Plugin for NodeRestriction {
    fn name(&self) -> &'static str {
        "NodeRestriction"
    }

    async fn mutate(&self, attributes: &Attributes<'_>, object: &mut Object) -> Result<Mutated, Status> {
        self.admit(attributes, Some(object)).await.map(|()| Mutated::No)
    }

    async fn admit_deletion(&self, attributes: &Attributes<'_>) -> Result<(), Status> {
        self.admit(attributes, None).await
    }
}

/// One write of a node that has a name.
struct Write<'a> {
    node: &'a str,
    attributes: &'a Attributes<'a>,
    /// The object that was sent; `None` for deletions.
    object: Option<&'a Object>,
}

impl Write<'_> {
    fn forbidden(&self, why: &str) -> Status {
        self.attributes.forbidden(why)
    }

    /// `node "n1" <what>`.
    fn node_may_not(&self, what: &str) -> Status {
        self.forbidden(&format!("node {} {what}", go_quote(self.node)))
    }

    /// The object that was sent.
    fn sent(&self) -> Result<&Object, Status> {
        self.object.ok_or_else(|| self.forbidden("unexpected type <nil>"))
    }

    /// The object as it is stored.
    fn stored(&self) -> Result<&Object, Status> {
        self.attributes.old.ok_or_else(|| self.forbidden("unexpected type <nil>"))
    }

    fn operation(&self) -> Operation {
        self.attributes.operation
    }

    /// The name of the request, or of what is created.
    fn name(&self) -> &str {
        match self.object {
            Some(object) if self.operation() == Operation::Create => object.name(),
            _ => self.attributes.name,
        }
    }

    fn unexpected_operation(&self) -> Status {
        self.forbidden(&format!("unexpected operation {}", go_quote(&self.operation().to_string())))
    }
}

fn lease(write: &Write<'_>) -> Result<(), Status> {
    if write.attributes.namespace != LEASE_NAMESPACE {
        let namespace = go_quote(LEASE_NAMESPACE);
        return Err(write.forbidden(&format!("can only access leases in the {namespace} system namespace")));
    }
    if write.name() != write.node {
        return Err(write.forbidden("can only access node lease with the same name as the requesting node"));
    }
    Ok(())
}

fn csi_node(write: &Write<'_>) -> Result<(), Status> {
    if write.name() != write.node {
        return Err(write.forbidden("can only access CSINode with the same name as the requesting node"));
    }
    Ok(())
}

/// The authorizer knows neither what is created nor what is in a collection that is deleted.
fn resource_slice(write: &Write<'_>) -> Result<(), Status> {
    let (slice, doing) = match write.operation() {
        Operation::Create => (write.sent()?, "create"),
        Operation::Delete => (write.stored()?, "delete"),
        _ => return Ok(()),
    };
    if slice.get_str(&["spec", "nodeName"]) != Some(write.node) {
        let why = format!("can only {doing} ResourceSlice with the same NodeName as the requesting node");
        return Err(write.forbidden(&why));
    }
    Ok(())
}

/// Fields that a node may change in the status of a claim.
const CLAIM_STATUS: [&str; 4] = ["capacity", "conditions", "allocatedResourceStatuses", "allocatedResources"];

fn claim_status(write: &Write<'_>) -> Result<(), Status> {
    if write.operation() != Operation::Update {
        return Err(write.unexpected_operation());
    }
    let comparable = |claim: &Object| {
        let mut claim = claim.clone();
        for field in CLAIM_STATUS {
            claim.remove(&["status", field]);
        }
        // An update without a version is unconditional; who owns a field follows from what is written.
        for field in ["resourceVersion", "managedFields"] {
            claim.remove(&["metadata", field]);
        }
        without_empty(claim.into_value())
    };
    if comparable(write.stored()?) != comparable(write.sent()?) {
        return Err(
            write.node_may_not("is not allowed to update fields other than status.quantity and status.conditions")
        );
    }
    Ok(())
}

/// The value without what is null or empty, which Go's semantic equality does not tell from what is absent.
fn without_empty(value: Value) -> Value {
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    };
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| (name, without_empty(value)));
            Value::Object(fields.filter(|(_, value)| !is_empty(value)).collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_empty).collect()),
        other => other,
    }
}

/// Whether two objects say the same at a path.
fn same(a: &Object, b: &Object, path: &[&str]) -> bool {
    let of = |object: &Object| without_empty(object.get(path).cloned().unwrap_or_default());
    let (a, b) = (of(a), of(b));
    let nothing = |value: &Value| {
        matches!(value, Value::Null) || *value == Value::Array(Vec::new()) || *value == Value::Object(Map::new())
    };
    a == b || (nothing(&a) && nothing(&b))
}
