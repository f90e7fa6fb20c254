//! NodeResourcesFit: a pod runs where its requests fit, and rather where most is left (kube-scheduler's plugin of that
//! name, v1.35; strategy LeastAllocated).
//!
//! Allowed dependencies: the SDK, serde.
//!
//! Invariant: pure, and of one node alone.

use sampan_policy_sdk::{Column, Node, Nodes, Pod, Point, Policy, Symbol, Verdict, Verdicts};
use serde::Deserialize;

/// The part of kube-scheduler's `NodeResourcesFitArgs` that is built.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Args {
    /// Extended resources that are not looked at.
    #[serde(default)]
    pub ignored_resources: Vec<String>,
    /// The scoring of nodes; cpu and memory alike when left out.
    #[serde(default)]
    pub scoring_strategy: Option<ScoringStrategy>,
}

/// `ScoringStrategy` of kube-scheduler's configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScoringStrategy {
    /// `LeastAllocated`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The resources that are scored; cpu and memory when empty.
    #[serde(default)]
    pub resources: Vec<ResourceSpec>,
}

/// One scored resource.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResourceSpec {
    /// Its name.
    pub name: String,
    /// 1 to 100.
    #[serde(default = "one")]
    pub weight: i64,
}

fn one() -> i64 {
    1
}

/// Requests against what nodes have left.
pub struct NodeResourcesFit {
    ignored: Vec<String>,
    scored: Vec<ResourceSpec>,
}

/// Best score of a node.
const SCORE_MAX: i64 = 100;

fn amount(cell: &[i64], resource: i64) -> i64 {
    cell.chunks_exact(2).find(|pair| pair[0] == resource).map_or(0, |pair| pair[1])
}

/// One pod's requests, read once.
struct Wanted<'a> {
    /// Resource and amount, without zeros and ignored ones.
    requests: Vec<(i64, i64)>,
    pods: i64,
    pod: Pod<'a>,
}

impl NodeResourcesFit {
    fn wanted<'a>(&self, pod: &Pod<'a>) -> Wanted<'a> {
        let mirror = pod.mirror();
        let counts = |word: i64| {
            let name = mirror.text(Symbol(word as u32));
            !(name.contains('/') && self.ignored.iter().any(|ignored| ignored == name))
        };
        let requests = pod.cell(Column::PodRequests).chunks_exact(2);
        Wanted {
            requests: requests.filter(|r| r[1] > 0 && counts(r[0])).map(|r| (r[0], r[1])).collect(),
            pods: mirror.symbol("pods").map_or(-1, |symbol| i64::from(symbol.0)),
            pod: *pod,
        }
    }
}

impl Wanted<'_> {
    fn verdict(&self, node: &Node) -> Verdict {
        let (allocatable, requested) = (node.cell(Column::NodeAllocatable), node.cell(Column::NodeRequested));
        let full = node.pod_count() + 1 > amount(allocatable, self.pods);
        let lacks = |&(resource, want): &(i64, i64)| {
            want > amount(allocatable, resource).saturating_sub(amount(requested, resource))
        };
        // Most nodes fit: nothing is made for them.
        if !full && !self.requests.iter().any(lacks) {
            return Verdict::Pass;
        }
        let mut texts = Vec::new();
        let mut unresolvable = false;
        if full {
            texts.push("Too many pods".into());
        }
        for request in self.requests.iter().filter(|request| lacks(request)) {
            let name = self.pod.mirror().text(Symbol(request.0 as u32));
            texts.push(format!("Insufficient {name}").into());
            // More than the node has at all: nobody's eviction would help.
            unresolvable |= request.1 > amount(allocatable, request.0);
        }
        Verdict::Refuse { texts, unresolvable }
    }

    fn score(&self, scored: &[(i64, i64, Kind)], node: &Node) -> i64 {
        let (allocatable, requested) = (node.cell(Column::NodeAllocatable), node.cell(Column::NodeRequested));
        let (node_nonzero, pod_nonzero) = (node.requested_nonzero(), self.pod.request_nonzero());
        let (mut sum, mut weights) = (0, 0);
        for (resource, weight, kind) in scored {
            let capacity = amount(allocatable, *resource);
            let used = match kind {
                Kind::Cpu => node_nonzero.0.saturating_add(pod_nonzero.0),
                Kind::Memory => node_nonzero.1.saturating_add(pod_nonzero.1),
                Kind::Other => {
                    let want = amount(self.pod.cell(Column::PodRequests), *resource);
                    if want == 0 {
                        continue;
                    }
                    amount(requested, *resource).saturating_add(want)
                }
            };
            if capacity == 0 {
                continue;
            }
            sum += weight * if used > capacity { 0 } else { share(capacity - used, capacity) };
            weights += weight;
        }
        if weights == 0 { 0 } else { sum / weights }
    }
}

