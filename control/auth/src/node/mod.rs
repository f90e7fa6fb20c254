//! The rights of a node (k8s.io/kubernetes/plugin/pkg/auth/authorizer/node, v1.35): the rules of the role
//! `system:node`, but where a resource is subdivided: its own Node, its own pods and the objects they refer to, its own
//! lease. Admission's NodeRestriction sees to what only the objects themselves say.

mod known;
mod references;
mod relation;
#[cfg(test)]
mod tests;
mod volumes;

pub use references::{MIRROR_POD, Referred, claim_of, references};
pub use relation::has;

use crate::bootstrap::cluster_role_rules;
use crate::rbac::PolicyRule;
use futures::future::{BoxFuture, FutureExt};
use relation::{Named, Relation, Relations};
use sampan_api::UserInfo;
use sampan_api::field::go_quote;
use sampan_api::selector::FieldSelector;
use sampan_api::user::{Attributes, Authorizer, Decision, GROUP_NODES};
use sampan_client::{Client, Error, Informers};

/// The namespace of the leases by which nodes say that they live.
pub const LEASE_NAMESPACE: &str = "kube-node-lease";
const USER_PREFIX: &str = "system:node:";
const ROLE: &str = "system:node";

/// The node that a user is (k8s.io/kubernetes/pkg/auth/nodeidentifier): `None` for everyone else, `""` for a node
/// without a name, which may do nothing.
pub fn node_name(user: &UserInfo) -> Option<&str> {
    user.name.strip_prefix(USER_PREFIX).filter(|_| user.in_group(GROUP_NODES))
}

/// Authorizes nodes; has no opinion about anybody else.
#[derive(Clone)]
pub struct NodeAuthorizer {
    relations: Relations,
    rules: Vec<PolicyRule>,
}

/// The result of a subdivided resource's rule.
enum Step {
    Allow,
    /// Refused, and why.
    No(String),
    /// Allowed if the object of the request's name is related to the node.
    If(Relation),
}

impl Step {
    fn no(why: impl Into<String>) -> Self {
        Self::No(why.into())
    }
}

impl NodeAuthorizer {
    /// `client` and `informers` should read as `system:apiserver`.
    ///
    /// # Errors
    /// `Config` when there are too many informers.
    pub fn new(client: Client, informers: &Informers) -> Result<Self, Error> {
        Ok(Self { relations: Relations::new(client, informers)?, rules: cluster_role_rules(ROLE) })
    }

    async fn decide(&self, node: &str, a: &Attributes) -> Decision {
        let step = match a.resource_request.then(|| subdivided(node, a)).flatten() {
            Some(step) => step,
            // The resource is not subdivided.
            None if self.rules.iter().any(|rule| rule.allows(a)) => Step::Allow,
            None => Step::no(""),
        };
        match step {
            Step::Allow => Decision::allow(""),
            Step::No(why) => Decision::no_opinion(why),
            Step::If(_) if a.name.is_empty() => Decision::no_opinion("No Object name found"),
            Step::If(relation) => match self.relations.hold(node, relation, &a.namespace, &a.name).await {
                Ok(true) => Decision::allow(""),
                Ok(false) => unrelated(node),
                Err(error) => {
                    tracing::warn!(%error, node, name = %a.name, "an object could not be looked up for its node");
                    unrelated(node)
                }
            },
        }
    }
}

fn unrelated(node: &str) -> Decision {
    Decision::no_opinion(format!("no relationship found between node '{node}' and this object"))
}

impl Authorizer for NodeAuthorizer {
    fn authorize<'a>(&'a self, attributes: &'a Attributes) -> BoxFuture<'a, Decision> {
        match node_name(&attributes.user) {
            None => std::future::ready(Decision::no_opinion("")).boxed(),
            Some("") => {
                let why = format!("unknown node for user {}", go_quote(&attributes.user.name));
                std::future::ready(Decision::no_opinion(why)).boxed()
            }
            Some(node) => self.decide(node, attributes).boxed(),
        }
    }
}

/// The rule of a resource that is not every node's alike; `None` for all others.
fn subdivided(node: &str, a: &Attributes) -> Option<Step> {
    Some(match (a.group.as_str(), a.resource.as_str()) {
        ("", "secrets") => read_namespaced(a, Referred::Secret),
        ("", "configmaps") => read_namespaced(a, Referred::ConfigMap),
        ("", "persistentvolumeclaims") if a.subresource == "status" => match a.verb.as_str() {
            "update" | "patch" => Step::If(Relation::ByPods(Referred::PersistentVolumeClaim)),
            _ => Step::no("can only get/update/patch this type"),
        },
        ("", "persistentvolumeclaims") => get(a, Relation::ByPods(Referred::PersistentVolumeClaim)),
        ("", "persistentvolumes") => get(a, Relation::ByClaim),
        ("resource.k8s.io", "resourceclaims") => get(a, Relation::ByPods(Referred::ResourceClaim)),
        ("storage.k8s.io", "volumeattachments") => get(a, Relation::Names(Named::VolumeAttachment)),
        ("", "serviceaccounts") => service_account(a),
        ("coordination.k8s.io", "leases") => lease(node, a),
        ("storage.k8s.io", "csinodes") => csi_node(node, a),
        ("resource.k8s.io", "resourceslices") => resource_slice(node, a),
        ("certificates.k8s.io", "podcertificaterequests") => pod_certificate_request(node, a),
        ("", "nodes") => own_node(node, a),
        ("", "pods") => pod(node, a),
        _ => return None,
    })
}

