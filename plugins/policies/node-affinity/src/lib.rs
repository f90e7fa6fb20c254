//! NodeAffinity: node selectors and node affinity, required and preferred (kube-scheduler's plugin of that name, v1.35).
//!
//! Allowed dependencies: the SDK.
//!
//! Invariant: pure, and of one node alone.

use sampan_policy_sdk::{
    Column, NoArgs, Node, Nodes, Normalize, Operator, Pod, Point, Policy, RequirementKind, Symbol, Term, Verdict,
    Verdicts,
};

/// `spec.nodeSelector` and `spec.affinity.nodeAffinity`.
pub struct NodeAffinity;

/// The requirements of one pod, read once.
struct Required {
    selector: Vec<(Symbol, Symbol)>,
    terms: Option<Vec<Term>>,
    /// Every term pins the node's name: kube-scheduler narrows the candidates before the filters run, and says so.
    pins: bool,
}

fn pins(term: &Term) -> bool {
    term.requirements.iter().any(|r| r.kind == RequirementKind::Field && r.operator == Operator::In)
}

/// Whether the names that the term pins have the node among them.
fn pinned(term: &Term, node: &Node) -> bool {
    let mut names = term.requirements.iter().filter(|r| r.kind == RequirementKind::Field && r.operator == Operator::In);
    names.all(|requirement| requirement.matches(node))
}

impl Required {
    fn of(pod: &Pod) -> Self {
        let terms = pod.node_affinity();
        let pins = terms.as_ref().is_some_and(|terms| !terms.is_empty() && terms.iter().all(pins));
        Self { selector: pod.node_selector().collect(), terms, pins }
    }

    fn verdict(&self, node: &Node) -> Verdict {
        if self.pins && !self.terms.iter().flatten().any(|term| pinned(term, node)) {
            return Verdict::unresolvable("node(s) didn't satisfy plugin(s) [NodeAffinity]");
        }
        let selected = self.selector.iter().all(|(key, value)| node.label_symbol(*key) == Some(*value));
        let wanted = self.terms.as_ref().is_none_or(|terms| terms.iter().any(|term| term.matches(node)));
        if selected && wanted {
            Verdict::Pass
        } else {
            Verdict::unresolvable("node(s) didn't match Pod's node affinity/selector")
        }
    }
}

fn score_one(preferred: &[(i64, Term)], node: &Node) -> i64 {
    preferred.iter().filter(|(weight, term)| *weight != 0 && term.matches(node)).map(|(weight, _)| weight).sum()
}

