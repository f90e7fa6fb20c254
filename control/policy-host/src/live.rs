//! The live policies: a table by name, published as immutable sets.

use crate::budget::Allowance;
use crate::limits;
use crate::requests::Requests;
use crate::stats::{FaultRecord, Report, Stats};
use crate::turns::Turns;
use crate::wakers::Wakers;
use parking_lot::Mutex;
use sampan_env::Env;
use sampan_wasm_runtime::policy::{PolicyComponent, PolicyFault};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;

/// One policy of a component, checked, as a host makes it live.
pub trait Installed: std::fmt::Debug + Send + Sync + 'static {
    /// The component that answers for it.
    fn component(&self) -> &PolicyComponent;
    /// Its name within the component.
    fn policy(&self) -> &str;
    /// Its arguments, JSON; empty for none.
    fn args(&self) -> &str;
    /// The bounds of its calls.
    fn allowance(&self) -> Allowance;
    /// Place among the policies; names decide between equals.
    fn order(&self) -> i32;
    /// Nothing may be decided without it: after faults it is started again, never suspended.
    fn essential(&self) -> bool;
    /// A fault of it, and its suspension, counts as if it had not been asked.
    fn fails_open(&self) -> bool;
    /// Its answer is always the same for the same question.
    fn pure(&self) -> bool;
}

/// One named policy at a slot of its unit.
#[derive(Debug)]
pub struct Slot<P> {
    /// The number by which its component knows it; unique among the live ones, and given again later.
    pub id: u32,
    /// The unit that it belongs to.
    pub unit: u32,
    /// Name of its object.
    pub name: String,
    /// `metadata.generation` of the object that it was installed from.
    pub generation: Option<i64>,
    /// The installed policy.
    pub prepared: P,
    stats: Mutex<Stats>,
    wakers: Wakers,
}

/// Nobody can put it to work any more: whoever fed an instance for it lets go of that.
impl<P> Drop for Slot<P> {
    fn drop(&mut self) {
        self.wakers.wake();
    }
}

impl<P> Slot<P> {
    /// Counts until now.
    pub fn report(&self) -> Report {
        self.stats.lock().report()
    }

    /// The reason for its suspension, as people read it; `None`: it is not suspended.
    pub fn suspension(&self) -> Option<Arc<str>> {
        self.stats.lock().suspension()
    }
}

/// One component that answers for one or more slots. Its budget is the largest of theirs.
#[derive(Debug)]
pub struct Unit<P> {
    /// Unique among all that ever lived in this table.
    pub id: u32,
    /// The component that answers.
    pub component: PolicyComponent,
    /// The bounds of one call and of one instance.
    pub allowance: Allowance,
    /// The slots that may be asked, in their order.
    pub slots: Vec<Arc<Slot<P>>>,
}

impl<P> Clone for Unit<P> {
    fn clone(&self) -> Self {
        Self { id: self.id, component: self.component.clone(), allowance: self.allowance, slots: self.slots.clone() }
    }
}

impl<P: Installed> Unit<P> {
    /// Of one slot.
    fn of(slot: &Arc<Slot<P>>) -> Self {
        let (prepared, slots) = (&slot.prepared, vec![Arc::clone(slot)]);
        Self { id: slot.unit, component: prepared.component().clone(), allowance: prepared.allowance(), slots }
    }

    /// Its calls may cost what the slot's may.
    fn allow(&mut self, slot: &Slot<P>) {
        let (call, own) = (&mut self.allowance.call, slot.prepared.allowance().call);
        call.cpu = call.cpu.max(own.cpu);
        call.wall = call.wall.max(own.wall);
    }
}

/// Everything that is live at one moment, and what the host makes of it (`view`).
#[derive(Debug)]
pub struct Set<P, V> {
    /// Grows with each set.
    pub generation: u64,
    /// Whether it may be decided by: what is to be there from the start is.
    pub ready: bool,
    /// The units that may be asked.
    pub units: Vec<Unit<P>>,
    /// Slots that take part in `view` though they are suspended: their policies do not fail open. Each with why.
    pub suspended: Vec<(Arc<Slot<P>>, Arc<str>)>,
    /// The host's own view of the slots.
    pub view: V,
}

impl<P, V> Set<P, V> {
    /// Whether nothing is live.
    pub fn is_empty(&self) -> bool {
        self.units.is_empty() && self.suspended.is_empty()
    }

    /// The unit of that slot, if it may be asked.
    pub(crate) fn unit_of(&self, slot: &Weak<Slot<P>>) -> Option<&Unit<P>> {
        self.units.iter().find(|unit| unit.slots.iter().any(|own| Arc::as_ptr(own) == slot.as_ptr()))
    }

