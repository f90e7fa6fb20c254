//! The memory limit of a container: one sum over all linear memories and tables of all of its stores.

use crate::limits;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use wasmtime::ResourceLimiter;

/// What all stores of one container share. Invariant: `used` is the sum of what its live [`StoreMem`]s have charged.
#[derive(Debug)]
pub(crate) struct PodMem {
    limit: u64,
    used: AtomicU64,
    peak: AtomicU64,
    oom: AtomicBool,
}

/// Growth past the container's limit: a trap that no guest code can catch.
#[derive(Debug, thiserror::Error)]
#[error("memory limit of {limit} bytes exceeded: {used} used, {wanted} more wanted")]
pub(crate) struct OutOfMemory {
    pub(crate) limit: u64,
    pub(crate) used: u64,
    pub(crate) wanted: u64,
}

impl PodMem {
    pub(crate) fn new(limit: Option<u64>) -> Self {
        Self {
            limit: limit.unwrap_or(u64::MAX),
            used: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            oom: AtomicBool::new(false),
        }
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }

    pub(crate) fn oom(&self) -> bool {
        self.oom.load(Ordering::Relaxed)
    }

    fn charge(&self, bytes: u64) -> Result<(), OutOfMemory> {
        let charged = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|sum| *sum <= self.limit)
        });
        match charged {
            Ok(before) => {
                self.peak.fetch_max(before + bytes, Ordering::Relaxed);
                Ok(())
            }
            Err(used) => {
                self.oom.store(true, Ordering::Relaxed);
                Err(OutOfMemory { limit: self.limit, used, wanted: bytes })
            }
        }
    }

    fn release(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// One store's part; what it charged is given back when it is dropped, since nothing says when a memory goes away.
#[derive(Debug)]
pub(crate) struct StoreMem {
    pod: Arc<PodMem>,
    charged: u64,
    elements: usize,
}

impl StoreMem {
    pub(crate) fn new(pod: Arc<PodMem>) -> Self {
        Self { pod, charged: 0, elements: 0 }
    }

    /// Bytes of all memories and tables of this store.
    pub(crate) fn charged(&self) -> u64 {
        self.charged
    }

    fn charge(&mut self, bytes: u64) -> wasmtime::Result<bool> {
        self.pod.charge(bytes)?;
        self.charged += bytes;
        Ok(true)
    }
}

impl Drop for StoreMem {
    fn drop(&mut self) {
        self.pod.release(self.charged);
    }
}

impl ResourceLimiter for StoreMem {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|max| desired > max) {
            // The module's own limit: its business, and not charged.
            return Ok(false);
        }
        self.charge(desired.saturating_sub(current) as u64)
    }

    // Growth that fails later is not refunded: the engine also reports failures that were never charged, so that a
    // refund could be farmed.
    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        if maximum.is_some_and(|max| desired > max) || self.elements.saturating_add(more) > limits::TABLE_ELEMENTS_MAX {
            return Ok(false);
        }
        self.elements += more;
        self.charge(more as u64 * limits::TABLE_ELEMENT_BYTES)
    }

    fn instances(&self) -> usize {
        limits::INSTANCES_PER_STORE_MAX
    }
    fn tables(&self) -> usize {
        limits::TABLES_PER_STORE_MAX
    }
    fn memories(&self) -> usize {
        limits::MEMORIES_PER_STORE_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 64 << 10;

    #[test]
    fn memories_of_all_stores_are_summed_and_given_back() {
        let pod = Arc::new(PodMem::new(Some(10 * PAGE as u64)));
        let mut first = StoreMem::new(pod.clone());
        assert!(first.memory_growing(0, 4 * PAGE, None).expect("within the limit"));
        assert!(first.memory_growing(0, 4 * PAGE, None).expect("a second memory, within the limit"));
        let mut second = StoreMem::new(pod.clone());
        let error = second.memory_growing(0, 4 * PAGE, None).expect_err("the sum is over the limit");
        assert!(error.downcast_ref::<OutOfMemory>().is_some());
        assert!(pod.oom());
        drop(first);
        assert_eq!(pod.used(), 0);
        assert_eq!(pod.peak(), 8 * PAGE as u64);
    }

    #[test]
    fn a_modules_own_limit_is_no_oom_and_costs_nothing() {
        let pod = Arc::new(PodMem::new(Some(10 * PAGE as u64)));
        let mut store = StoreMem::new(pod.clone());
        assert!(!store.memory_growing(PAGE, 3 * PAGE, Some(2 * PAGE)).expect("refused, not a trap"));
        assert_eq!((pod.used(), pod.oom()), (0, false));
    }

    #[test]
    fn tables_are_charged_and_bounded() {
        let pod = Arc::new(PodMem::new(None));
        let mut store = StoreMem::new(pod.clone());
        assert!(store.table_growing(0, 1000, None).expect("small"));
        assert_eq!(pod.used(), 8000);
        assert!(!store.table_growing(1000, 50_000_000, None).expect("refused, not a trap"));
        assert_eq!(pod.used(), 8000);
    }
}
