//! Asks live policies on the scheduling thread: instances, their mirrors, faults, audits.

use crate::limits;
use crate::live::{Live, PolicySet, Slot, Unit};
use sampan_scheduler_core::{
    Ask, Fault, Feed, LivePolicies, PodView, Policies, PolicyHosts, Profile, Scores, Snapshot, Unfit,
};
use sampan_wasm_runtime::policy::{
    PolicyBudget, PolicyCause, PolicyChanges, PolicyFault, PolicyInput, PolicyInstance, PolicyScores, PolicyVerdicts,
};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How a [`Host`] asks.
#[derive(Clone, Copy, Debug)]
pub struct HostConfig {
    /// One call in so many of a unit whose policies are all pure is audited; 0: none.
    pub audit_every: u64,
    /// Whether calls and faults are counted, and faults are strikes.
    pub counts: bool,
}

impl HostConfig {
    /// For explanations: whoever asks for one cannot have a policy suspended by it.
    pub const EXPLAINING: Self = Self { audit_every: 0, counts: false };
}

impl Default for HostConfig {
    fn default() -> Self {
        Self { audit_every: limits::AUDIT_EVERY, counts: true }
    }
}

/// One instance and what its mirror was sent.
struct Copy {
    instance: PolicyInstance,
    feed: Feed,
    /// Slots that it was configured for. Ids come again: it is the slot itself that counts.
    configured: Vec<Arc<Slot>>,
}

impl Copy {
    fn has(&self, slot: &Arc<Slot>) -> bool {
        self.configured.iter().any(|own| Arc::ptr_eq(own, slot))
    }
}

/// A unit of built-in policies that faults again and again.
struct Rest {
    faults: u32,
    until: Instant,
}

fn restart_wait(faults: u32) -> Duration {
    // The first fault may be the question's.
    match faults.checked_sub(2) {
        None => Duration::ZERO,
        Some(doublings) => limits::RESTART_BASE.saturating_mul(1 << doublings.min(16)).min(limits::RESTART_MAX),
    }
}

/// The cycle's `Policies` over Wasm. Of one snapshot: another snapshot needs another host. Not shared between threads.
pub struct Host {
    live: Live,
    config: HostConfig,
    set: Arc<PolicySet>,
    copies: HashMap<u32, Copy>,
    rests: HashMap<u32, Rest>,
    calls: u64,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("generation", &self.set.generation).finish_non_exhaustive()
    }
}

pub(crate) mod convert {
    use sampan_scheduler_core::{Changes, Reason, Scores, Unfit};
    use sampan_wasm_runtime::policy::{PolicyChanges, PolicyScores, PolicyVerdicts};

    pub fn changes(c: Changes) -> PolicyChanges {
        PolicyChanges {
            strings: c.strings,
            string_ends: c.string_ends,
            columns: c.columns,
            column_ends: c.column_ends,
            rows: c.rows,
            cell_ends: c.cell_ends,
            words: c.words,
        }
    }

    pub fn verdicts(answer: PolicyVerdicts) -> Unfit {
        let reasons = answer.reasons.into_iter();
        let reasons = reasons.map(|r| Reason { policy: r.policy, unresolvable: r.bits & 1 == 1, texts: r.texts });
        Unfit { marks: answer.marks, reasons: reasons.collect(), skipped: answer.skipped }
    }

    pub fn scores(answer: PolicyScores) -> Scores {
        Scores { skipped: answer.skipped, values: answer.values }
    }
}

/// The question as it crosses; what it carries counts as sent.
pub(crate) fn input(
    feed: &mut Feed,
    snapshot: &Snapshot,
    pod: &PodView,
    policies: &[u32],
    rows: &[u32],
) -> PolicyInput {
    let (changes, pod) = feed.changes(snapshot, pod);
    PolicyInput {
        changes: convert::changes(changes),
        overlay: PolicyChanges::default(),
        pod,
        policies: policies.to_vec(),
        nodes: rows.to_vec(),
    }
}

