use crate::cpu::{Meter, PodCpu};
use crate::memory::PodMem;
use crate::net::SocketBudget;
use crate::runtime::{Lane, Shared};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The limits of one container.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ContainerLimits {
    /// All linear memories and tables of all of its stores; None: no limit of its own (hand in the node's allocatable).
    pub memory_bytes: Option<u64>,
    /// Thousandths of a core; None: no limit.
    pub cpu_millis: Option<u64>,
    /// The weight when guests want more threads than there are; 0 is the least.
    pub cpu_request_millis: u64,
}

/// What one start of a container shares among its stores: its limits and what it used. Cheap to clone.
#[derive(Clone)]
pub struct Container {
    pub(crate) mem: Arc<PodMem>,
    pub(crate) cpu: Arc<PodCpu>,
    pub(crate) sockets: SocketBudget,
    pub(crate) log_bytes_dropped: Arc<AtomicU64>,
    pub(crate) requests: Arc<AtomicU64>,
    pub(crate) request_errors: Arc<AtomicU64>,
}

/// What a container used so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    pub memory_bytes: u64,
    pub memory_peak_bytes: u64,
    pub cpu_nanos: u64,
    /// Time that its calls waited for CPU quota, summed over the calls.
    pub throttled_nanos: u64,
    pub log_bytes_dropped: u64,
    pub requests: u64,
    /// Requests that ended in a trap, a timeout or without an answer.
    pub request_errors: u64,
    pub oom: bool,
}

impl Container {
    pub(crate) fn new(shared: &Shared, limits: ContainerLimits) -> Self {
        Self {
            mem: Arc::new(PodMem::new(limits.memory_bytes)),
            cpu: Arc::new(PodCpu::new(shared.env.clone(), limits.cpu_millis, limits.cpu_request_millis)),
            sockets: shared.sockets.budget(),
            log_bytes_dropped: Arc::default(),
            requests: Arc::default(),
            request_errors: Arc::default(),
        }
    }

    pub fn usage(&self) -> Usage {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Usage {
            memory_bytes: self.mem.used(),
            memory_peak_bytes: self.mem.peak(),
            cpu_nanos: self.cpu.used_nanos(),
            throttled_nanos: self.cpu.throttled_nanos(),
            log_bytes_dropped: get(&self.log_bytes_dropped),
            requests: get(&self.requests),
            request_errors: get(&self.request_errors),
            oom: self.mem.oom(),
        }
    }

    pub(crate) fn meter(&self, shared: &Shared, lane: &Lane) -> Meter {
        Meter {
            cpu: self.cpu.clone(),
            ticker: shared.ticker.clone(),
            fair: lane.fair.clone(),
            cut_off: Arc::new(AtomicBool::new(false)),
        }
    }
}
