//! The built-in policies in one component: they share one mirror of the cluster.
//!
//! Allowed dependencies: the SDK and the policies' crates.
//!
//! Invariant: nothing but the list stands here; what a policy does stands in its own crate.

pub use sampan_policy_node_affinity::NodeAffinity;
pub use sampan_policy_node_name::NodeName;
pub use sampan_policy_node_ports::NodePorts;
pub use sampan_policy_node_resources_fit::NodeResourcesFit;
pub use sampan_policy_node_unschedulable::NodeUnschedulable;
pub use sampan_policy_taint_toleration::TaintToleration;

sampan_policy_sdk::export!(NodeUnschedulable, NodeName, TaintToleration, NodeAffinity, NodePorts, NodeResourcesFit);

/// The bundled policies for a native host: tests, and the comparison with Wasm.
pub fn entries() -> Vec<sampan_policy_sdk::Entry> {
    use sampan_policy_sdk::entry;
    vec![
        entry::<NodeUnschedulable>(),
        entry::<NodeName>(),
        entry::<TaintToleration>(),
        entry::<NodeAffinity>(),
        entry::<NodePorts>(),
        entry::<NodeResourcesFit>(),
    ]
}
