//! The memory limit of a container: one ledger for everything that is held for it, in all of its stores and outside of
//! them: linear memories, tables, host resources ([`crate::prices`]), buffers, its log.

use crate::limits;
use crate::prices::Kind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use wasmtime::ResourceLimiter;

/// The memory account that all stores of one container share. Invariant: `used` is the sum of what its live
/// [`StoreMem`]s and [`Charge`]s have charged.
#[derive(Debug)]
pub(crate) struct PodMem {
    limit: u64,
    used: AtomicU64,
    /// Of `used`, what clients make it hold.
    clients: AtomicU64,
    peak: AtomicU64,
    oom: AtomicBool,
    address_space: Arc<AddressSpace>,
}

/// The memories that a process has address space for: each takes the same, however small it is.
#[derive(Debug)]
pub(crate) struct AddressSpace {
    memories: AtomicU64,
}

impl Default for AddressSpace {
    fn default() -> Self {
        Self { memories: AtomicU64::new(limits::MEMORIES_PER_PROCESS_MAX) }
    }
}

impl AddressSpace {
    fn take(&self) -> bool {
        let less = |left: u64| left.checked_sub(1);
        self.memories.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }

    fn give_back(&self, memories: u64) {
        self.memories.fetch_add(memories, Ordering::Relaxed);
    }
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
    /// `limit` in bytes; None: none of its own.
    pub(crate) fn new(limit: Option<u64>) -> Self {
        Self {
            limit: limit.unwrap_or(u64::MAX),
            used: AtomicU64::new(0),
            clients: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            oom: AtomicBool::new(false),
            address_space: Arc::default(),
        }
    }

    /// The account in a process whose address space others use too.
    pub(crate) fn within(mut self, address_space: &Arc<AddressSpace>) -> Self {
        self.address_space = address_space.clone();
        self
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

    /// Whether the guest itself was refused memory.
    pub(crate) fn oom(&self) -> bool {
        self.oom.load(Ordering::Relaxed)
    }

    /// On the guest's own account: a refusal ends the container.
    fn charge(&self, bytes: u64) -> Result<(), OutOfMemory> {
        let charged = self.try_charge(bytes);
        if charged.is_err() {
            self.oom.store(true, Ordering::Relaxed);
        }
        charged
    }

    /// Bytes that clients may make it hold: they must not end a container.
    pub(crate) fn clients_limit(&self) -> u64 {
        self.limit / limits::CLIENTS_MEMORY_PART
    }

    /// On a client's account: a refusal is the client's to hear.
    fn charge_client(&self, bytes: u64) -> Result<(), OutOfMemory> {
        let limit = self.clients_limit();
        let fits = |held: u64| held.checked_add(bytes).filter(|sum| *sum <= limit);
        if let Err(used) = self.clients.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits) {
            return Err(OutOfMemory { limit, used, wanted: bytes });
        }
        let charged = self.try_charge(bytes);
        if charged.is_err() {
            self.clients.fetch_sub(bytes, Ordering::Relaxed);
        }
        charged
    }

