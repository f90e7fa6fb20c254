//! What a node may do: its own Node, its own pods, its own lease, and nothing else (the part of Kubernetes' Node
//! authorizer that needs no graph: objects that a node's pods refer to, such as secrets, are not granted until the node
//! mounts them).

use futures::future::{BoxFuture, FutureExt};
use sampan_api::k8s::api::core::v1::Pod;
use sampan_api::selector::FieldSelector;
use sampan_api::user::{Attributes, Authorizer, Decision, GROUP_NODES};
use sampan_client::Client;

/// Looks up where a pod is bound that a node asks for by its name.
#[derive(Clone)]
pub struct NodeAuthorizer {
    client: Client,
}

impl NodeAuthorizer {
    /// `client` should read as `system:apiserver`.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Whether the pod is the node's. One that does not exist may be asked for: that it is gone is what the node is to
    /// hear, and all that it hears.
    async fn owns_pod(&self, node: &str, a: &Attributes) -> Decision {
        match self.client.namespaced::<Pod>(&a.namespace).get_opt(&a.name).await {
            Ok(None) => Decision::allow(""),
            Ok(Some(pod)) if pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(node) => {
                Decision::allow("")
            }
            Ok(Some(_)) => Decision::no_opinion(format!("no relationship found between node '{node}' and this object")),
            Err(error) => {
                tracing::warn!(%error, node, pod = %a.name, "a pod could not be looked up for its node");
                Decision::no_opinion(format!("node '{node}': the pod could not be looked up"))
            }
        }
    }
}

const USER_PREFIX: &str = "system:node:";

/// The node that a user is; `None` for everyone else.
pub fn node_name(user: &sampan_api::UserInfo) -> Option<&str> {
    user.name.strip_prefix(USER_PREFIX).filter(|_| user.in_group(GROUP_NODES))
}

fn decide(node: &str, a: &Attributes) -> Decision {
    let verb = a.verb.as_str();
    let one_of = |verbs: &[&str]| verbs.contains(&verb);
    let own = a.name == node;
    let allowed = match (a.group.as_str(), a.resource.as_str(), a.subresource.as_str()) {
        ("", "nodes", "") => {
            verb == "create" || (own && one_of(&["get", "update", "patch"])) || own_list(node, a, "metadata.name")
        }
        ("", "nodes", "status") => own && one_of(&["update", "patch"]),
        // Whose pod is deleted or written admission's NodeRestriction sees; a read is looked up: see `owns_pod`.
        ("", "pods", "") => verb == "delete" || own_list(node, a, "spec.nodeName"),
        ("", "pods", "status") => one_of(&["update", "patch"]),
        ("", "events", "") => one_of(&["create", "patch", "update"]),
        ("coordination.k8s.io", "leases", "") => {
            a.namespace == "kube-node-lease"
                && (verb == "create" || own)
                && one_of(&["create", "get", "update", "patch", "delete"])
        }
        ("node.k8s.io", "runtimeclasses", "") | ("", "services" | "namespaces", "") => {
            one_of(&["get", "list", "watch"])
        }
        _ => false,
    };
    if allowed { Decision::allow("") } else { Decision::no_opinion(format!("node '{node}' may not do this")) }
}

fn reads_pod(a: &Attributes) -> bool {
    (a.group.as_str(), a.resource.as_str(), a.subresource.as_str()) == ("", "pods", "") && a.verb == "get"
}

/// A list or watch that is confined to the node by a field selector.
fn own_list(node: &str, a: &Attributes, field: &str) -> bool {
    let confined =
        || FieldSelector::parse(&a.field_selector).is_ok_and(|selector| selector.required_value(field) == Some(node));
    matches!(a.verb.as_str(), "list" | "watch") && confined()
}

impl Authorizer for NodeAuthorizer {
    fn authorize<'a>(&'a self, attributes: &'a Attributes) -> BoxFuture<'a, Decision> {
        let decision = match node_name(&attributes.user) {
            Some(node) if attributes.resource_request && reads_pod(attributes) => {
                return self.owns_pod(node, attributes).boxed();
            }
            Some(node) if attributes.resource_request => decide(node, attributes),
            _ => Decision::no_opinion(""),
        };
        std::future::ready(decision).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Request, Response};
    use sampan_api::user::UserInfo;
    use sampan_client::{ApiService, Body, full};
    use sampan_env::Env;
    use serde_json::json;

    /// A server with the pods `mine` (bound to n1), `theirs` (to n2) and `unbound`; `broken` cannot be read.
    fn authorizer() -> NodeAuthorizer {
        let service = tower::service_fn(async |request: Request<Body>| {
            let name = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
            let (code, node) = match name.as_str() {
                "mine" => (200, Some("n1")),
                "theirs" => (200, Some("n2")),
                "unbound" => (200, None),
                "broken" => (500, None),
                _ => (404, None),
            };
            let pod = json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [], "nodeName": node},
            });
            let status = json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code});
            let body = if code == 200 { pod } else { status };
            let response = Response::builder().status(code).header("content-type", "application/json");
            Ok(response.body(full(body.to_string())).expect("an answer"))
        });
        let service = ApiService::new(tower::util::MapFuture::new(service, |future| {
            let future: BoxFuture<'static, _> = Box::pin(future);
            future
        }));
        NodeAuthorizer::new(Client::in_process(service, UserInfo::apiserver(), "test", &Env::system()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_has_what_is_its_own() {
        let authorizer = authorizer();
        let check = async |allowed: bool, verb: &str, resource: &str, name: &str, field_selector: &str| {
            let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
            let (group, resource) = resource.split_once(':').unwrap_or(("", resource));
            let attributes = Attributes {
                user: UserInfo::node("n1"),
                verb: verb.into(),
                group: group.into(),
                resource: resource.into(),
                subresource: subresource.into(),
                name: name.into(),
                namespace: "kube-node-lease".into(),
                field_selector: field_selector.into(),
                resource_request: true,
                ..Attributes::default()
            };
            let decision = authorizer.authorize(&attributes).await;
            assert_eq!(decision.allowed(), allowed, "{verb} {resource}/{subresource} {name} {field_selector}");
        };
        check(true, "create", "nodes", "", "").await;
        check(true, "patch", "nodes/status", "n1", "").await;
        check(false, "patch", "nodes/status", "n2", "").await;
        check(false, "delete", "nodes", "n1", "").await;
        check(true, "watch", "pods", "", "spec.nodeName=n1").await;
        check(false, "watch", "pods", "", "spec.nodeName=n2").await;
        check(false, "list", "pods", "", "").await;
        check(false, "create", "pods", "", "").await;
        check(true, "get", "pods", "mine", "").await;
        check(false, "get", "pods", "theirs", "").await;
        check(false, "get", "pods", "unbound", "").await;
        check(false, "get", "pods", "broken", "").await;
        check(true, "get", "pods", "gone", "").await;
        check(false, "get", "pods/log", "mine", "").await;
        check(false, "get", "secrets", "s", "").await;
        check(true, "update", "coordination.k8s.io:leases", "n1", "").await;
        check(false, "update", "coordination.k8s.io:leases", "n2", "").await;
    }
}
