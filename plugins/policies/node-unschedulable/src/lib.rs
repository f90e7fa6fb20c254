//! NodeUnschedulable: a cordoned node takes no pod that does not tolerate that
//! (kube-scheduler's plugin of that name, v1.35).
//!
//! Allowed dependencies: the SDK.
//!
//! Invariant: pure, and of one node alone.

use sampan_policy_sdk::{Column, Effect, NoArgs, Node, Nodes, Pod, Point, Policy, Verdict, Verdicts};

/// The taint that a cordoned node stands for.
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// `spec.unschedulable` of nodes.
pub struct NodeUnschedulable;

fn tolerated(pod: &Pod) -> bool {
    let own = pod.mirror().symbol(UNSCHEDULABLE);
    pod.tolerations().iter().any(|toleration| {
        // The taint has no value, and so none that compares.
        let value_fits = toleration.exists || toleration.value.is_none_or(|value| pod.mirror().text(value).is_empty());
        toleration.compares.is_none()
            && value_fits
            && toleration.effect.is_none_or(|effect| effect == Effect::NoSchedule)
            && toleration.key.is_none_or(|key| Some(key) == own)
    })
}

impl Policy for NodeUnschedulable {
    const NAME: &'static str = "NodeUnschedulable";
    const POINTS: &'static [Point] = &[Point::Filter];
    const COLUMNS: &'static [Column] = &[Column::NodeUnschedulable, Column::PodTolerations];
    const EVENTS: &'static [&'static str] = &["Node/Add", "Node/UpdateNodeTaint"];
    type Args = NoArgs;

    fn new(_: NoArgs) -> Result<Self, String> {
        Ok(Self)
    }

    fn filter(&self, pod: &Pod, node: &Node) -> Verdict {
        if node.unschedulable() && !tolerated(pod) {
            Verdict::unresolvable("node(s) were unschedulable")
        } else {
            Verdict::Pass
        }
    }

    fn filter_all(&self, pod: &Pod, nodes: &Nodes, verdicts: &mut Verdicts) {
        for (index, node) in nodes.iter() {
            if node.unschedulable() && !verdicts.refused(index) {
                verdicts.put(index, self.filter(pod, &node));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sampan_policy_sdk::testing::Cluster;

    #[test]
    fn a_cordoned_node_takes_only_who_tolerates_it() {
        let mut cluster = Cluster::new();
        let (open, cordoned) = (cluster.node("a").row(), cluster.node("b").unschedulable().row());
        let plain = cluster.pod("p").row();
        let tolerant = cluster.pod("q").toleration(UNSCHEDULABLE, None, Some(Effect::NoSchedule)).row();
        let all = cluster.pod("r").toleration("", None, None).row();
        let other = cluster.pod("s").toleration(UNSCHEDULABLE, None, Some(Effect::NoExecute)).row();
        let refusal = Verdict::unresolvable("node(s) were unschedulable");
        assert_eq!(cluster.filter(&NodeUnschedulable, plain, open), Verdict::Pass);
        assert_eq!(cluster.filter(&NodeUnschedulable, plain, cordoned), refusal);
        assert_eq!(cluster.filter(&NodeUnschedulable, tolerant, cordoned), Verdict::Pass);
        assert_eq!(cluster.filter(&NodeUnschedulable, all, cordoned), Verdict::Pass);
        assert_eq!(cluster.filter(&NodeUnschedulable, other, cordoned), refusal);
    }
}
