//! The trait that an author implements.

use crate::columns::Column;
use crate::limits;
use crate::mirror::Mirror;
use crate::runtime::Reason;
use crate::view::{Node, Pod};
use std::borrow::Cow;

/// A point of the cycle at which a policy takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    Filter,
    Score,
}

/// The mapping of raw scores to 0..=100 by the host, over the nodes that survived the filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalize {
    /// They are in 0..=100 already; what is outside is cut.
    None,
    /// Kubernetes' default: in proportion to the largest.
    Max,
    /// As `Max`, reversed: the largest becomes 0.
    MaxReversed,
    /// Stretched so that the smallest becomes 0 and the largest 100.
    MinMax,
}

/// The inputs that an answer about a node depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// On the pod and that node alone: the host may keep it until the node changes.
    Node,
    /// On other nodes too: asked anew in each cycle.
    Global,
}

/// Arguments of a policy that has none.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoArgs {}

/// May the pod run on the node?
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    Refuse {
        /// Counted one by one in the pod's condition: `2 Insufficient cpu`.
        texts: Vec<Cow<'static, str>>,
        /// No eviction of pods could change it.
        unresolvable: bool,
    },
}

impl Verdict {
    /// A refusal that an eviction of pods could change.
    pub fn unschedulable(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Refuse { texts: vec![text.into()], unresolvable: false }
    }
    /// A refusal that no eviction of pods could change.
    pub fn unresolvable(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Refuse { texts: vec![text.into()], unresolvable: true }
    }
}

/// A scheduling policy. One value of the type is made for each `SchedulingPolicy` object that names it.
pub trait Policy: Sized + 'static {
    const NAME: &'static str;
    const POINTS: &'static [Point];
    /// The columns of pods and nodes that it reads. What is not asked for is not there.
    const COLUMNS: &'static [Column];
    const NORMALIZE: Normalize = Normalize::None;
    const SCOPE: Scope = Scope::Node;
    const PURE: bool = true;
    /// Events that may help a pod that it refused, as kube-scheduler names them: `Node/Add`, `Node/UpdateNodeLabel`,
    /// `Node/UpdateNodeTaint`, `Node/UpdateNodeAllocatable`, `Pod/Delete`.
    const EVENTS: &'static [&'static str] = &["Node/Add", "Node/Update", "Pod/Delete"];
    /// JSON schema of the arguments.
    const ARGS_SCHEMA: &'static str = "{}";
    type Args: serde::de::DeserializeOwned;

    /// An error names what is wrong with the arguments.
    fn new(args: Self::Args) -> Result<Self, String>;

    fn filter(&self, _pod: &Pod, _node: &Node) -> Verdict {
        Verdict::Pass
    }

    /// Raw; see [`Policy::NORMALIZE`].
    fn score(&self, _pod: &Pod, _node: &Node) -> i64 {
        0
    }

    /// `false`: the filter does not concern this pod at all, no node need be looked at.
    fn filters(&self, _pod: &Pod) -> bool {
        true
    }

    /// `false`: the score does not concern this pod at all.
    fn scores(&self, _pod: &Pod) -> bool {
        true
    }

    /// All nodes of a question at once: for policies that read the pod once and compare ids. By default [`Policy::filter`]
    /// for each.
    fn filter_all(&self, pod: &Pod, nodes: &Nodes, verdicts: &mut Verdicts) {
        for (index, node) in nodes.iter() {
            if !verdicts.refused(index) {
                verdicts.put(index, self.filter(pod, &node));
            }
        }
    }

    /// As [`Policy::filter_all`]; one score is pushed for each node.
    fn score_all(&self, pod: &Pod, nodes: &Nodes, scores: &mut Vec<i64>) {
        scores.extend(nodes.iter().map(|(_, node)| self.score(pod, &node)));
    }
}

/// The nodes of one question.
pub struct Nodes<'a> {
    pub(crate) mirror: &'a Mirror,
    pub(crate) rows: &'a [u32],
}

