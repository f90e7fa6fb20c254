//! What a node may do: its own Node, its own pods, its own lease, and nothing else (the part of Kubernetes' Node
//! authorizer that needs no graph: objects that a node's pods refer to, such as secrets, are not granted until the node
//! mounts them).

use futures::future::{BoxFuture, FutureExt};
use sampan_api::selector::FieldSelector;
use sampan_api::user::{Attributes, Authorizer, Decision, GROUP_NODES};

#[derive(Clone, Copy, Debug, Default)]
pub struct NodeAuthorizer;

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
        // A pod that is read by its name is checked by what it then may write: admission's NodeRestriction.
        ("", "pods", "") => one_of(&["get", "delete"]) || own_list(node, a, "spec.nodeName"),
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

/// A list or watch that is confined to the node by a field selector.
fn own_list(node: &str, a: &Attributes, field: &str) -> bool {
    let confined =
        || FieldSelector::parse(&a.field_selector).is_ok_and(|selector| selector.required_value(field) == Some(node));
    matches!(a.verb.as_str(), "list" | "watch") && confined()
}

impl Authorizer for NodeAuthorizer {
    fn authorize<'a>(&'a self, attributes: &'a Attributes) -> BoxFuture<'a, Decision> {
        let decision = match node_name(&attributes.user) {
            Some(node) if attributes.resource_request => decide(node, attributes),
            _ => Decision::no_opinion(""),
        };
        std::future::ready(decision).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sampan_api::user::UserInfo;

    #[test]
    fn a_node_has_what_is_its_own() {
        let check = |allowed: bool, verb: &str, resource: &str, name: &str, field_selector: &str| {
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
            let decision = NodeAuthorizer.authorize(&attributes).now_or_never().expect("it waits for nothing");
            assert_eq!(decision.allowed(), allowed, "{verb} {resource}/{subresource} {name} {field_selector}");
        };
        check(true, "create", "nodes", "", "");
        check(true, "patch", "nodes/status", "n1", "");
        check(false, "patch", "nodes/status", "n2", "");
        check(false, "delete", "nodes", "n1", "");
        check(true, "watch", "pods", "", "spec.nodeName=n1");
        check(false, "watch", "pods", "", "spec.nodeName=n2");
        check(false, "list", "pods", "", "");
        check(false, "create", "pods", "", "");
        check(false, "get", "secrets", "s", "");
        check(true, "update", "coordination.k8s.io:leases", "n1", "");
        check(false, "update", "coordination.k8s.io:leases", "n2", "");
    }
}
