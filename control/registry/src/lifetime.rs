//! Objects that live for a time after their last write, as events do: each of them hangs on a lease of the store, which writes
//! of about the same time share (etcd3's lease manager in k8s.io/apiserver).

use crate::limits::{LEASE_OBJECTS_MAX, LEASE_SHARED_FOR};
use parking_lot::Mutex;
use sampan_store::LeaseId;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// The leases that writes hang on now, by how long they live.
#[derive(Default)]
pub(crate) struct Lifetimes(Mutex<HashMap<Duration, Shared>>);

struct Shared {
    id: LeaseId,
    until: Instant,
    left: usize,
}

impl Lifetimes {
    /// The lease that writes of that lifetime share now, if it takes one more.
    pub(crate) fn take(&self, lifetime: Duration, now: Instant) -> Option<LeaseId> {
        let mut all = self.0.lock();
        let shared = all.get_mut(&lifetime).filter(|shared| shared.until > now)?;
        shared.left = shared.left.checked_sub(1)?;
        Some(shared.id)
    }

    /// From now on writes of that lifetime share this one, which has been granted for one of them.
    pub(crate) fn share(&self, lifetime: Duration, id: LeaseId, now: Instant) {
        let shared = Shared { id, until: now + LEASE_SHARED_FOR, left: LEASE_OBJECTS_MAX - 1 };
        self.0.lock().insert(lifetime, shared);
    }
}