impl<'a> Nodes<'a> {
    /// Each node, with its index in the question.
    pub fn iter(&self) -> impl Iterator<Item = (usize, Node<'a>)> + use<'a> {
        let mirror = self.mirror;
        self.rows.iter().enumerate().map(move |(index, row)| (index, Node::new(mirror, *row)))
    }
}

/// Marks and their reasons, collected over the policies of one question: the first that refuses a node is kept.
pub struct Verdicts {
    pub(crate) marks: Vec<u8>,
    pub(crate) reasons: Vec<Reason>,
    slot: u32,
    any: bool,
    /// The reason that was used last: runs of equal verdicts are the rule.
    last: usize,
    /// Bytes of the reasons' texts.
    bytes: usize,
    /// The reason that stands for all that have no room.
    other: Option<usize>,
}

/// Stands for what no longer fits the table.
const OTHER: &str = "node(s) were refused for other reasons";

impl Verdicts {
    pub(crate) fn new(nodes: usize) -> Self {
        Self { marks: vec![0; nodes], reasons: Vec::new(), slot: 0, any: false, last: 0, bytes: 0, other: None }
    }

    pub(crate) fn run_for(&mut self, slot: u32) {
        self.slot = slot;
    }

    pub(crate) fn finish(mut self) -> (Vec<u8>, Vec<Reason>) {
        if !self.any {
            self.marks.clear();
        }
        (self.marks, self.reasons)
    }

    /// Whether an earlier policy of the question refused the node at `index`.
    pub fn refused(&self, index: usize) -> bool {
        self.marks[index] != 0
    }

    /// Records the verdict on the node at `index`: the first refusal of a node is kept by not asking again, see
    /// [`Verdicts::refused`]. What has no room within the contract's bounds is cut, or counted under one common reason.
    pub fn put(&mut self, index: usize, verdict: Verdict) {
        let Verdict::Refuse { texts, unresolvable } = verdict else { return };
        let bits = u32::from(unresolvable);
        let slot = self.slot;
        let same = |reason: &Reason| {
            reason.policy == slot
                && reason.bits == bits
                && reason.texts.len() == texts.len()
                && reason.texts.iter().zip(&texts).all(|(a, b)| a == b)
        };
        let found = match self.reasons.get(self.last) {
            Some(reason) if same(reason) => Some(self.last),
            _ => self.reasons.iter().position(same),
        };
        let position = found.unwrap_or_else(|| {
            let texts: Vec<String> = texts.iter().take(limits::TEXTS).map(|text| cut(text)).collect();
            let bytes = self.bytes + texts.iter().map(String::len).sum::<usize>();
            if self.reasons.len() >= limits::REASONS - 1 || bytes > limits::TEXTS_BYTES - OTHER.len() {
                return self.other(bits);
            }
            self.bytes = bytes;
            self.reasons.push(Reason { policy: slot, bits, texts });
            self.reasons.len() - 1
        });
        self.last = position;
        self.any = true;
        self.marks[index] = position as u8 + 1;
    }

    fn other(&mut self, bits: u32) -> usize {
        *self.other.get_or_insert_with(|| {
            self.reasons.push(Reason { policy: self.slot, bits, texts: vec![OTHER.to_string()] });
            self.reasons.len() - 1
        })
    }
}

/// The text, as far as the contract has room for it.
fn cut(text: &str) -> String {
    let end = (0..=limits::TEXT_BYTES.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_reasons_there_are_the_answer_keeps_the_contracts_bounds() {
        for (count, texts, length) in [(1000, 1, 8), (10, 1000, 8), (200, 60, 900), (3, 1, 100_000)] {
            let mut verdicts = Verdicts::new(count);
            for index in 0..count {
                let texts = (0..texts).map(|at| format!("{index} {at} {}", "ü".repeat(length / 2)).into()).collect();
                verdicts.put(index, Verdict::Refuse { texts, unresolvable: false });
            }
            let (marks, reasons) = verdicts.finish();
            assert!(marks.iter().all(|mark| (1..=reasons.len()).contains(&usize::from(*mark))), "{count}");
            assert!(reasons.len() <= limits::REASONS);
            assert!(reasons.iter().all(|reason| reason.texts.len() <= limits::TEXTS));
            let all = || reasons.iter().flat_map(|reason| &reason.texts);
            assert!(all().all(|text| text.len() <= limits::TEXT_BYTES));
            assert!(all().map(String::len).sum::<usize>() <= limits::TEXTS_BYTES);
        }
    }
}
