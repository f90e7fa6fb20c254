use crate::cpu::PodCpu;
use crate::host::{Host, Lane};
use crate::memory::PodMem;
use crate::metered::Meter;
use crate::net::SocketBudget;
use crate::wasi::{LogAccount, Mount};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The limits of one container.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ContainerLimits {
    /// Everything that is held for it: linear memories and tables of all of its stores, host resources, buffers, its
    /// log. None: no limit of its own (hand in the node's allocatable).
    pub memory_bytes: Option<u64>,
    /// Thousandths of a core; None: no limit.
    pub cpu_millis: Option<u64>,
    /// The weight when guests want more threads than there are; 0 is the least.
    pub cpu_request_millis: u64,
}

/// The limits and the use of one start of a container, shared among its stores. Cheap to clone.
#[derive(Clone)]
pub struct Container {
    /// Names it in this process.
    pub(crate) id: u64,
    pub(crate) namespace: Arc<str>,
    pub(crate) mem: Arc<PodMem>,
    pub(crate) cpu: Arc<PodCpu>,
    pub(crate) sockets: SocketBudget,
    pub(crate) log: Arc<LogAccount>,
    pub(crate) requests: Arc<AtomicU64>,
    pub(crate) request_errors: Arc<AtomicU64>,
    pub(crate) mounts: Arc<[Mount]>,
}

/// A container's use so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// Bytes that are charged to its memory limit now.
    pub memory_bytes: u64,
    /// The most that was charged at once.
    pub memory_peak_bytes: u64,
    /// CPU time of its guests and of what the host did for them, in nanoseconds.
    pub cpu_nanos: u64,
    /// Time that its calls waited for CPU quota, summed over the calls.
    pub throttled_nanos: u64,
    /// Output that its log did not take.
    pub log_bytes_dropped: u64,
    /// Requests that reached the service.
    pub requests: u64,
    /// Requests that ended in a trap, a timeout or without an answer.
    pub request_errors: u64,
    /// Whether it was refused memory for want of its limit.
    pub oom: bool,
}

impl Container {
    pub(crate) fn new(host: &Host, limits: ContainerLimits) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let mem = Arc::new(PodMem::new(limits.memory_bytes).within(&host.address_space));
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            namespace: Arc::default(),
            log: LogAccount::new(&mem),
            mem,
            cpu: Arc::new(PodCpu::new(host.env.clone(), limits.cpu_millis, limits.cpu_request_millis)),
            sockets: host.sockets.budget(),
            requests: Arc::default(),
            request_errors: Arc::default(),
            mounts: Arc::default(),
        }
    }

    /// The container in a namespace: the node's shares are by namespace too.
    #[must_use]
    pub fn in_namespace(mut self, namespace: &str) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// The container with files. Each of its stores is charged for them.
    #[must_use]
    pub fn with_files(mut self, mounts: Vec<Mount>) -> Self {
        self.mounts = mounts.into();
        self
    }

    pub(crate) fn files_bytes(&self) -> u64 {
        self.mounts.iter().map(|mount| mount.path.len() as u64 + mount.volume.bytes()).sum()
    }

    /// Its use so far.
    pub fn usage(&self) -> Usage {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Usage {
            memory_bytes: self.mem.used(),
            memory_peak_bytes: self.mem.peak(),
            cpu_nanos: self.cpu.used_nanos(),
            throttled_nanos: self.cpu.throttled_nanos(),
            log_bytes_dropped: self.log.dropped(),
            requests: get(&self.requests),
            request_errors: get(&self.request_errors),
            oom: self.mem.oom(),
        }
    }

    pub(crate) fn meter(&self, host: &Host, lane: &Lane) -> Meter {
        Meter {
            cpu: self.cpu.clone(),
            ticker: host.ticker.clone(),
            fair: lane.fair.clone(),
            share: self.cpu.share(lane.name).clone(),
            cut_off: Arc::new(AtomicBool::new(false)),
        }
    }
}