impl Policy for NodeAffinity {
    const NAME: &'static str = "NodeAffinity";
    const POINTS: &'static [Point] = &[Point::Filter, Point::Score];
    const COLUMNS: &'static [Column] = &[
        Column::NodeName,
        Column::NodeLabels,
        Column::PodNodeSelector,
        Column::PodNodeAffinity,
        Column::PodNodeAffinityPreferred,
    ];
    const NORMALIZE: Normalize = Normalize::Max;
    const EVENTS: &'static [&'static str] = &["Node/Add", "Node/UpdateNodeLabel"];
    type Args = NoArgs;

    fn new(_: NoArgs) -> Result<Self, String> {
        Ok(Self)
    }

    fn filters(&self, pod: &Pod) -> bool {
        pod.node_selector().next().is_some() || !pod.cell(Column::PodNodeAffinity).is_empty()
    }

    fn scores(&self, pod: &Pod) -> bool {
        !pod.cell(Column::PodNodeAffinityPreferred).is_empty()
    }

    fn filter(&self, pod: &Pod, node: &Node) -> Verdict {
        Required::of(pod).verdict(node)
    }

    fn score(&self, pod: &Pod, node: &Node) -> i64 {
        score_one(&pod.node_affinity_preferred(), node)
    }

    fn filter_all(&self, pod: &Pod, nodes: &Nodes, verdicts: &mut Verdicts) {
        let required = Required::of(pod);
        for (index, node) in nodes.iter() {
            if !verdicts.refused(index) {
                verdicts.put(index, required.verdict(&node));
            }
        }
    }

    fn score_all(&self, pod: &Pod, nodes: &Nodes, scores: &mut Vec<i64>) {
        let preferred = pod.node_affinity_preferred();
        scores.extend(nodes.iter().map(|(_, node)| score_one(&preferred, &node)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sampan_policy_sdk::testing::Cluster;

    #[test]
    fn selectors_and_terms() {
        let mut cluster = Cluster::new();
        let a = cluster.node("a").label("zone", "z1").label("gen", "7").row();
        let b = cluster.node("b").label("zone", "z2").row();
        let check = |cluster: &Cluster, pod: u32, expected: [bool; 2], what: &str| {
            for (node, pass) in [a, b].into_iter().zip(expected) {
                assert_eq!(cluster.filter(&NodeAffinity, pod, node) == Verdict::Pass, pass, "{what} on node {node}");
            }
        };
        let pod = cluster.pod("plain").row();
        check(&cluster, pod, [true, true], "nothing asked");
        let pod = cluster.pod("p").node_selector("zone", "z1").row();
        check(&cluster, pod, [true, false], "selector");
        let pod = cluster.pod("p").node_selector("zone", "z9").row();
        check(&cluster, pod, [false, false], "a value that no node has");
        for (operator, key, values, expected) in [
            (Operator::In, "zone", &["z2", "z3"][..], [false, true]),
            (Operator::NotIn, "gen", &["7"], [false, true]),
            (Operator::Exists, "gen", &[], [true, false]),
            (Operator::DoesNotExist, "gen", &[], [false, true]),
            (Operator::Gt, "gen", &["6"], [true, false]),
            (Operator::Lt, "gen", &["7"], [false, false]),
            (Operator::Gt, "zone", &["1"], [false, false]),
        ] {
            let pod = cluster.pod("p").required(key, operator, values).row();
            check(&cluster, pod, expected, &format!("{operator:?} {key} {values:?}"));
        }
        let pod =
            cluster.pod("p").required("zone", Operator::In, &["z1"]).required("zone", Operator::In, &["z2"]).row();
        check(&cluster, pod, [true, true], "one of two terms");
        let pod = cluster.pod("p").required_term(&[]).row();
        check(&cluster, pod, [false, false], "an empty term matches nothing");
        let pod = cluster.pod("p").required_term(&[(true, "metadata.name", Operator::In, &["b"])]).row();
        check(&cluster, pod, [false, true], "a pinned name");
        assert_eq!(
            cluster.filter(&NodeAffinity, pod, a),
            Verdict::unresolvable("node(s) didn't satisfy plugin(s) [NodeAffinity]")
        );
    }

    #[test]
    fn values_are_found_in_whatever_order_they_were_written() {
        let values: Vec<String> = (0..500).map(|at| format!("value-{}", (at * 7919) % 500)).collect();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let mut cluster = Cluster::new();
        let among: Vec<u32> = (0..20)
            .map(|at| cluster.node(&format!("n{at}")).label("zone", &format!("value-{}", at * 25)).row())
            .collect();
        let beside = cluster.node("other").label("zone", "elsewhere").row();
        for (operator, passes) in [(Operator::In, true), (Operator::NotIn, false)] {
            let pod = cluster.pod("p").required("zone", operator, &values).row();
            for node in &among {
                assert_eq!(cluster.filter(&NodeAffinity, pod, *node) == Verdict::Pass, passes, "{operator:?}");
            }
            assert_eq!(cluster.filter(&NodeAffinity, pod, beside) == Verdict::Pass, !passes, "{operator:?}");
        }
    }

    #[test]
    fn preferred_terms_add_their_weights() {
        let mut cluster = Cluster::new();
        let a = cluster.node("a").label("zone", "z1").label("disk", "ssd").row();
        let pod = cluster
            .pod("p")
            .preferred(10, "zone", Operator::In, &["z1"])
            .preferred(5, "disk", Operator::Exists, &[])
            .preferred(90, "disk", Operator::In, &["tape"])
            .row();
        let plain = cluster.pod("q").row();
        assert_eq!(cluster.score(&NodeAffinity, pod, a), Some(15));
        assert_eq!(cluster.score(&NodeAffinity, plain, a), None, "not concerned");
    }
}
