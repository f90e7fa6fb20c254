//! Asks live policies on the scheduling thread, as the cycle's `Policies`.

use crate::live::{Live, PolicySet, Profiles, Unit};
use crate::mirror::{Mirrored, World, scores, verdicts};
use crate::prepare::Prepared;
use sampan_policy_host::{self as host, HostConfig, Instances};
use sampan_scheduler_core::{
    Answer, ColumnSet, Fault, LivePolicies, Point, Policies, PolicyHosts, Profile, Question, Snapshot, Unanswered,
};
use sampan_wasm_runtime::policy::{
    PolicyBudget, PolicyFault, PolicyInput, PolicyInstance, PolicyScores, PolicyVerdicts,
};
use std::sync::Arc;

/// The cause of a fault that is the pod's own doing: what this pod brings costs more than one question may. Nothing is held
/// against the policies, and no other pod is concerned.
pub const POD_TOO_LARGE: &str = "PodTooLarge";

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

/// The mirror of a fresh instance of the unit: what any of its slots wants.
fn mirror_of(unit: &Unit) -> Mirrored {
    Mirrored::new(columns(unit))
}

fn columns(unit: &Unit) -> ColumnSet {
    let columns = unit.slots.iter().map(|slot| slot.prepared.policy.columns);
    columns.reduce(|all, more| all.union(more)).unwrap_or_default()
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

    /// The set that it asks.
    pub fn set(&self) -> &Arc<PolicySet> {
        self.instances.set()
    }

    /// Takes up what is live now. To be called between two cycles; returns whether answers may be others than before.
    pub fn adopt(&mut self) -> bool {
        self.instances.adopt()
    }

    /// Feeds the snapshot to what is about to go live. To be called between two cycles, when something tells of a change.
    pub fn warm(&mut self, snapshot: &mut Snapshot) {
        for unit in self.instances.to_warm() {
            snapshot.want(columns(&unit));
        }
        self.instances.warm(mirror_of, snapshot);
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
        let answer = self.instances.ask::<C>(unit, question.policies, mirror_of, world, checked);
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
    fn warm(&mut self, snapshot: &mut Snapshot) {
        Host::warm(self, snapshot);
    }
    fn profile(&self, scheduler_name: &str) -> Option<Arc<Profile>> {
        self.set().view.profiles.get(scheduler_name).cloned()
    }
    fn events(&self, policy: u32) -> &[String] {
        self.set().view.events.get(&policy).map_or(&[], Vec::as_slice)
    }
    fn ready(&self) -> bool {
        let set = self.set();
        // Where nothing is live, but something is to be: the cycle tells the pods what they wait for.
        let tells = || set.view.profiles.values().any(|profile| !profile.held.is_empty());
        set.ready && (!set.is_empty() || tells())
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
