//! What is live: a table of named policies, published as immutable sets.

use crate::limits;
use crate::prepare::Prepared;
use crate::stats::{FaultRecord, Report, Stats};
use parking_lot::Mutex;
use sampan_env::Env;
use sampan_scheduler_core::{Profile, ProfilePolicy};
use sampan_wasm_runtime::policy::{PolicyBudget, PolicyComponent, PolicyFault};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// One profile as the configuration has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileConfig {
    pub scheduler_name: String,
    /// `None`: look at all nodes.
    pub percentage_of_nodes_to_score: Option<u32>,
}

impl Default for ProfileConfig {
    fn default() -> Self {
        Self { scheduler_name: "default-scheduler".into(), percentage_of_nodes_to_score: None }
    }
}

/// One named policy, live at a slot of its unit.
#[derive(Debug)]
pub struct Slot {
    pub id: u32,
    pub unit: u32,
    /// Name of the `SchedulingPolicy`.
    pub name: String,
    pub prepared: Prepared,
    pub(crate) stats: Arc<Mutex<Stats>>,
}

impl Slot {
    pub fn report(&self) -> Report {
        self.stats.lock().report()
    }
}

/// One component that answers for one or more slots. Its budget is the largest of theirs.
#[derive(Clone, Debug)]
pub struct Unit {
    pub id: u32,
    pub component: PolicyComponent,
    pub budget: PolicyBudget,
    pub memory: u64,
    pub slots: Vec<Arc<Slot>>,
}

/// Everything that is live at one moment.
#[derive(Clone, Debug, Default)]
pub struct PolicySet {
    pub generation: u64,
    /// Whether pods may be placed by it: what is to be there from the start is.
    pub ready: bool,
    pub units: Vec<Unit>,
    pub profiles: HashMap<String, Arc<Profile>>,
    /// Events that may help a refused pod, by slot.
    pub events: HashMap<u32, Vec<String>>,
}

impl PolicySet {
    /// Whether any policy is live: without one nothing may be placed.
    pub fn is_empty(&self) -> bool {
        self.units.is_empty()
    }

    pub fn slot(&self, id: u32) -> Option<&Arc<Slot>> {
        self.units.iter().flat_map(|unit| &unit.slots).find(|slot| slot.id == id)
    }
}

#[derive(Debug, Default)]
struct Table {
    slots: BTreeMap<String, Arc<Slot>>,
    /// Unit of a digest and memory; kept while it has slots.
    units: HashMap<(String, u64), u32>,
    next_unit: u32,
    generation: u64,
    ready: bool,
}

/// Heard when a policy was just suspended, or has faulted.
#[derive(Clone, Debug)]
pub(crate) struct Struck {
    pub name: String,
    pub fault: FaultRecord,
    pub suspended: bool,
}

/// The live policies. Cheap to clone: one table shared by controller, host and driver.
#[derive(Clone, Debug)]
pub struct Live {
    env: Env,
    profiles: Arc<Vec<ProfileConfig>>,
    table: Arc<Mutex<Table>>,
    published: Arc<watch::Sender<Arc<PolicySet>>>,
    struck: Arc<Mutex<Vec<Struck>>>,
    pub(crate) heard: Arc<tokio::sync::Notify>,
    wakers: Wakers,
}

type Waker = Arc<dyn Fn() + Send + Sync>;

/// Who wants to know of a change.
#[derive(Clone, Default)]
struct Wakers(Arc<Mutex<Vec<Waker>>>);

impl std::ops::Deref for Wakers {
    type Target = Mutex<Vec<Waker>>;
    fn deref(&self) -> &Mutex<Vec<Waker>> {
        &self.0
    }
}

impl std::fmt::Debug for Wakers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} wakers", self.0.lock().len())
    }
}

impl Live {
    pub fn new(env: &Env, profiles: Vec<ProfileConfig>) -> Self {
        let live = Self {
            env: env.clone(),
            profiles: Arc::new(profiles),
            table: Arc::default(),
            published: Arc::new(watch::Sender::new(Arc::default())),
            struck: Arc::default(),
            heard: Arc::default(),
            wakers: Wakers::default(),
        };
        live.publish(&mut live.table.lock());
        live
    }

    /// What is live now.
    pub fn current(&self) -> Arc<PolicySet> {
        self.published.borrow().clone()
    }

    /// Tells of each new set.
    pub fn subscribe(&self) -> watch::Receiver<Arc<PolicySet>> {
        self.published.subscribe()
    }

    /// From the next set on pods may be placed. Whoever places them sees it with the set that it holds for.
    pub fn set_ready(&self) {
        let mut table = self.table.lock();
        if !table.ready {
            table.ready = true;
            self.publish(&mut table);
        }
    }

    /// `wake` is called after each change of what is live. It must not block.
    pub fn on_change(&self, wake: impl Fn() + Send + Sync + 'static) {
        self.wakers.lock().push(Arc::new(wake));
    }

    fn wake(&self) {
        let wakers: Vec<Waker> = self.wakers.lock().clone();
        wakers.iter().for_each(|wake| wake());
    }

    /// Names of what is live and may be asked.
    pub fn names(&self) -> Vec<String> {
        self.table.lock().slots.keys().cloned().collect()
    }

    pub fn slot(&self, name: &str) -> Option<Arc<Slot>> {
        self.table.lock().slots.get(name).cloned()
    }