    fn try_charge(&self, bytes: u64) -> Result<(), OutOfMemory> {
        let charged = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|sum| *sum <= self.limit)
        });
        match charged {
            Ok(before) => {
                self.peak.fetch_max(before + bytes, Ordering::Relaxed);
                Ok(())
            }
            Err(used) => Err(OutOfMemory { limit: self.limit, used, wanted: bytes }),
        }
    }

    fn release(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Bytes that are charged for as long as this exists, wherever it goes: it may outlive the store it was made for.
#[derive(Debug)]
pub(crate) struct Charge {
    pod: Arc<PodMem>,
    bytes: AtomicU64,
    of_client: bool,
}

impl Charge {
    /// On the guest's own account.
    pub(crate) fn new(pod: &Arc<PodMem>, bytes: u64) -> Result<Self, OutOfMemory> {
        pod.charge(bytes)?;
        Ok(Self { pod: pod.clone(), bytes: AtomicU64::new(bytes), of_client: false })
    }

    /// Of nothing yet.
    pub(crate) fn none(pod: &Arc<PodMem>) -> Self {
        Self { pod: pod.clone(), bytes: AtomicU64::new(0), of_client: false }
    }

    /// On a client's account: None where it does not fit.
    pub(crate) fn for_client(pod: &Arc<PodMem>, bytes: u64) -> Option<Self> {
        pod.charge_client(bytes).ok()?;
        Some(Self { pod: pod.clone(), bytes: AtomicU64::new(bytes), of_client: true })
    }

    /// Charges `bytes` more, on a client's account. False where they do not fit.
    pub(crate) fn grow_for_client(&self, bytes: u64) -> bool {
        let fits = self.pod.charge_client(bytes).is_ok();
        if fits {
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        fits
    }

    /// Takes over what `store` has charged and no longer answers for.
    pub(crate) fn adopt(&self, store: &mut StoreMem, bytes: u64) {
        store.disown(bytes);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Changes what is charged to `bytes`. Callers take turns.
    pub(crate) fn set(&self, bytes: u64) -> Result<(), OutOfMemory> {
        let before = self.bytes.load(Ordering::Relaxed);
        match bytes.checked_sub(before) {
            Some(more) => self.pod.charge(more)?,
            None => self.pod.release(before - bytes),
        }
        self.bytes.store(bytes, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let bytes = *self.bytes.get_mut();
        if self.of_client {
            self.pod.clients.fetch_sub(bytes, Ordering::Relaxed);
        }
        self.pod.release(bytes);
    }
}

/// One store's part; what it charged is given back when it is dropped, since nothing says when a memory goes away.
#[derive(Debug)]
pub(crate) struct StoreMem {
    pod: Arc<PodMem>,
    charged: u64,
    peak: u64,
    elements: usize,
    /// That were made and take address space.
    memories: u64,
    /// The cost of each host resource, by its place in the store's table.
    resources: Vec<u64>,
}

impl StoreMem {
    pub(crate) fn new(pod: Arc<PodMem>) -> Self {
        Self { pod, charged: 0, peak: 0, elements: 0, memories: 0, resources: Vec::new() }
    }

    /// Bytes that this store holds now.
    pub(crate) fn charged(&self) -> u64 {
        self.charged
    }

    /// The most bytes that it held at once.
    pub(crate) fn peak(&self) -> u64 {
        self.peak
    }

    pub(crate) fn pod(&self) -> &Arc<PodMem> {
        &self.pod
    }

    /// Before `bytes` are allocated.
    pub(crate) fn charge(&mut self, bytes: u64) -> Result<(), OutOfMemory> {
        self.pod.charge(bytes)?;
        self.charged += bytes;
        self.peak = self.peak.max(self.charged);
        Ok(())
    }

    /// After they were freed.
    pub(crate) fn refund(&mut self, bytes: u64) {
        self.disown(bytes);
        self.pod.release(bytes);
    }

    fn disown(&mut self, bytes: u64) {
        debug_assert!(bytes <= self.charged, "{bytes} given back of {}", self.charged);
        self.charged -= bytes;
    }

    fn slot(&mut self, rep: u32) -> &mut u64 {
        let at = rep as usize;
        if at >= self.resources.len() {
            self.resources.resize(at + 1, 0);
        }
        &mut self.resources[at]
    }

    /// From now on `bytes`, charged before, are those of the resource at `rep`.
    pub(crate) fn assign(&mut self, rep: u32, bytes: u64) {
        *self.slot(rep) += bytes;
    }

    /// The cost of the resource at `rep`.
    pub(crate) fn cost(&mut self, rep: u32) -> u64 {
        *self.slot(rep)
    }

    /// The resource at `rep` costs `bytes` now. Growth is charged: it was reserved by the caller, or it is small.
    pub(crate) fn set_cost(&mut self, rep: u32, bytes: u64) -> Result<(), OutOfMemory> {
        let before = self.cost(rep);
        match bytes.checked_sub(before) {
            Some(more) => self.charge(more)?,
            None => self.refund(before - bytes),
        }
        *self.slot(rep) = bytes;
        Ok(())
    }

    /// The resource at `rep` is gone and what it holds lives on elsewhere: the caller answers for the bytes.
    pub(crate) fn unassign(&mut self, rep: u32) -> u64 {
        std::mem::take(self.slot(rep))
    }

    /// The resource at `rep` is gone.
    pub(crate) fn dropped(&mut self, rep: u32) {
        let bytes = self.unassign(rep);
        self.refund(bytes);
    }

    /// Charges the price of a `kind` that is about to be made, and gives it back where it is not.
    pub(crate) fn reserve(&mut self, kind: Kind) -> Result<u64, OutOfMemory> {
        self.charge(kind.price())?;
        Ok(kind.price())
    }
}

impl Drop for StoreMem {
    fn drop(&mut self) {
        self.pod.release(self.charged);
        self.pod.address_space.give_back(self.memories);
    }
}

impl ResourceLimiter for StoreMem {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|max| desired > max) {
            // The module's own limit: its business, and not charged.
            return Ok(false);
        }
        // A memory that is made, or an empty one that grows: never more of them than a store may have memories.
        if current == 0 && self.memories < limits::MEMORIES_PER_STORE_MAX as u64 {
            if !self.pod.address_space.take() {
                return Ok(false);
            }
            self.memories += 1;
        }
        self.charge(desired.saturating_sub(current) as u64)?;
        Ok(true)
    }

    // Growth that fails later is not refunded: the engine also reports failures that were never charged, so that a
    // refund could be farmed.
    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        if maximum.is_some_and(|max| desired > max) || self.elements.saturating_add(more) > limits::TABLE_ELEMENTS_MAX {
            return Ok(false);
        }
        self.elements += more;
        self.charge(more as u64 * limits::TABLE_ELEMENT_BYTES)?;
        Ok(true)
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

    #[test]
    fn what_outlives_its_store_is_charged_until_it_is_gone() {
        let pod = Arc::new(PodMem::new(Some(1000)));
        let mut store = StoreMem::new(pod.clone());
        store.charge(600).expect("within the limit");
        store.assign(7, 600);
        let charge = Charge::new(&pod, 100).expect("within the limit");
        let moved = store.unassign(7);
        charge.adopt(&mut store, moved);
        drop(store);
        assert_eq!(pod.used(), 700);
        assert!(charge.set(1001).is_err() && pod.oom());
        charge.set(50).expect("less");
        assert_eq!(pod.used(), 50);
        drop(charge);
        assert_eq!(pod.used(), 0);
    }

    #[test]
    fn a_client_that_finds_no_room_does_not_end_the_container() {
        let pod = Arc::new(PodMem::new(Some(100 * limits::CLIENTS_MEMORY_PART)));
        let first = Charge::for_client(&pod, 60).expect("room");
        assert!(Charge::for_client(&pod, 60).is_none() && !first.grow_for_client(41));
        assert!(first.grow_for_client(40) && !pod.oom());
        drop(first);
        assert_eq!((pod.used(), pod.clients.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn a_resource_costs_until_it_is_dropped() {
        let pod = Arc::new(PodMem::new(None));
        let mut store = StoreMem::new(pod.clone());
        let price = store.reserve(Kind::Fields).expect("no limit");
        store.assign(3, price);
        store.set_cost(3, price + 500).expect("no limit");
        store.set_cost(3, price + 200).expect("less");
        assert_eq!((pod.used(), store.cost(3)), (price + 200, price + 200));
        store.dropped(3);
        assert_eq!((pod.used(), store.charged(), store.peak()), (0, 0, price + 500));
    }

    #[test]
    fn memories_take_address_space_however_small_they_are() {
        let address_space = Arc::new(AddressSpace::default());
        let pod = Arc::new(PodMem::new(None).within(&address_space));
        let mut stores = Vec::new();
        let mut made = 0;
        'full: loop {
            let mut store = StoreMem::new(pod.clone());
            for _ in 0..limits::MEMORIES_PER_STORE_MAX {
                if !store.memory_growing(0, 0, None).expect("no limit of bytes") {
                    break 'full;
                }
                made += 1;
            }
            // Growing an empty one again and again takes no more.
            assert!(store.memory_growing(0, 0, None).expect("no limit of bytes"));
            stores.push(store);
        }
        assert_eq!(made, limits::MEMORIES_PER_PROCESS_MAX);
        stores.clear();
        assert_eq!(address_space.memories.load(Ordering::Relaxed), limits::MEMORIES_PER_PROCESS_MAX);
    }
}
