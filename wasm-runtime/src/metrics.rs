use std::sync::atomic::{AtomicU64, Ordering};

/// A runtime's counts since its start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RuntimeMetrics {
    /// Components that were given to a compiler.
    pub compiles: u64,
    /// Components whose artefact was there.
    pub cache_hits: u64,
    /// Components that are refused by their own fault and remembered.
    pub bad_digests: u64,
    /// Guests and requests that ended in a trap.
    pub traps: u64,
    /// Guests and requests that ended for want of memory.
    pub ooms: u64,
    /// Requests that reached a service.
    pub requests: u64,
    /// Requests that were answered 503 by the host.
    pub requests_refused: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) compiles: AtomicU64,
    pub(crate) cache_hits: AtomicU64,
    pub(crate) bad_digests: AtomicU64,
    pub(crate) traps: AtomicU64,
    pub(crate) ooms: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) requests_refused: AtomicU64,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, by: u64) {
        counter.fetch_add(by, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> RuntimeMetrics {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RuntimeMetrics {
            compiles: get(&self.compiles),
            cache_hits: get(&self.cache_hits),
            bad_digests: get(&self.bad_digests),
            traps: get(&self.traps),
            ooms: get(&self.ooms),
            requests: get(&self.requests),
            requests_refused: get(&self.requests_refused),
        }
    }
}
