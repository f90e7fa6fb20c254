//! One engine a role, out of one function: what is compiled for a role in the child or at build time loads at run time.

use crate::error::Error;
use crate::limits;
use std::hash::{DefaultHasher, Hash, Hasher};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// The role that an artefact is compiled for. An engine owns one epoch counter and one pool: a flood of requests must
/// not take the slots that new pods need, nor share a tick with policies.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    /// `wasi:cli/run`: long-running or run to completion.
    Command,
    /// `wasi:http/incoming-handler`: a fresh instance for each request.
    Service,
    /// Scheduling policies: deterministic floating point, no waiting.
    Policy,
}

impl Role {
    /// Each of them once.
    pub const ALL: [Role; 3] = [Role::Command, Role::Service, Role::Policy];

    /// For messages.
    pub fn name(self) -> &'static str {
        match self {
            Role::Command => "command",
            Role::Service => "service",
            Role::Policy => "policy",
        }
    }

    pub(crate) fn to_byte(self) -> u8 {
        match self {
            Role::Command => 0,
            Role::Service => 1,
            Role::Policy => 2,
        }
    }

    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.to_byte() == byte)
    }
}

/// The use of an engine; artefacts do not depend on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    Run,
    /// No pool: a compiler child has little address space.
    Compile,
}

/// The processor that artefacts are compiled for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cpu {
    /// x86-64-v3, stated whole, so that the build's artefacts load on every such machine.
    Baseline,
    /// Whatever this machine has.
    Native,
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
const BASELINE_FLAGS: [&str; 12] = [
    "has_cmpxchg16b",
    "has_sse3",
    "has_ssse3",
    "has_sse41",
    "has_sse42",
    "has_popcnt",
    "has_avx",
    "has_avx2",
    "has_fma",
    "has_bmi1",
    "has_bmi2",
    "has_lzcnt",
];

impl Cpu {
    /// The baseline where this machine reaches it, else what it has: then the build's artefacts are compiled anew.
    pub(crate) fn of_this_machine() -> Self {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        {
            let reached = is_x86_feature_detected!("cmpxchg16b")
                && is_x86_feature_detected!("sse4.2")
                && is_x86_feature_detected!("ssse3")
                && is_x86_feature_detected!("popcnt")
                && is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("bmi1")
                && is_x86_feature_detected!("bmi2")
                && is_x86_feature_detected!("lzcnt");
            if reached {
                return Cpu::Baseline;
            }
        }
        Cpu::Native
    }

    /// The processor that the build compiles for: the stated baseline, where there is one.
    pub(crate) fn of_the_build() -> Self {
        if cfg!(all(target_arch = "x86_64", target_os = "linux")) { Cpu::Baseline } else { Cpu::Native }
    }
}

pub(crate) fn engine(role: Role, purpose: Purpose, cpu: Cpu) -> Result<Engine, Error> {
    let mut config = Config::new();
    if cpu == Cpu::Baseline {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        {
            config.target("x86_64-unknown-linux-gnu").map_err(Error::engine)?;
            for flag in BASELINE_FLAGS {
                // SAFETY: each flag only says that the processor has the feature, and the engine checks the flags of
                // an artefact against the machine when it is loaded.
                unsafe { config.cranelift_flag_enable(flag) };
            }
        }
    }
    config.epoch_interruption(true);
    config.wasm_memory64(false);
    config.wasm_custom_page_sizes(false);
    // One setting for all roles: each is part of the artefact.
    config.memory_reservation(limits::MEMORY_RESERVATION_BYTES);
    config.memory_guard_size(limits::MEMORY_GUARD_BYTES);
    config.guard_before_linear_memory(true);
    config.memory_init_cow(true);
    config.async_stack_zeroing(true);
    if role == Role::Policy {
        config.cranelift_nan_canonicalization(true);
        config.relaxed_simd_deterministic(true);
    }
    if role == Role::Service && purpose == Purpose::Run {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool()));
    }
    Engine::new(&config).map_err(Error::engine)
}

fn pool() -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(limits::SERVICE_INSTANCES_MAX);
    pool.total_stacks(limits::SERVICE_INSTANCES_MAX);
    // A count and no memory: as many as components may hold, so that none is short of them.
    pool.total_core_instances(limits::SERVICE_INSTANCES_MAX * limits::CORE_INSTANCES_PER_COMPONENT);
    pool.total_memories(limits::SERVICE_INSTANCES_MAX);
    pool.total_tables(limits::SERVICE_TABLES_MAX);
    pool.max_core_instances_per_component(limits::CORE_INSTANCES_PER_COMPONENT);
    pool.max_memories_per_component(limits::SERVICE_MEMORIES_PER_COMPONENT);
    pool.max_tables_per_component(limits::SERVICE_TABLES_PER_COMPONENT);
    pool.max_tables_per_module(limits::SERVICE_TABLES_PER_MODULE);
    pool.table_elements(limits::SERVICE_TABLE_ELEMENTS_MAX);
    // A slot that is used again and again keeps the few pages that a small guest touches: wiping them costs less than
    // giving them back and faulting them in anew, which was most of a request's cost.
    pool.linear_memory_keep_resident(limits::SLOT_RESIDENT_MEMORY_BYTES);
    pool.table_keep_resident(limits::SLOT_RESIDENT_TABLE_BYTES);
    pool.async_stack_keep_resident(limits::SLOT_RESIDENT_STACK_BYTES);
    pool.pagemap_scan(Enabled::Auto);
    pool.max_unused_warm_slots(limits::WARM_SLOTS_MAX);
    pool.decommit_batch_size(limits::DECOMMIT_BATCH);
    pool
}

/// Names everything that an artefact depends on; part of the cache's path.
pub(crate) fn compatibility(engine: &Engine) -> u64 {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish()
}

/// The running engines.
pub(crate) struct EngineSet {
    command: Engine,
    service: Engine,
    policy: Engine,
}

impl EngineSet {
    pub(crate) fn new(cpu: Cpu) -> Result<Self, Error> {
        Ok(Self {
            command: engine(Role::Command, Purpose::Run, cpu)?,
            service: engine(Role::Service, Purpose::Run, cpu)?,
            policy: engine(Role::Policy, Purpose::Run, cpu)?,
        })
    }

    pub(crate) fn get(&self, role: Role) -> &Engine {
        match role {
            Role::Command => &self.command,
            Role::Service => &self.service,
            Role::Policy => &self.policy,
        }
    }

    pub(crate) fn all(&self) -> Vec<Engine> {
        Role::ALL.iter().map(|role| self.get(*role).clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_child_compiles_is_what_the_parent_loads() {
        for role in Role::ALL {
            let hash = |purpose| compatibility(&engine(role, purpose, Cpu::of_this_machine()).expect("an engine"));
            assert_eq!(hash(Purpose::Run), hash(Purpose::Compile), "{role:?}");
        }
    }

    #[test]
    fn policies_are_not_interchangeable_with_workloads() {
        let hash = |role| compatibility(&engine(role, Purpose::Compile, Cpu::of_this_machine()).expect("an engine"));
        assert_ne!(hash(Role::Policy), hash(Role::Command));
    }
}
