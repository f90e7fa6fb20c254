//! Asks live policies on the scheduling thread, as the cycle's `Policies`.

use crate::limits;
use crate::live::{Live, PolicySet, Profiles, Unit};
use crate::prepare::Prepared;
use sampan_policy_host::{self as host, HostConfig, Instances, Mirror, Question as Crossing};
use sampan_scheduler_core::{
    Answer, Changes, Fault, Feed, FilterAnswer, LivePolicies, Point, Policies, PolicyHosts, Profile, Question, Reason,
    ScoreAnswer, Signature, Snapshot, Unanswered, column_id,
};
use sampan_wasm_runtime::policy::{
    PolicyBudget, PolicyChanges, PolicyFault, PolicyInput, PolicyInstance, PolicyScores, PolicyVerdicts,
};
use std::sync::Arc;

/// The cause of a fault that is the pod's own doing: what this pod brings costs more than one question may. Nothing is held
/// against the policies, and no other pod is concerned.
pub const POD_TOO_LARGE: &str = "PodTooLarge";

/// What a mirror shows: a cluster, and the pod in hand.
#[derive(Clone, Copy)]
pub(crate) struct World<'a> {
    /// The cluster.
    pub snapshot: &'a Snapshot,
    /// The pod, as that unit sees it.
    pub pod: &'a Signature,
    /// Rows of the nodes that are asked about.
    pub rows: &'a [u32],
}

/// What one instance's mirror was sent.
pub(crate) struct Mirrored(Feed);

impl Mirrored {
    /// Of a fresh instance of the unit: what any of its slots wants.
    pub fn of(unit: &Unit) -> Self {
        let columns = unit.slots.iter().map(|slot| slot.prepared.policy.columns);
        Self::new(columns.reduce(|all, more| all.union(more)).unwrap_or_default())
    }

    /// Of these columns.
    pub fn new(columns: sampan_scheduler_core::ColumnSet) -> Self {
        Self(Feed::new(columns))
    }
}

impl Mirror for Mirrored {
    type World<'a> = World<'a>;

    fn question(&mut self, world: World<'_>) -> Crossing {
        let (changes, row) = self.0.changes(world.snapshot, world.pod);
        let (of_cluster, of_pod) = partition(changes);
        Crossing {
            world: of_cluster,
            subject: of_pod,
            subject_bytes: world.pod.bytes(),
            row,
            candidates: world.rows.to_vec(),
        }
    }

    fn is_worn(&self, memory: u64) -> bool {
        self.0.is_worn(usize::try_from(memory).unwrap_or(usize::MAX) / limits::MIRROR_SHARE)
    }
}

struct Filter;
impl host::Point for Filter {
    type Raw = PolicyVerdicts;
    type Answer = Answer;
    fn call(instance: &mut PolicyInstance, budget: PolicyBudget, input: PolicyInput) -> Result<Self::Raw, PolicyFault> {
        instance.filter(budget, input)
    }
}

struct Score;
impl host::Point for Score {
    type Raw = PolicyScores;
    type Answer = Answer;
    fn call(instance: &mut PolicyInstance, budget: PolicyBudget, input: PolicyInput) -> Result<Self::Raw, PolicyFault> {
        instance.score(budget, input)
    }
}

/// Strings and the nodes' cells; the pod's cells. A feed has the nodes' columns before the pods'.
fn partition(mut changes: Changes) -> (PolicyChanges, PolicyChanges) {
    let column = changes.columns.iter().position(|id| *id >= column_id::POD_ROW).unwrap_or(changes.columns.len());
    let row = column.checked_sub(1).map_or(0, |last| changes.column_ends[last] as usize);
    let word = row.checked_sub(1).map_or(0, |last| changes.cell_ends[last] as usize);
    let behind = |ends: Vec<u32>, first: usize| ends.into_iter().map(|end| end - first as u32).collect();
    let of_pod = PolicyChanges {
        columns: changes.columns.split_off(column),
        column_ends: behind(changes.column_ends.split_off(column), row),
        rows: changes.rows.split_off(row),
        cell_ends: behind(changes.cell_ends.split_off(row), word),
        words: changes.words.split_off(word),
        ..PolicyChanges::default()
    };
    let of_cluster = PolicyChanges {
        strings: changes.strings,
        string_ends: changes.string_ends,
        columns: changes.columns,
        column_ends: changes.column_ends,
        rows: changes.rows,
        cell_ends: changes.cell_ends,
        words: changes.words,
    };
    (of_cluster, of_pod)
}

/// The filters' answer as the cycle has it.
pub(crate) fn verdicts(answer: PolicyVerdicts) -> Answer {
    let reasons = answer.reasons.into_iter();
    let reasons = reasons.map(|r| Reason { policy: r.policy, unresolvable: r.bits & 1 == 1, texts: r.texts });
    Answer::Filter(FilterAnswer { marks: answer.marks, reasons: reasons.collect(), skipped: answer.skipped })
}

