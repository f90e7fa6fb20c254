//! Asks live policies: their instances and what their mirrors were sent, budgets, faults and whose doing they are, rests,
//! audits.

use crate::feed::{self, Pace, append, bytes_of, split};
use crate::limits;
use crate::live::{Installed, Live, Set, Slot, Unit};
use crate::question::{Asking, Mirror, Point};
use crate::running::{Running, again, input};
use crate::turns::Turn;
use crate::warm::Aside;
use crate::warming::{Warmed, Warming};
use sampan_wasm_runtime::policy::{PolicyCause, PolicyChanges, PolicyFault};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The thread on which a cold mirror is fed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feeding {
    /// Beside the asking thread where it takes longer than [`limits::FEED_AT_ONCE`]; the policies of that component answer
    /// [`Blame::NotReady`] until it is done.
    Aside,
    /// On the asking thread, whole, before the answer.
    AtOnce,
}

/// Settings of [`Instances`].
#[derive(Clone, Copy, Debug)]
pub struct HostConfig {
    /// Calls of a unit whose policies are all pure, of which one is audited; 0: none is.
    pub audit_every: u64,
    /// Whether calls and faults are counted, and faults are strikes.
    pub counts: bool,
    /// The thread on which cold mirrors are fed.
    pub feeding: Feeding,
    /// Whether instances are there for a while only: their memory is part of [`limits::MEMORY_PASSING`].
    pub passing: bool,
}

impl HostConfig {
    /// For explanations: who asks for one cannot have a policy suspended by it.
    pub const EXPLAINING: Self = Self { audit_every: 0, counts: false, feeding: Feeding::AtOnce, passing: true };
}

impl Default for HostConfig {
    fn default() -> Self {
        Self { audit_every: limits::AUDIT_EVERY, counts: true, feeding: Feeding::Aside, passing: false }
    }
}

/// The party at fault for a missing answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The policy's: it was counted as a strike.
    Policy,
    /// That of what was asked about: it alone is larger than [`limits::SUBJECT_ORDINARY`], and the question cost too much.
    Subject,
    /// Nobody is at fault: suspended, resting after faults, or its mirror is still being fed.
    NotReady,
}

/// A question that was not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// A [`PolicyCause`], or `Suspended`, `Restarting`, `Feeding`.
    pub cause: &'static str,
    /// The event, as people read it.
    pub message: String,
    /// The party at fault.
    pub blame: Blame,
}

pub(crate) enum State<P, M> {
    Running(Box<Running<P, M>>),
    Feeding(Aside<Result<Box<Running<P, M>>, PolicyFault>>),
}

/// An essential unit that faults again and again.
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

enum Failure {
    Met(PolicyFault, Blame),
    Feeding,
}

impl From<PolicyFault> for Failure {
    fn from(fault: PolicyFault) -> Self {
        Self::Met(fault, Blame::Policy)
    }
}

/// An audit that runs beside the asking thread.
struct Audit<P> {
    unit: Unit<P>,
    asked: Vec<Arc<Slot<P>>>,
    result: Aside<Result<(), PolicyFault>>,
}

/// The instances of what is live. Of one world: another world needs other instances ([`Instances::clear`]). It stays on
/// the thread that asks.
pub struct Instances<P: Installed, V: Send + Sync + 'static, M> {
    pub(crate) live: Live<P, V>,
    config: HostConfig,
    pub(crate) set: Arc<Set<P, V>>,
    /// What is about to go live: being fed, and fed.
    pub(crate) warming: Vec<Warming<P, M>>,
    pub(crate) warmed: Vec<Warmed<P, M>>,
    /// Feeds what is about to go live.
    _feeder: Option<Feeder<P, V>>,
    pub(crate) states: HashMap<u32, State<P, M>>,
    rests: HashMap<u32, Rest>,
    audit: Option<Audit<P>>,
    calls: u64,
}

impl<P: Installed, V: Send + Sync + 'static, M> std::fmt::Debug for Instances<P, V, M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instances").field("generation", &self.set.generation).finish_non_exhaustive()
    }
}

