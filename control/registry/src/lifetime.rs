//! Objects that live for a time after their last write, as events do: each of them hangs on a lease of the store, which writes
//! of about the same time share (etcd3's lease manager in k8s.io/apiserver).

use crate::error::Error;
use crate::limits::{LEASE_OBJECTS_MAX, LEASE_SHARED_FOR};
use crate::registry::Registry;
use crate::resource::Resource;
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
    fn take(&self, lifetime: Duration, now: Instant) -> Option<LeaseId> {
        let mut all = self.0.lock();
        let shared = all.get_mut(&lifetime).filter(|shared| shared.until > now)?;
        shared.left = shared.left.checked_sub(1)?;
        Some(shared.id)
    }

    fn share(&self, lifetime: Duration, id: LeaseId, now: Instant) {
        let shared = Shared { id, until: now + LEASE_SHARED_FOR, left: LEASE_OBJECTS_MAX - 1 };
        self.0.lock().insert(lifetime, shared);
    }
}

impl Registry {
    /// The lease that a write of the row's objects hangs on; `None`: they stay until they are deleted. It lives by as much
    /// longer as it is shared, so that no object goes before its time.
    pub(crate) async fn lease_of(&self, row: &Resource) -> Result<Option<LeaseId>, Error> {
        let Some(lifetime) = row.lifetime else { return Ok(None) };
        let now = self.inner.env.instant();
        if let Some(id) = self.inner.lifetimes.take(lifetime, now) {
            return Ok(Some(id));
        }
        let id = self.inner.store.lease_grant(lifetime + LEASE_SHARED_FOR, None).await?;
        self.inner.lifetimes.share(lifetime, id, now);
        Ok(Some(id))
    }
}
