//! The node's own Node, and the certificates that it asks for.

use super::{Write, same};
use base64::Engine as _;
use sampan_api::admission::Operation;
use sampan_api::field::go_quote;
use sampan_api::{Object, Status};
use std::collections::{BTreeMap, BTreeSet};

/// The labels of the kubernetes.io and k8s.io domains that a node sets itself (k8s.io/kubelet/pkg/apis).
const KUBELET_LABELS: [&str; 11] = [
    "kubernetes.io/hostname",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/instance-type",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
];
const KUBELET_LABEL_DOMAINS: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];
/// Labels that are for others to set, so that a node cannot draw workloads to itself.
const RESTRICTED_DOMAIN: &str = "node-restriction.kubernetes.io";
const KUBERNETES_DOMAINS: [&str; 2] = ["kubernetes.io", "k8s.io"];

/// Fields that the control plane gives a Node. Kubernetes leaves these to the API server's users: its kubelets do not
/// write them, and nobody else takes their word for it. Here a node that could would take another's addresses, or,
/// with an owner of its own making, have itself collected and come back without its taints.
const ALLOTTED: [(&[&str], &str); 2] = [(&["spec", "podCIDR"], "podCIDR"), (&["spec", "podCIDRs"], "podCIDRs")];

pub(super) fn node(write: &Write<'_>) -> Result<(), Status> {
    let asked = write.name();
    if asked != write.node {
        return Err(write.node_may_not(&format!("is not allowed to modify node {}", go_quote(asked))));
    }
    match write.operation() {
        Operation::Create => create(write, write.sent()?),
        Operation::Update => update(write, write.sent()?, write.stored()?),
        Operation::Delete | Operation::Connect => Ok(()),
    }
}

fn create(write: &Write<'_>, node: &Object) -> Result<(), Status> {
    let nothing = Object::default();
    if node.get(&["spec", "configSource"]).is_some_and(|source| !source.is_null()) {
        return Err(write.node_may_not("is not allowed to create pods with a non-nil configSource"));
    }
    if !same(node, &nothing, &["metadata", "ownerReferences"]) {
        return Err(write.node_may_not("is not allowed to modify ownerReferences"));
    }
    allotted(write, node, &nothing)?;
    let labels = forbidden_labels(node, &nothing);
    if !labels.is_empty() {
        return Err(write.node_may_not(&format!("is not allowed to set the following labels: {labels}")));
    }
    Ok(())
}

fn update(write: &Write<'_>, node: &Object, old: &Object) -> Result<(), Status> {
    let source = ["spec", "configSource"];
    if node.get(&source).is_some_and(|source| !source.is_null()) && !same(node, old, &source) {
        return Err(write.node_may_not("is not allowed to update configSource to a new non-nil configSource"));
    }
    if !same(node, old, &["spec", "taints"]) {
        return Err(write.node_may_not("is not allowed to modify taints"));
    }
    if !same(node, old, &["metadata", "ownerReferences"]) {
        return Err(write.node_may_not("is not allowed to modify ownerReferences"));
    }
    allotted(write, node, old)?;
    let labels = forbidden_labels(node, old);
    if !labels.is_empty() {
        return Err(write.forbidden(&format!("is not allowed to modify labels: {labels}")));
    }
    Ok(())
}

fn allotted(write: &Write<'_>, node: &Object, old: &Object) -> Result<(), Status> {
    match ALLOTTED.iter().find(|(path, _)| !same(node, old, path)) {
        Some((_, name)) => Err(write.node_may_not(&format!("is not allowed to modify {name}"))),
        None => Ok(()),
    }
}

/// The labels that differ and that a node may not set, in order, as a message lists them.
fn forbidden_labels(node: &Object, old: &Object) -> String {
    let (new, old): (BTreeMap<_, _>, BTreeMap<_, _>) = (node.labels().collect(), old.labels().collect());
    let keys: BTreeSet<&str> = new.keys().chain(old.keys()).copied().collect();
    let changed = keys.into_iter().filter(|key| new.get(key) != old.get(key));
    changed.filter(|key| is_forbidden(key)).collect::<Vec<_>>().join(", ")
}

fn is_forbidden(label: &str) -> bool {
    let domain = label.split_once('/').map_or("", |(domain, _)| domain);
    let within = |of: &str| domain == of || domain.strip_suffix(of).is_some_and(|rest| rest.ends_with('.'));
    let of_kubelet = KUBELET_LABELS.contains(&label) || KUBELET_LABEL_DOMAINS.into_iter().any(within);
    within(RESTRICTED_DOMAIN) || (KUBERNETES_DOMAINS.into_iter().any(within) && !of_kubelet)
}

const KUBELET_SIGNERS: [&str; 2] = ["kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet"];

/// A node's certificate is asked for under its own name.
pub(super) fn certificate_request(write: &Write<'_>) -> Result<(), Status> {
    if write.operation() != Operation::Create {
        return Ok(());
    }
    let request = write.sent()?;
    if !request.get_str(&["spec", "signerName"]).is_some_and(|signer| KUBELET_SIGNERS.contains(&signer)) {
        return Ok(());
    }
    let pem =
        base64::engine::general_purpose::STANDARD.decode(request.get_str(&["spec", "request"]).unwrap_or_default());
    let pem = pem.map_err(|error| write.forbidden(&format!("unable to parse csr: {error}")))?;
    let name = sampan_auth::pki::requested_name(&pem)
        .map_err(|why| write.forbidden(&format!("unable to parse csr: {why}")))?;
    if name != write.attributes.user.name {
        let why = format!("can only create a node CSR with CN=system:node:{}", write.node);
        return Err(write.forbidden(&why));
    }
    Ok(())
}