/// The scores' answer as the cycle has it.
pub(crate) fn scores(answer: PolicyScores) -> Answer {
    Answer::Score(ScoreAnswer { skipped: answer.skipped, values: answer.values })
}

/// The cycle's `Policies` over Wasm. Of one snapshot: another snapshot needs another host. Not shared between threads.
#[derive(Debug)]
pub struct Host {
    instances: Instances<Prepared, Profiles, Mirrored>,
}

impl Host {
    /// Asks what is live now; [`Host::adopt`] takes up what comes later.
    pub fn new(live: &Live, config: HostConfig) -> Self {
        Self { instances: Instances::new(live, config) }
    }

    /// What it asks.
    pub fn set(&self) -> &Arc<PolicySet> {
        self.instances.set()
    }

    /// Takes up what is live now. To be called between two cycles; returns whether answers may be others than before.
    pub fn adopt(&mut self) -> bool {
        self.instances.adopt()
    }

    /// Forgets all mirrors: the next question to each policy finds a fresh instance.
    pub fn clear(&mut self) {
        self.instances.clear();
    }

    fn ask<C: host::Point<Answer = Answer>>(
        &mut self,
        point: Point,
        unit: u32,
        question: &Question<'_>,
        read: impl FnOnce(C::Raw) -> Answer,
    ) -> Result<Answer, Unanswered> {
        let world = World { snapshot: question.snapshot, pod: question.signature, rows: question.rows };
        // Nothing of an answer is read before it was held against the contract's bounds.
        let checked = |raw| read(raw).checked(point, question).map_err(|bad| bad.to_string());
        let answer = self.instances.ask::<C>(unit, question.policies, Mirrored::of, world, checked);
        answer.map_err(|fault| {
            let asked = question.policies.to_vec();
            let fault = match fault.blame {
                host::Blame::Policy | host::Blame::NotReady => Fault::new(asked, fault.cause, &fault.message),
                host::Blame::Subject => {
                    let bytes = question.signature.bytes();
                    let message = format!(
                        "the pod's own scheduling constraints of {bytes} bytes cost too much: {}",
                        fault.message
                    );
                    Fault::new(asked, POD_TOO_LARGE, &message)
                }
            };
            Unanswered::Fault(fault)
        })
    }
}

impl Policies for Host {
    fn ask(&mut self, point: Point, unit: u32, question: &Question<'_>) -> Result<Answer, Unanswered> {
        match point {
            Point::Filter => self.ask::<Filter>(point, unit, question, verdicts),
            Point::Score => self.ask::<Score>(point, unit, question, scores),
        }
    }
}

impl LivePolicies for Host {
    fn adopt(&mut self) -> bool {
        Host::adopt(self)
    }
    fn profile(&self, scheduler_name: &str) -> Option<Arc<Profile>> {
        self.set().view.profiles.get(scheduler_name).cloned()
    }
    fn events(&self, policy: u32) -> &[String] {
        self.set().view.events.get(&policy).map_or(&[], Vec::as_slice)
    }
    fn ready(&self) -> bool {
        self.set().ready && !self.set().is_empty()
    }
}

impl PolicyHosts for Live {
    fn host(&self) -> Box<dyn LivePolicies> {
        Box::new(Host::new(self, HostConfig::default()))
    }
    fn explaining_host(&self) -> Box<dyn LivePolicies> {
        Box::new(Host::new(self, HostConfig::EXPLAINING))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pods_cells_are_told_from_the_clusters() {
        let check = |columns: &[(u32, &[i64])], nodes: usize| {
            let mut changes = Changes { strings: b"ab".to_vec(), string_ends: vec![2], ..Changes::default() };
            for (column, words) in columns {
                changes.columns.push(*column);
                changes.rows.push(7);
                changes.words.extend_from_slice(words);
                changes.cell_ends.push(changes.words.len() as u32);
                changes.column_ends.push(changes.rows.len() as u32);
            }
            let (of_cluster, of_pod) = partition(changes);
            assert_eq!((of_cluster.columns.len(), of_pod.columns.len()), (nodes, columns.len() - nodes));
            assert_eq!((&*of_cluster.strings, &*of_pod.strings), (&b"ab"[..], &b""[..]));
            for (part, expected) in [(of_cluster, &columns[..nodes]), (of_pod, &columns[nodes..])] {
                let mut begin = 0;
                for (at, (_, words)) in expected.iter().enumerate() {
                    let end = part.cell_ends[at] as usize;
                    assert_eq!(&part.words[begin..end], *words);
                    assert_eq!(part.column_ends[at] as usize, at + 1);
                    begin = end;
                }
                assert_eq!(part.words.len(), begin);
            }
        };
        check(&[], 0);
        check(&[(1, &[1, 2]), (3, &[]), (256, &[1]), (260, &[5, 6, 7])], 2);
        check(&[(256, &[1])], 0);
        check(&[(0, &[1]), (5, &[2, 3])], 2);
    }
}