    /// Puts a policy to work from the next cycle on, in the place of what had its name. `suspended`: counted, not asked.
    pub fn install(&self, name: &str, prepared: Prepared, suspended: bool) {
        let mut table = self.table.lock();
        let key = (prepared.component.digest().to_owned(), prepared.memory);
        let unit = match table.units.get(&key) {
            Some(unit) => *unit,
            None => {
                let unit = table.next_unit;
                table.next_unit += 1;
                table.units.insert(key, unit);
                unit
            }
        };
        // Components hold their slots in a list: ids that only grow would come to its end.
        let id = (0..).find(|id| table.slots.values().all(|slot| slot.id != *id)).unwrap_or(u32::MAX);
        let stats = if suspended { Stats::suspended() } else { Stats::default() };
        let slot = Slot { id, unit, name: name.to_owned(), prepared, stats: Arc::new(Mutex::new(stats)) };
        table.slots.insert(name.to_owned(), Arc::new(slot));
        self.publish(&mut table);
    }

    pub fn remove(&self, name: &str) {
        let mut table = self.table.lock();
        if table.slots.remove(name).is_some() {
            self.publish(&mut table);
        }
    }

    fn publish(&self, table: &mut Table) {
        table.generation += 1;
        let live = |slot: &&Arc<Slot>| !slot.stats.lock().is_suspended();
        let used: Vec<u32> = table.slots.values().map(|slot| slot.unit).collect();
        table.units.retain(|_, unit| used.contains(unit));
        let mut slots: Vec<Arc<Slot>> = table.slots.values().filter(live).cloned().collect();
        slots.sort_by(|a, b| (a.prepared.order, &a.name).cmp(&(b.prepared.order, &b.name)));
        let mut units: Vec<Unit> = Vec::new();
        for slot in &slots {
            let prepared = &slot.prepared;
            match units.iter_mut().find(|unit| unit.id == slot.unit) {
                Some(unit) => {
                    unit.budget.cpu = unit.budget.cpu.max(prepared.budget.cpu);
                    unit.budget.wall = unit.budget.wall.max(prepared.budget.wall);
                    unit.slots.push(Arc::clone(slot));
                }
                None => units.push(Unit {
                    id: slot.unit,
                    component: prepared.component.clone(),
                    budget: prepared.budget,
                    memory: prepared.memory,
                    slots: vec![Arc::clone(slot)],
                }),
            }
        }
        let count = self.profiles.len() as u64;
        let profiles = self.profiles.iter().enumerate().map(|(at, config)| {
            // No two profiles ever share a generation.
            let profile = profile(config, &slots, table.generation * count + at as u64);
            (config.scheduler_name.clone(), Arc::new(profile))
        });
        let set = PolicySet {
            generation: table.generation,
            ready: table.ready,
            profiles: profiles.collect(),
            events: slots.iter().map(|slot| (slot.id, slot.prepared.policy.events.clone())).collect(),
            units,
        };
        self.published.send_replace(Arc::new(set));
        self.wake();
    }

    pub(crate) fn called(&self, slots: &[&Arc<Slot>], took: Duration) {
        for slot in slots {
            slot.stats.lock().called(took);
        }
    }

    pub(crate) fn now(&self) -> tokio::time::Instant {
        self.env.instant()
    }

    /// A fault is the component's; the strike goes to each policy that was asked. A built-in one is never suspended:
    /// pods that were placed without it could be too many for their nodes.
    pub(crate) fn faulted(&self, slots: &[&Arc<Slot>], fault: &PolicyFault) {
        let (now, at) = (self.env.instant(), self.env.now());
        let message: String = fault.message.chars().take(limits::MESSAGE_CHARS).collect();
        let record = FaultRecord { cause: fault.cause.as_str(), message, at };
        let mut any = false;
        for slot in slots {
            let suspended = if slot.prepared.built_in {
                slot.stats.lock().counted(record.clone());
                false
            } else {
                slot.stats.lock().struck(record.clone(), now)
            };
            any |= suspended;
            self.struck.lock().push(Struck { name: slot.name.clone(), fault: record.clone(), suspended });
        }
        if any {
            self.publish(&mut self.table.lock());
        }
        self.heard.notify_one();
    }

    pub(crate) fn take_struck(&self) -> Vec<Struck> {
        std::mem::take(&mut *self.struck.lock())
    }
}

fn profile(config: &ProfileConfig, slots: &[Arc<Slot>], generation: u64) -> Profile {
    let mut made = Profile {
        scheduler_name: config.scheduler_name.clone(),
        generation,
        percentage_of_nodes_to_score: config.percentage_of_nodes_to_score,
        ..Profile::default()
    };
    for slot in slots {
        let prepared = &slot.prepared;
        let belongs = prepared.profiles.is_empty() || prepared.profiles.contains(&config.scheduler_name);
        if !belongs {
            continue;
        }
        made.columns = made.columns.union(prepared.policy.columns);
        made.policies.push(ProfilePolicy {
            id: slot.id,
            unit: slot.unit,
            name: slot.name.clone(),
            digest: prepared.component.digest().to_owned(),
            filter: prepared.filter,
            score: prepared.score,
            weight: prepared.weight,
            normalize: prepared.policy.normalize,
            cacheable: prepared.policy.cacheable,
            ignore_faults: prepared.ignore_faults,
        });
    }
    made
}
