//! NodeName: a pod that names a node runs on that node (kube-scheduler's plugin of that name, v1.35).
//!
//! Allowed dependencies: the SDK.
//!
//! Invariant: pure, and of one node alone.

use sampan_policy_sdk::{Column, NoArgs, Node, Pod, Point, Policy, Verdict};

/// `spec.nodeName`.
pub struct NodeName;

impl Policy for NodeName {
    const NAME: &'static str = "NodeName";
    const POINTS: &'static [Point] = &[Point::Filter];
    const COLUMNS: &'static [Column] = &[Column::NodeName, Column::PodNodeName];
    const EVENTS: &'static [&'static str] = &["Node/Add"];
    type Args = NoArgs;

    fn new(_: NoArgs) -> Result<Self, String> {
        Ok(Self)
    }

    fn filters(&self, pod: &Pod) -> bool {
        !pod.node_name().is_empty()
    }

    fn filter(&self, pod: &Pod, node: &Node) -> Verdict {
        if node.name() == pod.node_name() {
            Verdict::Pass
        } else {
            Verdict::unresolvable("node(s) didn't match the requested node name")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sampan_policy_sdk::testing::Cluster;

    #[test]
    fn only_the_named_node() {
        let mut cluster = Cluster::new();
        let (a, b) = (cluster.node("a").row(), cluster.node("b").row());
        let named = cluster.pod("p").node_name("b").row();
        let free = cluster.pod("q").row();
        assert_eq!(cluster.filter(&NodeName, named, b), Verdict::Pass);
        assert_eq!(
            cluster.filter(&NodeName, named, a),
            Verdict::unresolvable("node(s) didn't match the requested node name")
        );
        assert_eq!(cluster.filter(&NodeName, free, a), Verdict::Pass);
    }
}