    /// The slot of that number that may be asked.
    pub fn slot(&self, id: u32) -> Option<&Arc<Slot<P>>> {
        self.units.iter().flat_map(|unit| &unit.slots).find(|slot| slot.id == id)
    }
}

#[derive(Debug)]
struct Table<P> {
    slots: BTreeMap<String, Arc<Slot<P>>>,
    /// Unit of a digest and memory; kept while it has slots.
    units: HashMap<(String, u64), u32>,
    /// Slots that were made and are not put to work yet.
    coming: Vec<Weak<Slot<P>>>,
    next_unit: u32,
    generation: u64,
    ready: bool,
}

impl<P> Table<P> {
    /// Those at work, and those that may come.
    fn all_slots(&self) -> Vec<Arc<Slot<P>>> {
        self.slots.values().cloned().chain(self.coming.iter().filter_map(Weak::upgrade)).collect()
    }
}

impl<P> Default for Table<P> {
    fn default() -> Self {
        let (slots, units, coming) = (BTreeMap::new(), HashMap::new(), Vec::new());
        Self { slots, units, coming, next_unit: 0, generation: 0, ready: false }
    }
}

/// A unit that is to be fed, and who waits for it.
pub(crate) struct Request<P> {
    /// The unit as it will be.
    pub unit: Unit<P>,
    /// The slot that is new in it.
    pub slot: Weak<Slot<P>>,
    /// Told when it is fed.
    pub reply: oneshot::Sender<Result<(), PolicyFault>>,
}

/// A fault that was counted.
#[derive(Clone, Debug)]
pub struct Strike {
    /// Name of the policy's object.
    pub name: String,
    /// The fault.
    pub fault: FaultRecord,
    /// The reason for the policy's suspension, if this fault causes it.
    pub suspended: Option<Arc<str>>,
}

/// The live policies together would take more memory than they may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{wanted} bytes of memory are more than is left: live policies may take {} bytes together, and take {taken}",
    limits::MEMORY_LIVE
)]
pub struct TooMuchMemory {
    /// Bytes that it would take.
    pub wanted: u64,
    /// Bytes that the others take.
    pub taken: u64,
}

type View<P, V> = dyn Fn(&[Arc<Slot<P>>], u64) -> V + Send + Sync;

struct Inner<P, V> {
    env: Env,
    /// Makes a set's view of its slots, in order, and of its generation.
    view: Box<View<P, V>>,
    table: Mutex<Table<P>>,
    published: watch::Sender<Arc<Set<P, V>>>,
    /// The newest, [`limits::STRIKES_TOLD`] at most.
    strikes: Mutex<VecDeque<Strike>>,
    struck: Notify,
    wakers: Wakers,
    turns: Turns,
    requests: Requests<Request<P>>,
    /// The runtime whose threads feed instances beside the asking thread; `None`: there is none, and they are not fed
    /// so.
    threads: Option<Handle>,
}

/// The live policies. Cheap to clone: one table shared by whoever installs and whoever asks.
pub struct Live<P, V>(Arc<Inner<P, V>>);

impl<P, V> Clone for Live<P, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<P, V> std::fmt::Debug for Live<P, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("policies", &self.0.table.lock().slots.len()).finish()
    }
}

impl<P: Installed, V> Live<P, V> {
    /// Nothing is live. `view` makes what the host needs of each set: of its slots in order, and its generation.
    pub fn new(env: &Env, view: impl Fn(&[Arc<Slot<P>>], u64) -> V + Send + Sync + 'static) -> Self {
        let empty = Set { generation: 0, ready: false, units: Vec::new(), suspended: Vec::new(), view: view(&[], 0) };
        let live = Self(Arc::new(Inner {
            env: env.clone(),
            view: Box::new(view),
            table: Mutex::default(),
            published: watch::Sender::new(Arc::new(empty)),
            strikes: Mutex::default(),
            struck: Notify::new(),
            wakers: Wakers::default(),
            turns: Turns::default(),
            requests: Requests::default(),
            threads: Handle::try_current().ok(),
        }));
        live.publish(&mut live.0.table.lock());
        live
    }

    /// The turns of those who run guests that are not live.
    pub fn turns(&self) -> &Turns {
        &self.0.turns
    }

    pub(crate) fn requests(&self) -> &Requests<Request<P>> {
        &self.0.requests
    }

    pub(crate) fn threads(&self) -> Option<&Handle> {
        self.0.threads.as_ref()
    }

