//! Pods and nodes for a policy's own tests, built natively.
//!
//! ```
//! use sampan_policy_sdk::testing::Cluster;
//! let mut cluster = Cluster::new();
//! let node = cluster.node("n1").label("zone", "a").allocatable("cpu", 4000).row();
//! let pod = cluster.pod("p").label("app", "web").request("cpu", 100).row();
//! assert_eq!(cluster.get_node(node).label("zone"), Some("a"));
//! assert_eq!(cluster.get_pod(pod).request("cpu"), 100);
//! ```

use crate::columns::{Column, Effect, Operator};
use crate::mirror::{Changes, Mirror};
use crate::policy::{Policy, Verdict};
use crate::view::{Comparison, Node, Pod};

/// A mirror that is filled by hand. Every column is there, whether a policy asks for it or not.
#[derive(Default)]
pub struct Cluster {
    mirror: Mirror,
    strings: u32,
    nodes: u32,
    pods: u32,
}

impl Cluster {
    /// Without nodes and pods.
    pub fn new() -> Self {
        Self::default()
    }
    /// Adds a node.
    pub fn node(&mut self, name: &str) -> NodeBuilder<'_> {
        let row = self.nodes;
        self.nodes += 1;
        self.set(Column::NodeRow, row, vec![1]);
        let name = self.symbol(name);
        self.set(Column::NodeName, row, vec![name]);
        NodeBuilder { cluster: self, row }
    }
    /// Adds a pod.
    pub fn pod(&mut self, name: &str) -> PodBuilder<'_> {
        let row = self.pods;
        self.pods += 1;
        self.set(Column::PodRow, row, vec![1]);
        let name = self.symbol(name);
        self.set(Column::PodName, row, vec![name]);
        PodBuilder { cluster: self, row }
    }
    /// The node of that row, as policies see it.
    pub fn get_node(&self, row: u32) -> Node<'_> {
        Node::new(&self.mirror, row)
    }
    /// The pod of that row, as policies see it.
    pub fn get_pod(&self, row: u32) -> Pod<'_> {
        Pod::new(&self.mirror, row)
    }
    /// The policy's answer about that pod on that node, as the host would hear it.
    pub fn filter<P: Policy>(&self, policy: &P, pod: u32, node: u32) -> Verdict {
        let pod = self.get_pod(pod);
        if !policy.filters(&pod) {
            return Verdict::Pass;
        }
        let mut verdicts = crate::Verdicts::new(1);
        policy.filter_all(&pod, &crate::Nodes { mirror: &self.mirror, rows: &[node] }, &mut verdicts);
        let (marks, reasons) = verdicts.finish();
        match marks.first() {
            None | Some(0) => Verdict::Pass,
            Some(mark) => {
                let reason = &reasons[usize::from(*mark) - 1];
                let texts = reason.texts.iter().map(|text| text.clone().into()).collect();
                Verdict::Refuse { texts, unresolvable: reason.bits & 1 == 1 }
            }
        }
    }
    /// The raw score; `None` when the policy does not concern the pod.
    pub fn score<P: Policy>(&self, policy: &P, pod: u32, node: u32) -> Option<i64> {
        let pod = self.get_pod(pod);
        let mut scores = Vec::new();
        if policy.scores(&pod) {
            policy.score_all(&pod, &crate::Nodes { mirror: &self.mirror, rows: &[node] }, &mut scores);
        }
        scores.first().copied()
    }

    fn symbol(&mut self, text: &str) -> i64 {
        if let Some(symbol) = self.mirror.symbol(text) {
            return i64::from(symbol.0);
        }
        let changes =
            Changes { strings: text.as_bytes().to_vec(), string_ends: vec![text.len() as u32], ..Changes::default() };
        self.mirror.apply(&changes).expect("one string is well formed");
        self.strings += 1;
        i64::from(self.strings - 1)
    }
    fn set(&mut self, column: Column, row: u32, words: Vec<i64>) {
        let changes = Changes {
            columns: vec![column.id()],
            column_ends: vec![1],
            rows: vec![row],
            cell_ends: vec![words.len() as u32],
            words,
            ..Changes::default()
        };
        self.mirror.apply(&changes).expect("one cell is well formed");
    }
    fn push(&mut self, column: Column, row: u32, words: &[i64]) {
        let mut cell = self.mirror.cell(column.id(), row).to_vec();
        cell.extend_from_slice(words);
        self.set(column, row, cell);
    }
    fn push_pair(&mut self, column: Column, row: u32, key: &str, value: &str) {
        let words = [self.symbol(key), self.symbol(value)];
        self.push(column, row, &words);
    }
    fn push_amount(&mut self, column: Column, row: u32, resource: &str, amount: i64) {
        let words = [self.symbol(resource), amount];
        self.push(column, row, &words);
    }
}