/// `free` of `capacity` in parts of [`SCORE_MAX`]. Wide divisions are slow: only what would overflow takes one.
fn share(free: i64, capacity: i64) -> i64 {
    match free.checked_mul(SCORE_MAX) {
        Some(parts) => parts / capacity,
        None => (i128::from(free) * i128::from(SCORE_MAX) / i128::from(capacity)) as i64,
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Cpu,
    Memory,
    Other,
}

impl NodeResourcesFit {
    /// The scored resources by their ids: -1 for one that nothing in the cluster has.
    fn scored(&self, pod: &Pod) -> Vec<(i64, i64, Kind)> {
        let kind = |name: &str| match name {
            "cpu" => Kind::Cpu,
            "memory" => Kind::Memory,
            _ => Kind::Other,
        };
        let id = |name: &str| pod.mirror().symbol(name).map_or(-1, |symbol| i64::from(symbol.0));
        self.scored.iter().map(|spec| (id(&spec.name), spec.weight, kind(&spec.name))).collect()
    }
}

impl Policy for NodeResourcesFit {
    const NAME: &'static str = "NodeResourcesFit";
    const POINTS: &'static [Point] = &[Point::Filter, Point::Score];
    const COLUMNS: &'static [Column] = &[
        Column::NodeAllocatable,
        Column::NodeRequested,
        Column::NodeRequestedNonzero,
        Column::NodePodCount,
        Column::PodRequests,
        Column::PodRequestsNonzero,
    ];
    const EVENTS: &'static [&'static str] = &["Node/Add", "Node/UpdateNodeAllocatable", "Pod/Delete"];
    const ARGS_SCHEMA: &'static str = r#"{"type":"object","properties":{
        "ignoredResources":{"type":"array","items":{"type":"string"}},
        "scoringStrategy":{"type":"object","properties":{"type":{"enum":["LeastAllocated"]},
            "resources":{"type":"array","items":{"type":"object","properties":{
                "name":{"type":"string"},"weight":{"type":"integer","minimum":1,"maximum":100}}}}}}}}"#;
    type Args = Args;

    fn new(args: Args) -> Result<Self, String> {
        let mut scored =
            vec![ResourceSpec { name: "cpu".into(), weight: 1 }, ResourceSpec { name: "memory".into(), weight: 1 }];
        if let Some(strategy) = args.scoring_strategy {
            if strategy.kind != "LeastAllocated" {
                return Err(format!("scoringStrategy.type: {:?} is not built; LeastAllocated is", strategy.kind));
            }
            if let Some(bad) = strategy.resources.iter().find(|spec| !(1..=100).contains(&spec.weight)) {
                return Err(format!("scoringStrategy.resources: weight of {} must be 1 to 100", bad.name));
            }
            if !strategy.resources.is_empty() {
                scored = strategy.resources;
            }
        }
        Ok(Self { ignored: args.ignored_resources, scored })
    }

    fn filter(&self, pod: &Pod, node: &Node) -> Verdict {
        self.wanted(pod).verdict(node)
    }

    fn score(&self, pod: &Pod, node: &Node) -> i64 {
        self.wanted(pod).score(&self.scored(pod), node)
    }

    fn filter_all(&self, pod: &Pod, nodes: &Nodes, verdicts: &mut Verdicts) {
        let wanted = self.wanted(pod);
        for (index, node) in nodes.iter() {
            if !verdicts.refused(index) {
                verdicts.put(index, wanted.verdict(&node));
            }
        }
    }

    fn score_all(&self, pod: &Pod, nodes: &Nodes, scores: &mut Vec<i64>) {
        let (wanted, scored) = (self.wanted(pod), self.scored(pod));
        scores.extend(nodes.iter().map(|(_, node)| wanted.score(&scored, &node)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sampan_policy_sdk::testing::Cluster;

    const GI: i64 = 1 << 30;

    fn policy() -> NodeResourcesFit {
        NodeResourcesFit::new(Args::default()).expect("the defaults are good")
    }

    #[test]
    fn fits_or_says_what_lacks() {
        let mut cluster = Cluster::new();
        let node = cluster
            .node("a")
            .allocatable("cpu", 1000)
            .allocatable("memory", 2 * GI)
            .allocatable("pods", 2)
            .allocatable("example.com/gpu", 1)
            .requested("cpu", 600)
            .requested("memory", GI)
            .pod_count(1)
            .row();
        let full = cluster.node("b").allocatable("pods", 1).pod_count(1).row();
        let refuse = |texts: &[&'static str], unresolvable| Verdict::Refuse {
            texts: texts.iter().map(|text| (*text).into()).collect(),
            unresolvable,
        };
        let check = |cluster: &Cluster, pod, node, expected: Verdict| {
            assert_eq!(cluster.filter(&policy(), pod, node), expected);
        };
        let pod = cluster.pod("p").request("cpu", 400).request("memory", GI).row();
        check(&cluster, pod, node, Verdict::Pass);
        let pod = cluster.pod("p").request("cpu", 401).row();
        check(&cluster, pod, node, refuse(&["Insufficient cpu"], false));
        let pod = cluster.pod("p").request("cpu", 1001).request("memory", GI + 1).row();
        check(&cluster, pod, node, refuse(&["Insufficient cpu", "Insufficient memory"], true));
        let pod = cluster.pod("p").request("example.com/gpu", 2).row();
        check(&cluster, pod, node, refuse(&["Insufficient example.com/gpu"], true));
        let pod = cluster.pod("p").row();
        check(&cluster, pod, node, Verdict::Pass);
        check(&cluster, pod, full, refuse(&["Too many pods"], false));
    }

    #[test]
    fn no_amount_is_too_large_to_be_counted() {
        let mut cluster = Cluster::new();
        let node =
            cluster.node("a").allocatable("cpu", i64::MAX).allocatable("memory", i64::MAX).allocatable("pods", 9);
        let node = node.requested("memory", i64::MAX).requested_nonzero(i64::MAX, 0).row();
        let pod = cluster.pod("p").request("memory", i64::MAX).request_nonzero(i64::MAX, 0).row();
        let refused = Verdict::Refuse { texts: vec!["Insufficient memory".into()], unresolvable: false };
        assert_eq!(cluster.filter(&policy(), pod, node), refused);
        // All of the cpu is requested, and none of the memory.
        assert_eq!(cluster.score(&policy(), pod, node), Some(50));
    }

    #[test]
    fn the_emptier_node_scores_higher() {
        let mut cluster = Cluster::new();
        let pod = cluster.pod("p").request_nonzero(100, GI).row();
        let empty = cluster.node("a").allocatable("cpu", 1000).allocatable("memory", 4 * GI).row();
        let half =
            cluster.node("b").allocatable("cpu", 1000).allocatable("memory", 4 * GI).requested_nonzero(400, GI).row();
        let over = cluster.node("c").allocatable("cpu", 50).allocatable("memory", GI).row();
        // ((900*100/1000) + (3*100/4)) / 2 and so on: the arithmetic of leastRequestedScore, integer division and all.
        for (node, score) in [(empty, (90 + 75) / 2), (half, (50 + 50) / 2), (over, 0)] {
            assert_eq!(cluster.score(&policy(), pod, node), Some(score), "node {node}");
        }
    }

    #[test]
    fn a_strategy_that_is_not_built_is_refused_by_name() {
        let args = Args {
            scoring_strategy: Some(ScoringStrategy { kind: "MostAllocated".into(), resources: Vec::new() }),
            ..Args::default()
        };
        let error = NodeResourcesFit::new(args).err().expect("refused");
        assert!(error.contains("MostAllocated"), "{error}");
    }
}
