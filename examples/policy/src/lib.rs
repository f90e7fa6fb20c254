//! Nodes labelled `example.com/quiet=true` take no pod that is annotated `example.com/noisy: "true"`, and among the
//! rest the one with the fewest pods is best.

use sampan_policy_sdk::{Column, NoArgs, Node, Normalize, Pod, Point, Policy, Verdict};

pub struct QuietNodes;

impl Policy for QuietNodes {
    const NAME: &'static str = "QuietNodes";
    const POINTS: &'static [Point] = &[Point::Filter, Point::Score];
    const COLUMNS: &'static [Column] = &[Column::NodeLabels, Column::NodePodCount, Column::PodAnnotations];
    const NORMALIZE: Normalize = Normalize::MinMax;
    type Args = NoArgs;

    fn new(_: NoArgs) -> Result<Self, String> {
        Ok(Self)
    }

    fn filter(&self, pod: &Pod, node: &Node) -> Verdict {
        let quiet = node.label("example.com/quiet") == Some("true");
        if quiet && pod.annotation("example.com/noisy") == Some("true") {
            return Verdict::unschedulable("node(s) wanted to be left in peace");
        }
        Verdict::Pass
    }

    fn score(&self, _pod: &Pod, node: &Node) -> i64 {
        -node.pod_count()
    }
}

sampan_policy_sdk::export!(QuietNodes);

#[cfg(test)]
mod tests {
    use super::*;
    use sampan_policy_sdk::testing::Cluster;

    #[test]
    fn noisy_pods_stay_off_quiet_nodes() {
        let mut cluster = Cluster::new();
        let quiet = cluster.node("a").label("example.com/quiet", "true").pod_count(3).row();
        let noisy = cluster.pod("p").annotation("example.com/noisy", "true").row();
        let calm = cluster.pod("q").row();
        let refusal = Verdict::unschedulable("node(s) wanted to be left in peace");
        assert_eq!(cluster.filter(&QuietNodes, noisy, quiet), refusal);
        assert_eq!(cluster.filter(&QuietNodes, calm, quiet), Verdict::Pass);
        assert_eq!(cluster.score(&QuietNodes, calm, quiet), Some(-3));
    }
}