/// What a question is answered by.
trait Point {
    type Answer: PartialEq;
    fn ask(copy: &mut Copy, unit: &Unit, input: PolicyInput) -> Result<Self::Answer, PolicyFault>;
}

struct Filter;
impl Point for Filter {
    type Answer = PolicyVerdicts;
    fn ask(copy: &mut Copy, unit: &Unit, input: PolicyInput) -> Result<PolicyVerdicts, PolicyFault> {
        copy.instance.filter(unit.budget, input)
    }
}

struct Score;
impl Point for Score {
    type Answer = PolicyScores;
    fn ask(copy: &mut Copy, unit: &Unit, input: PolicyInput) -> Result<PolicyScores, PolicyFault> {
        copy.instance.score(unit.budget, input)
    }
}

impl Host {
    /// Asks what is live now; [`Host::adopt`] takes up what comes later.
    pub fn new(live: &Live, config: HostConfig) -> Self {
        Self {
            live: live.clone(),
            config,
            set: live.current(),
            copies: HashMap::new(),
            rests: HashMap::new(),
            calls: 0,
        }
    }

    /// What it asks.
    pub fn set(&self) -> &Arc<PolicySet> {
        &self.set
    }

    /// Takes up the newest set. To be called between two cycles; returns whether it was another one.
    pub fn adopt(&mut self) -> bool {
        let newest = self.live.current();
        if newest.generation == self.set.generation {
            return false;
        }
        self.copies.retain(|unit, _| newest.units.iter().any(|other| other.id == *unit));
        // Other arguments or another component: it has another chance.
        self.rests.clear();
        self.set = newest;
        true
    }

    /// Forgets all mirrors: for another snapshot.
    pub fn clear(&mut self) {
        self.copies.clear();
    }

    fn copy(unit: &Unit, seed: u64) -> Result<Copy, PolicyFault> {
        let instance = unit.component.instantiate(unit.budget, unit.memory, seed)?;
        let columns = unit.slots.iter().map(|slot| slot.prepared.policy.columns);
        let columns = columns.reduce(|all, more| all.union(more)).unwrap_or_default();
        let mut copy = Copy { instance, feed: Feed::new(columns), configured: Vec::new() };
        for slot in &unit.slots {
            configure(&mut copy, unit, slot)?;
        }
        Ok(copy)
    }

    fn ask<P: Point>(&mut self, unit: u32, ask: &Ask<'_>) -> Result<P::Answer, Fault> {
        let set = Arc::clone(&self.set);
        let fault = |fault: &PolicyFault| Fault {
            policies: ask.policies.to_vec(),
            cause: fault.cause.as_str().to_owned(),
            message: fault.message.clone(),
        };
        let Some(unit) = set.units.iter().find(|other| other.id == unit) else {
            let gone = PolicyFault { cause: PolicyCause::BadAnswer, message: "it is no longer live".into() };
            return Err(fault(&gone));
        };
        let asked: Vec<&Arc<Slot>> = unit.slots.iter().filter(|slot| ask.policies.contains(&slot.id)).collect();
        if let Some(rest) = self.rests.get(&unit.id)
            && rest.until > self.live.now()
        {
            let message = format!("it is started again a while after {} faults in a row", rest.faults);
            return Err(fault(&PolicyFault { cause: PolicyCause::Trap, message }));
        }
        match self.answer::<P>(unit, &asked, ask) {
            Ok(answer) => {
                self.rests.remove(&unit.id);
                Ok(answer)
            }
            Err(why) => {
                // Its memory may be in any state: the next question gets a fresh instance and a fresh mirror.
                self.copies.remove(&unit.id);
                self.rest(unit);
                if self.config.counts {
                    self.live.faulted(&asked, &why);
                }
                Err(fault(&why))
            }
        }
    }

    /// What cannot be suspended is not asked all the time either.
    fn rest(&mut self, unit: &Unit) {
        if unit.slots.iter().any(|slot| slot.prepared.built_in) {
            let now = self.live.now();
            let rest = self.rests.entry(unit.id).or_insert(Rest { faults: 0, until: now });
            rest.faults = rest.faults.saturating_add(1);
            rest.until = now + restart_wait(rest.faults);
        }
    }