/// Says what a node is like.
pub struct NodeBuilder<'a> {
    cluster: &'a mut Cluster,
    row: u32,
}

impl NodeBuilder<'_> {
    /// Adds a label.
    pub fn label(self, key: &str, value: &str) -> Self {
        self.cluster.push_pair(Column::NodeLabels, self.row, key, value);
        self
    }
    /// Adds an annotation.
    pub fn annotation(self, key: &str, value: &str) -> Self {
        self.cluster.push_pair(Column::NodeAnnotations, self.row, key, value);
        self
    }
    /// Cordons it.
    pub fn unschedulable(self) -> Self {
        self.cluster.set(Column::NodeUnschedulable, self.row, vec![1]);
        self
    }
    /// Adds a taint.
    pub fn taint(self, key: &str, value: &str, effect: Effect) -> Self {
        let words = [self.cluster.symbol(key), self.cluster.symbol(value), effect as i64];
        self.cluster.push(Column::NodeTaints, self.row, &words);
        self
    }
    /// cpu in thousandths.
    pub fn allocatable(self, resource: &str, amount: i64) -> Self {
        self.cluster.push_amount(Column::NodeAllocatable, self.row, resource, amount);
        self
    }
    /// Sets the sum that its pods request of a resource.
    pub fn requested(self, resource: &str, amount: i64) -> Self {
        self.cluster.push_amount(Column::NodeRequested, self.row, resource, amount);
        self
    }
    /// The same as scoring sees it: cpu in thousandths, memory in bytes.
    pub fn requested_nonzero(self, cpu: i64, memory: i64) -> Self {
        self.cluster.set(Column::NodeRequestedNonzero, self.row, vec![cpu, memory]);
        self
    }
    /// Sets the number of its pods.
    pub fn pod_count(self, count: i64) -> Self {
        self.cluster.set(Column::NodePodCount, self.row, vec![count]);
        self
    }
    /// A port that one of its pods has taken.
    pub fn port(self, ip: &str, protocol: crate::Protocol, port: i64) -> Self {
        let words = [self.cluster.symbol(ip), protocol as i64, port];
        self.cluster.push(Column::NodePorts, self.row, &words);
        self
    }
    /// Its row.
    pub fn row(self) -> u32 {
        self.row
    }
}

/// Says what a pod is like.
pub struct PodBuilder<'a> {
    cluster: &'a mut Cluster,
    row: u32,
}