fn get(a: &Attributes, relation: Relation) -> Step {
    if a.verb != "get" {
        Step::no("can only get individual resources of this type")
    } else if !a.subresource.is_empty() {
        Step::no("cannot get subresource")
    } else {
        Step::If(relation)
    }
}

fn read_namespaced(a: &Attributes, kind: Referred) -> Step {
    if !matches!(a.verb.as_str(), "get" | "list" | "watch") {
        Step::no("can only read resources of this type")
    } else if !a.subresource.is_empty() {
        Step::no("cannot read subresource")
    } else if a.namespace.is_empty() {
        Step::no("can only read namespaced object of this type")
    } else {
        Step::If(Relation::ByPods(kind))
    }
}

fn service_account(a: &Attributes) -> Step {
    if a.verb == "get" && a.subresource.is_empty() {
        read_namespaced(a, Referred::ServiceAccount)
    } else if a.verb != "create" || a.name.is_empty() {
        Step::no("can only create tokens for individual service accounts")
    } else if a.subresource != "token" {
        Step::no("can only create token subresource of serviceaccount")
    } else {
        Step::If(Relation::ByPods(Referred::ServiceAccount))
    }
}

/// The name of a lease that is created is not known yet: admission looks at it.
fn lease(node: &str, a: &Attributes) -> Step {
    if !matches!(a.verb.as_str(), "get" | "create" | "update" | "patch" | "delete") {
        Step::no("can only get, create, update, patch, or delete a node lease")
    } else if a.namespace != LEASE_NAMESPACE {
        Step::no(format!("can only access leases in the {} system namespace", go_quote(LEASE_NAMESPACE)))
    } else if a.verb != "create" && a.name != node {
        Step::no("can only access node lease with the same name as the requesting node")
    } else {
        Step::Allow
    }
}

fn csi_node(node: &str, a: &Attributes) -> Step {
    if !matches!(a.verb.as_str(), "get" | "create" | "update" | "patch" | "delete") {
        Step::no("can only get, create, update, patch, or delete a CSINode")
    } else if !a.subresource.is_empty() {
        Step::no("cannot authorize CSINode subresources")
    } else if a.verb != "create" && a.name != node {
        Step::no("can only access CSINode with the same name as the requesting node")
    } else {
        Step::Allow
    }
}

fn resource_slice(node: &str, a: &Attributes) -> Step {
    if !a.subresource.is_empty() {
        return Step::no("cannot authorize ResourceSlice subresources");
    }
    match a.verb.as_str() {
        "create" => Step::Allow,
        "get" | "update" | "patch" | "delete" => Step::If(Relation::Names(Named::ResourceSlice)),
        "watch" | "list" | "deletecollection" if selects(a, "spec.nodeName", node) => Step::Allow,
        "watch" | "list" | "deletecollection" => {
            Step::no("can only list/watch/deletecollection resourceslices with nodeName field selector")
        }
        _ => Step::no(
            "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection",
        ),
    }
}

/// Of a server that does not serve them nothing comes of it.
fn pod_certificate_request(node: &str, a: &Attributes) -> Step {
    if !a.subresource.is_empty() {
        return Step::no("nodes may not access the status subresource of PodCertificateRequests");
    }
    match a.verb.as_str() {
        // Admission checks that it is for a pod of the node.
        "create" => Step::Allow,
        "get" => Step::If(Relation::Names(Named::PodCertificateRequest)),
        "list" | "watch" if selects(a, "spec.nodeName", node) => Step::Allow,
        "list" | "watch" => Step::no("can only list/watch podcertificaterequests with nodeName field selector"),
        verb => Step::no(format!("nodes may not {verb} podcertificaterequests")),
    }
}

fn own_node(node: &str, a: &Attributes) -> Step {
    match (a.subresource.as_str(), a.verb.as_str()) {
        // Admission checks that it is the node's own.
        ("", "create" | "update" | "patch") | ("status", "update" | "patch") => Step::Allow,
        // By the name alone, so that a node can ask whether its Node is there yet.
        ("", "get" | "list" | "watch") if a.name == node => Step::Allow,
        ("", "get" | "list" | "watch") if a.name.is_empty() => {
            Step::no(format!("node '{node}' cannot read all nodes, only its own Node object"))
        }
        ("", "get" | "list" | "watch") => {
            Step::no(format!("node '{node}' cannot read '{}', only its own Node object", a.name))
        }
        _ => Step::no(""),
    }
}

fn pod(node: &str, a: &Attributes) -> Step {
    let own = Step::If(Relation::Names(Named::Pod));
    match (a.subresource.as_str(), a.verb.as_str()) {
        ("", "get") => own,
        ("", "list" | "watch") if selects(a, "spec.nodeName", node) => Step::Allow,
        ("", "list" | "watch") if !a.name.is_empty() => own,
        ("", "list" | "watch") => Step::no("can only list/watch pods with spec.nodeName field selector"),
        // Admission checks that the pods are the node's own.
        ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => Step::Allow,
        _ => Step::no(""),
    }
}

/// Whether the request is confined to the node by a field selector.
fn selects(a: &Attributes, field: &str, node: &str) -> bool {
    FieldSelector::parse(&a.field_selector).is_ok_and(|selector| selector.required_value(field) == Some(node))
}