/// Counted among those who feed what is about to go live, while it is there.
struct Feeder<P: Installed, V: Send + Sync + 'static>(Live<P, V>);

impl<P: Installed, V: Send + Sync + 'static> Feeder<P, V> {
    fn new(live: &Live<P, V>) -> Self {
        live.requests().feeder_came();
        Self(live.clone())
    }
}

impl<P: Installed, V: Send + Sync + 'static> Drop for Feeder<P, V> {
    fn drop(&mut self) {
        self.0.requests().feeder_went();
    }
}

impl<P: Installed, V: Send + Sync + 'static, M: Mirror> Instances<P, V, M> {
    /// Asks what is live now; [`Instances::adopt`] takes up what comes later.
    pub fn new(live: &Live<P, V>, config: HostConfig) -> Self {
        let feeds = config.feeding == Feeding::Aside && live.threads().is_some();
        Self {
            live: live.clone(),
            config,
            set: live.current(),
            warming: Vec::new(),
            warmed: Vec::new(),
            _feeder: feeds.then(|| Feeder::new(live)),
            states: HashMap::new(),
            rests: HashMap::new(),
            audit: None,
            calls: 0,
        }
    }

    /// The set that is asked.
    pub fn set(&self) -> &Arc<Set<P, V>> {
        &self.set
    }

    /// Takes up the newest set. To be called between two questions that belong together; returns whether answers may be
    /// others than before: another set, or an instance that was fed beside and is ready now. Instances of what is no
    /// longer live end here, and their memory with them.
    pub fn adopt(&mut self) -> bool {
        let fed = self.states.values().any(|state| matches!(state, State::Feeding(aside) if aside.is_done()));
        // In this order: what is put to work between the two is in both.
        let (coming, newest) = (self.live.coming(), self.live.current());
        if newest.generation == self.set.generation {
            return fed;
        }
        self.states.retain(|unit, _| newest.units.iter().any(|other| other.id == *unit));
        // Other arguments or another component: it has another chance.
        self.rests.clear();
        self.set = newest;
        self.put_to_work(&coming);
        true
    }

    /// Forgets all instances: for another world.
    pub fn clear(&mut self) {
        self.states.clear();
        self.warming.clear();
        self.warmed.clear();
    }

    /// Asks the policies at `slots`, all of the same unit. `mirror` makes what a fresh instance of it is fed by; `read`
    /// holds the answer against the question, and says what is wrong with it.
    ///
    /// # Errors
    /// A fault; what it means for the policies was done already.
    pub fn ask<C: Point>(
        &mut self,
        unit: u32,
        slots: &[u32],
        mirror: impl Fn(&Unit<P>) -> M,
        world: M::World<'_>,
        read: impl FnOnce(C::Raw) -> Result<C::Answer, String>,
    ) -> Result<C::Answer, Fault> {
        self.end_audit();
        let set = Arc::clone(&self.set);
        if let Some((slot, why)) = set.suspended.iter().find(|(slot, _)| slots.contains(&slot.id)) {
            let message = format!("{}: {why}", slot.name);
            return Err(Fault { cause: "Suspended", message, blame: Blame::NotReady });
        }
        let Some(unit) = set.units.iter().find(|other| other.id == unit) else {
            let message = "it is no longer live".to_owned();
            return Err(Fault { cause: PolicyCause::BadAnswer.as_str(), message, blame: Blame::NotReady });
        };
        if let Some(rest) = self.rests.get(&unit.id)
            && rest.until > self.live.now()
        {
            let message = format!("it is started again a while after {} faults in a row", rest.faults);
            return Err(Fault { cause: "Restarting", message, blame: Blame::NotReady });
        }
        let asked: Vec<&Arc<Slot<P>>> = unit.slots.iter().filter(|slot| slots.contains(&slot.id)).collect();
        let answer = self.answer(&Asking { unit, asked: &asked, slots, call: C::call }, &mirror, world);
        let bad = |message| Failure::from(PolicyFault { cause: PolicyCause::BadAnswer, message });
        match answer.and_then(|raw| read(raw).map_err(bad)) {
            Ok(answer) => {
                self.rests.remove(&unit.id);
                Ok(answer)
            }
            Err(Failure::Feeding) => {
                let message = "its mirror of the cluster is being fed".to_owned();
                Err(Fault { cause: "Feeding", message, blame: Blame::NotReady })
            }
            Err(Failure::Met(fault, blame)) => {
                // Its memory may be in any state: the next question gets a fresh instance and a fresh mirror.
                self.states.remove(&unit.id);
                if blame == Blame::Policy {
                    self.strike(unit, &asked, &fault);
                }
                Err(Fault { cause: fault.cause.as_str(), message: fault.message, blame })
            }
        }
    }

    fn strike(&mut self, unit: &Unit<P>, asked: &[&Arc<Slot<P>>], fault: &PolicyFault) {
        // A unit that cannot be suspended rests after faults.
        if unit.slots.iter().any(|slot| slot.prepared.essential()) {
            let now = self.live.now();
            let rest = self.rests.entry(unit.id).or_insert(Rest { faults: 0, until: now });
            rest.faults = rest.faults.saturating_add(1);
            rest.until = now + restart_wait(rest.faults);
        }
        if self.config.counts {
            self.live.faulted(asked, fault);
        }
    }

    fn memory(&self, unit: &Unit<P>) -> Result<Option<Turn>, PolicyFault> {
        if !self.config.passing {
            return Ok(None);
        }
        let memory = self.live.turns().try_memory(unit.allowance.memory);
        let message = "too many checks and explanations run at a time; ask again later".to_owned();
        memory.map(Some).ok_or(PolicyFault { cause: PolicyCause::Memory, message })
    }

    /// The unit's instance, taken out: it is put back after an answer.
    fn take(&mut self, unit: &Unit<P>, mirror: impl Fn(&Unit<P>) -> M) -> Result<Box<Running<P, M>>, Failure> {
        match self.states.remove(&unit.id) {
            Some(State::Running(running)) if running.fits(unit) && !running.is_worn(unit) => return Ok(running),
            Some(State::Feeding(aside)) => match aside.take() {
                None => {
                    self.states.insert(unit.id, State::Feeding(aside));
                    return Err(Failure::Feeding);
                }
                Some(Some(Ok(running))) if running.fits(unit) => return Ok(running),
                Some(Some(Err(fault))) => return Err(fault.into()),
                Some(_) => {}
            },
            _ => {}
        }
        let memory = self.memory(unit)?;
        Ok(Box::new(Running::start(unit, mirror(unit), u64::from(unit.id), memory)?))
    }

    fn answer<A: Clone + PartialEq + Send + 'static>(
        &mut self,
        asking: &Asking<'_, P, A>,
        mirror: &impl Fn(&Unit<P>) -> M,
        world: M::World<'_>,
    ) -> Result<A, Failure> {
        let Asking { unit, asked, slots, call } = *asking;
        let mut running = self.take(unit, mirror)?;
        let mut question = running.mirror.question(world);
        let large = question.subject_bytes > limits::SUBJECT_ORDINARY;
        let blame = move |fault: PolicyFault| {
            let cost = matches!(fault.cause, PolicyCause::CpuBudget | PolicyCause::WallBudget | PolicyCause::Memory);
            let blame = if large && cost { Blame::Subject } else { Blame::Policy };
            Failure::Met(fault, blame)
        };
        let mut with = std::mem::take(&mut question.world);
        let subject = std::mem::take(&mut question.subject);
        if bytes_of(&with) + bytes_of(&subject) > limits::FEED_WITH_QUESTION {
            let mut pieces = split(&std::mem::take(&mut with), limits::FEED_FIRST_PIECE, limits::FEED_PIECE);
            let mut left: usize = pieces.iter().map(bytes_of).sum();
            while let Some(piece) = pieces.pop_front() {
                if let Some(threads) = self.aside().filter(|_| running.takes_long(left)) {
                    pieces.push_front(piece);
                    pieces.extend(split(&subject, limits::FEED_PIECE, limits::FEED_PIECE));
                    self.feed_aside(unit.id, running, pieces, &threads);
                    return Err(Failure::Feeding);
                }
                left -= bytes_of(&piece);
                running.feed(piece)?;
            }
            for piece in split(&subject, limits::FEED_PIECE, limits::FEED_PIECE) {
                running.feed(piece).map_err(blame)?;
            }
        } else {
            append(&mut with, subject);
        }
        let budget = feed::with_question(unit.allowance.call, bytes_of(&with));
        let answer = call(&mut running.instance, budget, input(with, &question, slots)).map_err(blame)?;
        if self.config.counts {
            self.live.called(asked, running.instance.spent().wall);
        }
        self.calls += 1;
        let pace = running.pace;
        self.states.insert(unit.id, State::Running(running));
        let pure = asked.iter().all(|slot| slot.prepared.pure());
        if pure && self.config.audit_every > 0 && self.calls.is_multiple_of(self.config.audit_every) {
            self.audit(asking, mirror(unit), world, &answer, pace)?;
        }
        Ok(answer)
    }

    pub(crate) fn aside(&self) -> Option<tokio::runtime::Handle> {
        self.live.threads().filter(|_| self.config.feeding == Feeding::Aside).cloned()
    }

    fn feed_aside(
        &mut self,
        unit: u32,
        running: Box<Running<P, M>>,
        pieces: VecDeque<PolicyChanges>,
        threads: &tokio::runtime::Handle,
    ) {
        let live = self.live.clone();
        let job =
            Aside::run(threads, move |wanted| running.feed_all(pieces, || wanted.is_wanted()), move || live.wake());
        self.states.insert(unit, State::Feeding(job));
    }

    /// Asks a fresh instance the same: one that says it is pure must agree with itself. Where its mirror takes long to
    /// feed, beside the asking thread, one at a time.
    fn audit<A: Clone + PartialEq + Send + 'static>(
        &mut self,
        asking: &Asking<'_, P, A>,
        mut mirror: M,
        world: M::World<'_>,
        heard: &A,
        pace: Pace,
    ) -> Result<(), Failure> {
        let unit = asking.unit;
        // The mirror whole: the audited call had the most of it from earlier ones.
        let question = mirror.question(world);
        let Some(memory) = self.live.turns().try_memory(unit.allowance.memory) else { return Ok(()) };
        let long = pace.expected(bytes_of(&question.world)).is_some_and(|cpu| cpu > limits::FEED_AT_ONCE);
        let seed = self.calls;
        match self.aside().filter(|_| long) {
            None => {
                let fresh = Running::start(unit, mirror, seed, Some(memory))?;
                again(fresh, asking, &question, heard)?;
            }
            // One at a time; the next one that is due is made.
            Some(_) if self.audit.is_some() => {}
            Some(threads) => {
                let (own, heard, call) = (unit.clone(), heard.clone(), asking.call);
                let (slots, live) = (asking.slots.to_vec(), self.live.clone());
                let result = Aside::run(
                    &threads,
                    move |_| {
                        let asking = Asking { unit: &own, asked: &[], slots: &slots, call };
                        let fresh = Running::start(&own, mirror, seed, Some(memory));
                        Some(fresh.and_then(|fresh| again(fresh, &asking, &question, &heard)))
                    },
                    move || live.wake(),
                );
                let asked = asking.asked.iter().map(|slot| Arc::clone(slot)).collect();
                self.audit = Some(Audit { unit: unit.clone(), asked, result });
            }
        }
        Ok(())
    }

    /// Takes the result of an audit that ran beside.
    fn end_audit(&mut self) {
        let Some(audit) = self.audit.take_if(|audit| audit.result.is_done()) else { return };
        if let Some(Some(Err(fault))) = audit.result.take() {
            self.states.remove(&audit.unit.id);
            let asked: Vec<&Arc<Slot<P>>> = audit.asked.iter().collect();
            self.strike(&audit.unit, &asked, &fault);
        }
    }
}