    fn answer<P: Point>(&mut self, unit: &Unit, asked: &[&Arc<Slot>], ask: &Ask<'_>) -> Result<P::Answer, PolicyFault> {
        // A new slot may want columns that the mirror was never fed.
        let fits = self.copies.get(&unit.id).is_some_and(|copy| unit.slots.iter().all(|slot| copy.has(slot)));
        if !fits {
            self.copies.insert(unit.id, Self::copy(unit, u64::from(unit.id))?);
        }
        let Some(copy) = self.copies.get_mut(&unit.id) else {
            return Err(PolicyFault { cause: PolicyCause::Trap, message: "its instance is gone".into() });
        };
        let question = input(&mut copy.feed, ask.snapshot, ask.pod, ask.policies, ask.rows);
        let answer = P::ask(copy, unit, question)?;
        if self.config.counts {
            self.live.called(asked, copy.instance.spent().wall);
        }
        self.calls += 1;
        let pure = asked.iter().all(|slot| slot.prepared.policy.cacheable);
        if pure && self.config.audit_every > 0 && self.calls.is_multiple_of(self.config.audit_every) {
            self.audit::<P>(unit, ask, &answer)?;
        }
        Ok(answer)
    }

    /// Asks a fresh instance the same: one that says it is pure must agree with itself.
    fn audit<P: Point>(&self, unit: &Unit, ask: &Ask<'_>, heard: &P::Answer) -> Result<(), PolicyFault> {
        let mut fresh = Self::copy(unit, self.calls)?;
        // The mirror first, whole, and no question: the audited call had the most of it from earlier ones.
        let budget = PolicyBudget { cpu: limits::FEED_CPU, wall: limits::FEED_WALL };
        let feeding = Unit { budget, ..unit.clone() };
        let mirror = input(&mut fresh.feed, ask.snapshot, ask.pod, &[], &[]);
        P::ask(&mut fresh, &feeding, mirror)?;
        let question = input(&mut fresh.feed, ask.snapshot, ask.pod, ask.policies, ask.rows);
        if P::ask(&mut fresh, unit, question)? == *heard {
            return Ok(());
        }
        let message = "a fresh instance answered the same question differently".to_owned();
        Err(PolicyFault { cause: PolicyCause::Impure, message })
    }
}

fn configure(copy: &mut Copy, unit: &Unit, slot: &Arc<Slot>) -> Result<(), PolicyFault> {
    let (policy, args) = (&slot.prepared.policy.name, &slot.prepared.args);
    let configured = copy.instance.configure(unit.budget, slot.id, policy, args)?;
    configured.map_err(|message| PolicyFault { cause: PolicyCause::Refused, message })?;
    copy.configured.push(Arc::clone(slot));
    Ok(())
}

impl Policies for Host {
    fn filter(&mut self, unit: u32, ask: &Ask<'_>) -> Result<Unfit, Fault> {
        self.ask::<Filter>(unit, ask).map(convert::verdicts)
    }

    fn score(&mut self, unit: u32, ask: &Ask<'_>) -> Result<Scores, Fault> {
        self.ask::<Score>(unit, ask).map(convert::scores)
    }
}

impl LivePolicies for Host {
    fn adopt(&mut self) -> bool {
        Host::adopt(self)
    }
    fn profile(&self, scheduler_name: &str) -> Option<Arc<Profile>> {
        self.set.profiles.get(scheduler_name).cloned()
    }
    fn events(&self, policy: u32) -> &[String] {
        self.set.events.get(&policy).map_or(&[], Vec::as_slice)
    }
    fn clear(&mut self) {
        Host::clear(self);
    }
    fn ready(&self) -> bool {
        self.set.ready && !self.set.is_empty()
    }
    fn memory(&self) -> Option<u64> {
        self.set.units.iter().map(|unit| unit.memory).min()
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
