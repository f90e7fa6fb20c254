//! One component at work: mirror, slots, and the answers to the host's questions. The same natively and in Wasm.

use crate::describe::describe;
use crate::limits;
use crate::mirror::{Changes, Mirror};
use crate::policy::{Nodes, Policy, Verdicts};
use crate::view::Pod;
use serde_json::{Value, json};

/// See `input` in plugins/wit/scheduling.wit.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// To be kept.
    pub changes: Changes,
    /// To be seen by this call only.
    pub overlay: Changes,
    /// Row of the pod.
    pub pod: u32,
    /// Slots of the policies to run, in order.
    pub policies: Vec<u32>,
    /// Rows of the nodes, in the order of the answer.
    pub nodes: Vec<u32>,
}

/// The reason why a node was refused: see `reason` in plugins/wit/scheduling.wit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Slot of the policy that refuses it.
    pub policy: u32,
    /// Bit 0: no eviction of pods could change it.
    pub bits: u32,
    /// Counted one by one in the pod's condition.
    pub texts: Vec<String>,
}

/// See `failure` in plugins/wit/scheduling.wit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Slot of the policy that cannot answer.
    pub policy: u32,
    /// The message.
    pub message: String,
}

/// The answer of the filters: see `verdicts` in plugins/wit/scheduling.wit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilterAnswer {
    /// For each node 0, or 1 + an index of `reasons`; empty when all passed.
    pub marks: Vec<u8>,
    /// The reasons that the marks point at.
    pub reasons: Vec<Reason>,
    /// Slots of the policies that the pod does not concern.
    pub skipped: Vec<u32>,
}

/// The answer of the scores: see `scores` in plugins/wit/scheduling.wit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scores {
    /// Slots of the policies that the pod does not concern.
    pub skipped: Vec<u32>,
    /// One raw score a node for each of the other policies, in order.
    pub values: Vec<i64>,
}

trait Erased {
    fn filters(&self, pod: &Pod) -> bool;
    fn scores(&self, pod: &Pod) -> bool;
    fn filter_all(&self, pod: &Pod, nodes: &Nodes, verdicts: &mut Verdicts);
    fn score_all(&self, pod: &Pod, nodes: &Nodes, scores: &mut Vec<i64>);
}

impl<P: Policy> Erased for P {
    fn filters(&self, pod: &Pod) -> bool {
        Policy::filters(self, pod)
    }
    fn scores(&self, pod: &Pod) -> bool {
        Policy::scores(self, pod)
    }
    fn filter_all(&self, pod: &Pod, nodes: &Nodes, verdicts: &mut Verdicts) {
        Policy::filter_all(self, pod, nodes, verdicts);
    }
    fn score_all(&self, pod: &Pod, nodes: &Nodes, scores: &mut Vec<i64>) {
        Policy::score_all(self, pod, nodes, scores);
    }
}

/// One of a component's policies, before it is configured.
#[derive(Clone, Copy)]
pub struct Entry {
    name: &'static str,
    describe: fn() -> Value,
    make: fn(&str) -> Result<Box<dyn Erased>, String>,
}

/// The entry of a policy, for [`Runtime::new`].
pub fn entry<P: Policy>() -> Entry {
    Entry { name: P::NAME, describe: describe::<P>, make: make::<P> }
}

fn make<P: Policy>(args: &str) -> Result<Box<dyn Erased>, String> {
    let args = if args.is_empty() { "{}" } else { args };
    let args = serde_json::from_str(args).map_err(|error| format!("args: {error}"))?;
    Ok(Box::new(P::new(args)?))
}

/// The state of a component.
pub struct Runtime {
    entries: Vec<Entry>,
    slots: Vec<Option<Box<dyn Erased>>>,
    mirror: Mirror,
}

impl Runtime {
    /// A component of these policies, none of which is configured.
    pub fn new(entries: Vec<Entry>) -> Self {
        Self { entries, slots: Vec::new(), mirror: Mirror::default() }
    }

    /// The component's description of itself, as JSON.
    pub fn describe(&self) -> String {
        json!({ "policies": self.entries.iter().map(|entry| (entry.describe)()).collect::<Vec<_>>() }).to_string()
    }

    /// Puts a policy with its arguments (JSON, "" for none) at a slot.
    ///
    /// # Errors
    /// Names what is wrong with the slot, the policy or the arguments.
    pub fn configure(&mut self, slot: u32, policy: &str, args: &str) -> Result<(), String> {
        let slot = slot as usize;
        if slot >= limits::SLOTS {
            return Err(format!("slot {slot} is past the limit of {}", limits::SLOTS));
        }
        let entry = self.entries.iter().find(|entry| entry.name == policy).ok_or_else(|| {
            let names: Vec<&str> = self.entries.iter().map(|entry| entry.name).collect();
            format!("there is no policy {policy:?} here; there is {}", names.join(", "))
        })?;
        let made = (entry.make)(args)?;
        if slot >= self.slots.len() {
            self.slots.resize_with(slot + 1, || None);
        }
        self.slots[slot] = Some(made);
        Ok(())
    }

    /// Answers which nodes the policies refuse.
    ///
    /// # Errors
    /// When the question contradicts itself.
    pub fn filter(&mut self, input: &Input) -> Result<FilterAnswer, Failure> {
        self.ask(input, |mirror, slots, pod, nodes| {
            let mut verdicts = Verdicts::new(nodes.len());
            let mut skipped = Vec::new();
            for (slot, policy) in slots {
                if !policy.filters(&pod) {
                    skipped.push(*slot);
                    continue;
                }
                verdicts.run_for(*slot);
                policy.filter_all(&pod, &Nodes { mirror, rows: nodes }, &mut verdicts);
            }
            let (marks, reasons) = verdicts.finish();
            FilterAnswer { marks, reasons, skipped }
        })
    }

    /// Answers how the policies score the nodes.
    ///
    /// # Errors
    /// When the question contradicts itself.
    pub fn score(&mut self, input: &Input) -> Result<Scores, Failure> {
        self.ask(input, |mirror, slots, pod, nodes| {
            let mut scores = Scores::default();
            for (slot, policy) in slots {
                if policy.scores(&pod) {
                    policy.score_all(&pod, &Nodes { mirror, rows: nodes }, &mut scores.values);
                } else {
                    scores.skipped.push(*slot);
                }
            }
            scores
        })
    }

    fn ask<T>(
        &mut self,
        input: &Input,
        answer: impl FnOnce(&Mirror, &[(u32, &dyn Erased)], Pod, &[u32]) -> T,
    ) -> Result<T, Failure> {
        let first = input.policies.first().copied().unwrap_or(0);
        let failed = |message: String| Failure { policy: first, message };
        self.mirror.apply(&input.changes).map_err(failed)?;
        let replaced = self.mirror.overlay(&input.overlay).map_err(failed)?;
        let mut slots = Vec::with_capacity(input.policies.len());
        for slot in &input.policies {
            match self.slots.get(*slot as usize).and_then(Option::as_deref) {
                Some(policy) => slots.push((*slot, policy)),
                None => return Err(Failure { policy: *slot, message: format!("slot {slot} was never configured") }),
            }
        }
        let answer = answer(&self.mirror, &slots, Pod::new(&self.mirror, input.pod), &input.nodes);
        self.mirror.restore(replaced).map_err(failed)?;
        Ok(answer)
    }
}
