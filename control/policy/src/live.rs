//! What is live, as the scheduler sees it: the profiles that the installed policies make.

use crate::prepare::Prepared;
use sampan_env::Env;
use sampan_policy_host as host;
use sampan_scheduler_core::{Profile, ProfilePolicy};
use std::collections::HashMap;
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

/// What the scheduler reads of one set.
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
}

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
        let view = move |slots: &[Arc<Slot>], generation: u64| {
            let made = profiles.iter().enumerate().map(|(at, config)| {
                // No two profiles ever share a generation.
                let profile = profile(config, slots, generation * profiles.len() as u64 + at as u64);
                (config.scheduler_name.clone(), Arc::new(profile))
            });
            let events = slots.iter().map(|slot| (slot.id, slot.prepared.policy.events.clone()));
            Profiles { profiles: made.collect(), events: events.collect() }
        };
        Self { policies: host::Live::new(env, view), profiles: names }
    }

    /// The scheduler names of the profiles.
    pub fn profile_names(&self) -> &[String] {
        &self.profiles
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