impl PodBuilder<'_> {
    /// Adds a label.
    pub fn label(self, key: &str, value: &str) -> Self {
        self.cluster.push_pair(Column::PodLabels, self.row, key, value);
        self
    }
    /// Adds an annotation.
    pub fn annotation(self, key: &str, value: &str) -> Self {
        self.cluster.push_pair(Column::PodAnnotations, self.row, key, value);
        self
    }
    /// Its namespace.
    pub fn namespace(self, name: &str) -> Self {
        let word = self.cluster.symbol(name);
        self.cluster.set(Column::PodNamespace, self.row, vec![word]);
        self
    }
    /// `spec.nodeName`.
    pub fn node_name(self, name: &str) -> Self {
        let word = self.cluster.symbol(name);
        self.cluster.set(Column::PodNodeName, self.row, vec![word]);
        self
    }
    /// Adds a pair to `spec.nodeSelector`.
    pub fn node_selector(self, key: &str, value: &str) -> Self {
        self.cluster.push_pair(Column::PodNodeSelector, self.row, key, value);
        self
    }
    /// cpu in thousandths.
    pub fn request(self, resource: &str, amount: i64) -> Self {
        self.cluster.push_amount(Column::PodRequests, self.row, resource, amount);
        self
    }
    /// What it requests as scoring sees it: cpu in thousandths, memory in bytes.
    pub fn request_nonzero(self, cpu: i64, memory: i64) -> Self {
        self.cluster.set(Column::PodRequestsNonzero, self.row, vec![cpu, memory]);
        self
    }
    /// A port of the host that it wants.
    pub fn port(self, ip: &str, protocol: crate::Protocol, port: i64) -> Self {
        let words = [self.cluster.symbol(ip), protocol as i64, port];
        self.cluster.push(Column::PodPorts, self.row, &words);
        self
    }
    /// `None` for a value: operator Exists; "" for a key: every key; `None` for an effect: every effect.
    pub fn toleration(self, key: &str, value: Option<&str>, effect: Option<Effect>) -> Self {
        let key = if key.is_empty() { -1 } else { self.cluster.symbol(key) };
        let word = value.map_or(-1, |value| self.cluster.symbol(value));
        let words = [key, i64::from(value.is_none()), word, effect.map_or(-1, |effect| effect as i64)];
        self.cluster.push(Column::PodTolerations, self.row, &words);
        self
    }
    /// A toleration of a taint whose value is a number above or below another.
    pub fn comparing_toleration(self, key: &str, compares: Comparison) -> Self {
        let (operator, number) = match compares {
            Comparison::Above(number) => (Operator::Gt, number),
            Comparison::Below(number) => (Operator::Lt, number),
        };
        let words = [self.cluster.symbol(key), operator as i64, number, -1];
        self.cluster.push(Column::PodComparingTolerations, self.row, &words);
        self
    }
    /// Adds a required term of one requirement on a label.
    pub fn required(self, key: &str, operator: Operator, values: &[&str]) -> Self {
        self.required_term(&[(false, key, operator, values)])
    }
    /// Adds a required term: each requirement is (field, key, operator, values).
    pub fn required_term(mut self, requirements: &[(bool, &str, Operator, &[&str])]) -> Self {
        let term = self.term(requirements);
        let mut cell = self.cluster.mirror.cell(Column::PodNodeAffinity.id(), self.row).to_vec();
        match cell.first_mut() {
            Some(count) => *count += 1,
            None => cell.push(1),
        }
        cell.extend(term);
        self.cluster.set(Column::PodNodeAffinity, self.row, cell);
        self
    }
    /// Adds a preferred term of one requirement.
    pub fn preferred(mut self, weight: i64, key: &str, operator: Operator, values: &[&str]) -> Self {
        let mut words = vec![weight];
        words.extend(self.term(&[(false, key, operator, values)]));
        self.cluster.push(Column::PodNodeAffinityPreferred, self.row, &words);
        self
    }
    fn term(&mut self, requirements: &[(bool, &str, Operator, &[&str])]) -> Vec<i64> {
        let mut words = vec![requirements.len() as i64];
        for (field, key, operator, values) in requirements {
            words.extend([i64::from(*field), self.cluster.symbol(key), *operator as i64, values.len() as i64]);
            words.extend(values.iter().map(|value| self.cluster.symbol(value)));
        }
        words
    }
    /// Its row.
    pub fn row(self) -> u32 {
        self.row
    }
}
