//! Events of a cluster, as policies name them: a resource and its change (kube-scheduler's ClusterEvent).

/// Every name that a policy may declare. `Node/Update` is any change of a node.
pub const EVENTS: &[&str] = &[
    "Node/Add",
    "Node/Update",
    "Node/UpdateNodeAllocatable",
    "Node/UpdateNodeAnnotation",
    "Node/UpdateNodeLabel",
    "Node/UpdateNodeTaint",
    "Pod/Delete",
];

/// Whether a policy may declare it.
pub fn is_event(name: &str) -> bool {
    EVENTS.contains(&name)
}