    /// The set that is live now.
    pub fn current(&self) -> Arc<Set<P, V>> {
        self.0.published.borrow().clone()
    }

    /// Tells of each new set.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Set<P, V>>> {
        self.0.published.subscribe()
    }

    /// From the next set on it may be decided. Who decides sees it with the set that it holds for.
    pub fn set_ready(&self) {
        let mut table = self.0.table.lock();
        if !table.ready {
            table.ready = true;
            self.publish(&mut table);
        }
    }

    /// Makes the view anew: something that it is made of, beside the slots, has changed.
    pub fn refresh(&self) {
        self.publish(&mut self.0.table.lock());
    }

    /// `wake` is called after each change of what is live, when an instance that was being fed is done, and when a slot is
    /// given up. It must not block.
    pub fn on_change(&self, wake: impl Fn() + Send + Sync + 'static) {
        self.0.wakers.add(wake);
    }

    pub(crate) fn wake(&self) {
        self.0.wakers.wake();
    }

    /// The slots that somebody may still put to work.
    pub(crate) fn coming(&self) -> Vec<Weak<Slot<P>>> {
        let table = self.0.table.lock();
        table.coming.iter().filter(|slot| slot.strong_count() > 0).cloned().collect()
    }

    /// Names of what is installed, suspended ones among them.
    pub fn names(&self) -> Vec<String> {
        self.0.table.lock().slots.keys().cloned().collect()
    }

    /// The slot that is installed under that name.
    pub fn slot(&self, name: &str) -> Option<Arc<Slot<P>>> {
        self.0.table.lock().slots.get(name).cloned()
    }

    /// Whether a policy of this component and memory may be installed under `name`.
    ///
    /// # Errors
    /// When all live components together would be allowed more than [`limits::MEMORY_LIVE`].
    pub fn has_room(&self, name: &str, digest: &str, memory: u64) -> Result<(), TooMuchMemory> {
        Self::room(&self.0.table.lock(), name, digest, memory)
    }

    fn room(table: &Table<P>, name: &str, digest: &str, memory: u64) -> Result<(), TooMuchMemory> {
        let others = table.slots.iter().filter(|(other, _)| *other != name);
        let units: HashMap<u32, u64> =
            others.clone().map(|(_, slot)| (slot.unit, slot.prepared.allowance().memory)).collect();
        let shares = others.map(|(_, slot)| &slot.prepared);
        let shared =
            shares.into_iter().any(|one| one.component().digest() == digest && one.allowance().memory == memory);
        let taken: u64 = units.values().sum();
        if shared || taken.saturating_add(memory) <= limits::MEMORY_LIVE {
            Ok(())
        } else {
            Err(TooMuchMemory { wanted: memory, taken })
        }
    }

    /// Puts a policy to work from the next question on, in the place of what had its name. `suspended`: it is counted and
    /// not asked, for this reason. `generation`: that of its object.
    ///
    /// # Errors
    /// As [`Live::has_room`]; then what was live stays.
    pub fn install(
        &self,
        name: &str,
        prepared: P,
        generation: Option<i64>,
        suspended: Option<Arc<str>>,
    ) -> Result<(), TooMuchMemory> {
        self.put(self.slot_for(name, prepared, generation, suspended)?)
    }

    /// Makes a slot that [`Live::put`] puts to work; the rest as [`Live::install`] has it.
    ///
    /// # Errors
    /// As [`Live::has_room`].
    pub fn slot_for(
        &self,
        name: &str,
        prepared: P,
        generation: Option<i64>,
        suspended: Option<Arc<str>>,
    ) -> Result<Arc<Slot<P>>, TooMuchMemory> {
        let mut table = self.0.table.lock();
        let (digest, memory) = (prepared.component().digest().to_owned(), prepared.allowance().memory);
        Self::room(&table, name, &digest, memory)?;
        let next = table.next_unit;
        let unit = *table.units.entry((digest, memory)).or_insert(next);
        if unit == next {
            table.next_unit += 1;
        }
        // Components hold their slots in a list: ids that only grow would come to its end.
        let used: BTreeSet<u32> = table.all_slots().iter().map(|slot| slot.id).collect();
        let id = (0..).find(|id| !used.contains(id)).unwrap_or(u32::MAX);
        let (stats, wakers) = (Mutex::new(Stats::new(suspended)), self.0.wakers.clone());
        let slot = Arc::new(Slot { id, unit, name: name.to_owned(), generation, prepared, stats, wakers });
        table.coming.push(Arc::downgrade(&slot));
        Ok(slot)
    }

    /// Puts a slot to work from the next question on, in the place of what had its name.
    ///
    /// # Errors
    /// As [`Live::has_room`]; then what was live stays.
    pub fn put(&self, slot: Arc<Slot<P>>) -> Result<(), TooMuchMemory> {
        let mut table = self.0.table.lock();
        let (digest, memory) = (slot.prepared.component().digest(), slot.prepared.allowance().memory);
        Self::room(&table, &slot.name, digest, memory)?;
        table.coming.retain(|coming| coming.as_ptr() != Arc::as_ptr(&slot));
        table.slots.insert(slot.name.clone(), slot);
        self.publish(&mut table);
        Ok(())
    }

    /// The unit of the slot, as it will be once the slot is put to work.
    pub(crate) fn unit_with(&self, slot: &Arc<Slot<P>>) -> Unit<P> {
        let table = self.0.table.lock();
        let others = table.slots.values().filter(|other| other.unit == slot.unit && other.name != slot.name);
        let mut slots: Vec<Arc<Slot<P>>> = others.filter(|other| other.suspension().is_none()).cloned().collect();
        slots.push(Arc::clone(slot));
        let mut unit = Unit::of(slot);
        slots.iter().for_each(|slot| unit.allow(slot));
        unit.slots = slots;
        unit
    }

    /// Ends a policy's part, from the next question on.
    pub fn remove(&self, name: &str) {
        let mut table = self.0.table.lock();
        if table.slots.remove(name).is_some() {
            self.publish(&mut table);
        }
    }

    fn publish(&self, table: &mut Table<P>) {
        table.generation += 1;
        table.coming.retain(|slot| slot.strong_count() > 0);
        let used: BTreeSet<u32> = table.all_slots().iter().map(|slot| slot.unit).collect();
        table.units.retain(|_, unit| used.contains(unit));
        let mut slots: Vec<Arc<Slot<P>>> = table.slots.values().cloned().collect();
        slots.sort_by(|a, b| (a.prepared.order(), &a.name).cmp(&(b.prepared.order(), &b.name)));
        let mut suspended = Vec::new();
        let mut units: Vec<Unit<P>> = Vec::new();
        slots.retain(|slot| match slot.suspension() {
            None => true,
            Some(_) if slot.prepared.fails_open() => false,
            Some(why) => {
                suspended.push((Arc::clone(slot), why));
                true
            }
        });
        for slot in slots.iter().filter(|slot| suspended.iter().all(|(other, _)| !Arc::ptr_eq(other, slot))) {
            match units.iter_mut().find(|unit| unit.id == slot.unit) {
                Some(unit) => {
                    unit.allow(slot);
                    unit.slots.push(Arc::clone(slot));
                }
                None => units.push(Unit::of(slot)),
            }
        }
        let view = (self.0.view)(&slots, table.generation);
        let set = Set { generation: table.generation, ready: table.ready, units, suspended, view };
        self.0.published.send_replace(Arc::new(set));
        self.wake();
    }

    pub(crate) fn called(&self, slots: &[&Arc<Slot<P>>], took: Duration) {
        for slot in slots {
            slot.stats.lock().called(took);
        }
    }

    pub(crate) fn now(&self) -> Instant {
        self.0.env.instant()
    }

    /// A fault is the component's; the strike goes to each policy that was asked. An essential one is never suspended.
    pub(crate) fn faulted(&self, slots: &[&Arc<Slot<P>>], fault: &PolicyFault) {
        let (now, at) = (self.0.env.instant(), self.0.env.now());
        let message: String = fault.message.chars().take(limits::MESSAGE_CHARS).collect();
        let record = FaultRecord { cause: fault.cause.as_str(), message, at };
        let mut any = false;
        for slot in slots {
            let suspended = if slot.prepared.essential() {
                slot.stats.lock().counted(record.clone());
                None
            } else {
                slot.stats.lock().struck(record.clone(), now, slot.prepared.fails_open())
            };
            any |= suspended.is_some();
            let mut strikes = self.0.strikes.lock();
            if strikes.len() == limits::STRIKES_TOLD {
                strikes.pop_front();
            }
            strikes.push_back(Strike { name: slot.name.clone(), fault: record.clone(), suspended });
        }
        if any {
            self.publish(&mut self.0.table.lock());
        }
        self.0.struck.notify_one();
    }

    /// Waits for faults, and takes them.
    pub async fn strikes(&self) -> VecDeque<Strike> {
        self.0.struck.notified().await;
        std::mem::take(&mut *self.0.strikes.lock())
    }
}
