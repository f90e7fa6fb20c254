//! The live policies as the scheduler sees them: the profiles that the installed policies make.

use crate::prepare::Prepared;
use parking_lot::Mutex;
use sampan_api::scheduling::{FailurePolicy, Mode, SchedulingPolicy};
use sampan_env::Env;
use sampan_policy_host as host;
use sampan_scheduler_core::{HeldPolicy, Point, Points, Profile, ProfilePolicy};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// One profile as the configuration has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileConfig {
    /// `spec.schedulerName` of its pods.
    pub scheduler_name: String,
    /// `None`: look at all nodes.
    pub percentage_of_nodes_to_score: Option<u32>,
}

impl Default for ProfileConfig {
    fn default() -> Self {
        Self { scheduler_name: "default-scheduler".into(), percentage_of_nodes_to_score: None }
    }
}

/// The profiles of one set.
#[derive(Clone, Debug, Default)]
pub struct Profiles {
    /// By scheduler name.
    pub profiles: HashMap<String, Arc<Profile>>,
    /// Events that may help a refused pod, by slot.
    pub events: HashMap<u32, Vec<String>>,
}

/// One named policy, live.
pub type Slot = host::Slot<Prepared>;
/// One component and its slots.
pub type Unit = host::Unit<Prepared>;
/// Everything that is live at one moment.
pub type PolicySet = host::Set<Prepared, Profiles>;

/// The live policies. Cheap to clone: one table shared by controller, host and driver.
#[derive(Clone, Debug)]
pub struct Live {
    policies: host::Live<Prepared, Profiles>,
    /// Scheduler names.
    profiles: Arc<[String]>,
    expected: Expected,
}

/// A policy that pods may not be placed without, by its object.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Strict {
    profiles: Vec<String>,
    /// The reason why it is not live, where that is known.
    why: String,
}

type Expected = Arc<Mutex<BTreeMap<String, Strict>>>;

impl std::ops::Deref for Live {
    type Target = host::Live<Prepared, Profiles>;
    fn deref(&self) -> &Self::Target {
        &self.policies
    }
}

impl Live {
    /// Nothing is live, for these profiles.
    pub fn new(env: &Env, profiles: Vec<ProfileConfig>) -> Self {
        let names = profiles.iter().map(|profile| profile.scheduler_name.clone()).collect();
        let expected = Expected::default();
        let strict = Arc::clone(&expected);
        let view = move |slots: &[Arc<Slot>], generation: u64| {
            let made = profiles.iter().enumerate().map(|(at, config)| {
                // No two profiles ever share a generation.
                let profile = profile(config, slots, &strict.lock(), generation * profiles.len() as u64 + at as u64);
                (config.scheduler_name.clone(), Arc::new(profile))
            });
            let events = slots.iter().map(|slot| (slot.id, slot.prepared.policy.events.clone()));
            Profiles { profiles: made.collect(), events: events.collect() }
        };
        Self { policies: host::Live::new(env, view), profiles: names, expected }
    }

    /// The object is there. Where its failurePolicy is Fail no pod of its profiles is placed before it is live, and while
    /// it cannot be.
    pub fn expect(&self, object: &SchedulingPolicy) {
        let spec = &object.spec;
        let name = object.metadata.name.clone().unwrap_or_default();
        if spec.mode == Mode::Off || spec.failure_policy == FailurePolicy::Ignore {
            return self.expect_no_more(&name);
        }
        let mut expected = self.expected.lock();
        let known = expected.get(&name);
        let why = known.map_or_else(|| "it is not live yet".to_owned(), |known| known.why.clone());
        let strict = Strict { profiles: spec.profiles.clone(), why };
        if expected.insert(name, strict.clone()) != Some(strict) {
            drop(expected);
            self.policies.refresh();
        }
    }

    /// Says why a policy that is expected is not live.
    pub fn expected_fails(&self, name: &str, why: &str) {
        let mut expected = self.expected.lock();
        if let Some(strict) = expected.get_mut(name).filter(|strict| strict.why != why) {
            why.clone_into(&mut strict.why);
            drop(expected);
            self.policies.refresh();
        }
    }

    /// The object is gone, or demands nothing any more.
    pub fn expect_no_more(&self, name: &str) {
        if self.expected.lock().remove(name).is_some() {
            self.policies.refresh();
        }
    }

    /// The scheduler names of the profiles.
    pub fn profile_names(&self) -> &[String] {
        &self.profiles
    }
}

fn profile(
    config: &ProfileConfig,
    slots: &[Arc<Slot>],
    expected: &BTreeMap<String, Strict>,
    generation: u64,
) -> Profile {
    let belongs = |profiles: &[String]| profiles.is_empty() || profiles.contains(&config.scheduler_name);
    let own = || slots.iter().filter(|slot| belongs(&slot.prepared.profiles));
    let policies = own().filter(|slot| slot.suspension().is_none()).map(|slot| {
        let prepared = &slot.prepared;
        let points = [(Point::Filter, prepared.filter), (Point::Score, prepared.score)];
        ProfilePolicy {
            id: slot.id,
            unit: slot.unit,
            name: slot.name.clone(),
            generation: slot.generation,
            digest: prepared.component.digest().to_owned(),
            args_digest: args_digest(&prepared.args),
            points: Points::of(points.into_iter().filter(|(_, has)| *has).map(|(point, _)| point)),
            columns: prepared.policy.columns,
            weight: prepared.weight,
            normalize: prepared.policy.normalize,
            cacheable: prepared.policy.cacheable,
            // The object may have become stricter than what was installed of it.
            ignore_faults: prepared.ignore_faults && !expected.contains_key(&slot.name),
        }
    });
    let mut made = Profile::new(config.scheduler_name.clone(), policies.collect(), generation);
    made.percentage_of_nodes_to_score = config.percentage_of_nodes_to_score;
    // Suspended slots are here only where their policies do not fail open.
    let suspended = own().filter_map(|slot| Some((slot.name.clone(), slot.suspension()?.to_string())));
    // What is installed may be of other profiles than the object is by now.
    let is_live = |name: &str| own().any(|slot| slot.name == name);
    let missing = expected.iter().filter(|(name, strict)| belongs(&strict.profiles) && !is_live(name));
    let missing = missing.map(|(name, strict)| (name.clone(), strict.why.clone()));
    made.held = suspended.chain(missing).map(|(name, why)| HeldPolicy { name, why }).collect();
    made
}

/// A digest that tells arguments apart in decision records; "" for none.
fn args_digest(args: &str) -> String {
    if args.is_empty() {
        return String::new();
    }
    let hex: String = Sha256::digest(args.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
