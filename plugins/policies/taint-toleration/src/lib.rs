//! TaintToleration: a node's taints keep off, or put off, the pods that do not tolerate them (kube-scheduler's plugin of
//! that name, v1.35).
//!
//! Allowed dependencies: the SDK.
//!
//! Invariant: pure, and of one node alone.

use sampan_policy_sdk::{
    Column, Effect, NoArgs, Node, Nodes, Normalize, Pod, Point, Policy, Toleration, Verdict, Verdicts,
};

/// `spec.taints` of nodes and `spec.tolerations`.
pub struct TaintToleration;

fn filter_one(tolerations: &[Toleration], node: &Node) -> Verdict {
    let untolerated = node.taints().any(|taint| {
        taint.2 != Effect::PreferNoSchedule && !tolerations.iter().any(|one| one.tolerates(node.mirror(), taint))
    });
    if untolerated { Verdict::unresolvable("node(s) had untolerated taint(s)") } else { Verdict::Pass }
}

/// Number of the node's soft taints that the pod does not tolerate.
fn score_one(tolerations: &[Toleration], node: &Node) -> i64 {
    let soft = node.taints().filter(|taint| taint.2 == Effect::PreferNoSchedule);
    soft.filter(|taint| {
        !tolerations.iter().any(|one| {
            one.effect.is_none_or(|effect| effect == Effect::PreferNoSchedule) && one.tolerates(node.mirror(), *taint)
        })
    })
    .count() as i64
}

impl Policy for TaintToleration {
    const NAME: &'static str = "TaintToleration";
    const POINTS: &'static [Point] = &[Point::Filter, Point::Score];
    const COLUMNS: &'static [Column] = &[Column::NodeTaints, Column::PodTolerations, Column::PodComparingTolerations];
    const NORMALIZE: Normalize = Normalize::MaxReversed;
    const EVENTS: &'static [&'static str] = &["Node/Add", "Node/UpdateNodeTaint"];
    type Args = NoArgs;

    fn new(_: NoArgs) -> Result<Self, String> {
        Ok(Self)
    }

    fn filter(&self, pod: &Pod, node: &Node) -> Verdict {
        filter_one(&pod.tolerations(), node)
    }

    fn score(&self, pod: &Pod, node: &Node) -> i64 {
        score_one(&pod.tolerations(), node)
    }

    fn filter_all(&self, pod: &Pod, nodes: &Nodes, verdicts: &mut Verdicts) {
        let tolerations = pod.tolerations();
        for (index, node) in nodes.iter() {
            if !verdicts.refused(index) {
                verdicts.put(index, filter_one(&tolerations, &node));
            }
        }
    }

    fn score_all(&self, pod: &Pod, nodes: &Nodes, scores: &mut Vec<i64>) {
        let tolerations = pod.tolerations();
        scores.extend(nodes.iter().map(|(_, node)| score_one(&tolerations, &node)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sampan_policy_sdk::Comparison;
    use sampan_policy_sdk::testing::Cluster;

    #[test]
    fn hard_taints_refuse_and_soft_ones_count() {
        let mut cluster = Cluster::new();
        let hard = cluster.node("a").taint("k", "v", Effect::NoSchedule).row();
        let evict = cluster.node("b").taint("k", "v", Effect::NoExecute).row();
        let soft =
            cluster.node("c").taint("k", "v", Effect::PreferNoSchedule).taint("l", "", Effect::PreferNoSchedule).row();
        let plain = cluster.pod("p").row();
        let equal = cluster.pod("q").toleration("k", Some("v"), None).row();
        let unlike = cluster.pod("r").toleration("k", Some("w"), None).row();
        let exists = cluster.pod("s").toleration("", None, None).row();
        let no_schedule = cluster.pod("t").toleration("k", None, Some(Effect::NoSchedule)).row();
        let refusal = Verdict::unresolvable("node(s) had untolerated taint(s)");
        for (pod, node, pass) in [
            (plain, hard, false),
            (plain, evict, false),
            (plain, soft, true),
            (equal, hard, true),
            (unlike, hard, false),
            (exists, evict, true),
            (no_schedule, hard, true),
            (no_schedule, evict, false),
        ] {
            let expected = if pass { Verdict::Pass } else { refusal.clone() };
            assert_eq!(cluster.filter(&TaintToleration, pod, node), expected, "pod {pod} node {node}");
        }
        for (pod, score) in [(plain, 2), (equal, 1), (exists, 0), (no_schedule, 2)] {
            assert_eq!(cluster.score(&TaintToleration, pod, soft), Some(score), "pod {pod}");
        }
    }

    #[test]
    fn tolerations_compare_numbers() {
        let check = |value: &str, compares: Comparison, pass: bool| {
            let mut cluster = Cluster::new();
            let node = cluster.node("a").taint("k", value, Effect::NoSchedule).row();
            let pod = cluster.pod("p").comparing_toleration("k", compares).row();
            let found = cluster.filter(&TaintToleration, pod, node);
            assert_eq!(found == Verdict::Pass, pass, "{value} {compares:?}");
        };
        check("950", Comparison::Above(900), true);
        check("900", Comparison::Above(900), false);
        check("899", Comparison::Below(900), true);
        check("-1", Comparison::Below(0), true);
        check("900", Comparison::Below(900), false);
        for value in ["", "x", "0950", "+950", "9223372036854775808"] {
            check(value, Comparison::Above(0), false);
            check(value, Comparison::Below(i64::MAX), false);
        }
    }
}
