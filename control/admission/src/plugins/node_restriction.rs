use crate::chain::{Operation, Plugin, Request};
use async_trait::async_trait;
use sampan_api::{Object, Status};
use sampan_auth::node::node_name;

/// A node writes only its own pods, Node and lease (Kubernetes' NodeRestriction).
#[derive(Clone, Copy, Debug, Default)]
pub struct NodeRestriction;

#[async_trait]
impl Plugin for NodeRestriction {
    fn name(&self) -> &'static str {
        "NodeRestriction"
    }

    async fn validate(&self, request: &Request<'_>, object: Option<&Object>) -> Result<(), Status> {
        let Some(node) = node_name(request.user) else { return Ok(()) };
        match (request.resource.group.as_str(), request.resource.resource.as_str(), request.subresource) {
            ("", "pods", "" | "status") => {
                let of = request.old.or(object).and_then(|pod| pod.get_str(&["spec", "nodeName"])).unwrap_or_default();
                if of == node {
                    return Ok(());
                }
                let doing = if request.operation == Operation::Delete { "delete" } else { "update status for" };
                Err(request
                    .forbidden(&format!("node \"{node}\" can only {doing} pods with spec.nodeName set to itself")))
            }
            ("", "nodes", _) => {
                let name = if request.name.is_empty() { object.map_or("", Object::name) } else { request.name };
                if name == node {
                    return Ok(());
                }
                Err(request.forbidden(&format!("node \"{node}\" is not allowed to modify node \"{name}\"")))
            }
            ("coordination.k8s.io", "leases", _) => {
                let name = if request.name.is_empty() { object.map_or("", Object::name) } else { request.name };
                if request.namespace == "kube-node-lease" && name == node {
                    return Ok(());
                }
                Err(request.forbidden("can only access node lease with the same name as the requesting node"))
            }
            _ => Ok(()),
        }
    }
}
