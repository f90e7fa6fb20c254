//! Sockets are descriptors of the whole process: each is counted against its container, and against all guests together.

use crate::limits::{DESCRIPTORS_RESERVED, GUEST_SOCKETS_MIN, GUEST_SOCKETS_PART, SOCKETS_MAX, SOCKETS_SHARE};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The sockets of all guests of a process.
#[derive(Clone, Debug)]
pub(crate) struct GuestSockets {
    free: Arc<Semaphore>,
    total: usize,
}

/// The sockets of one container, all of its stores together.
#[derive(Clone, Debug)]
pub(crate) struct SocketBudget {
    free: Arc<Semaphore>,
    process: GuestSockets,
}

/// The right to hold one socket.
#[derive(Debug)]
pub(crate) struct SocketPermit {
    _of_container: OwnedSemaphorePermit,
    _of_process: OwnedSemaphorePermit,
}

/// Descriptors for the sockets of guests, and as many again for the connections of services: neither takes the other's.
/// Out of the most that the process may have open (None: any number).
pub(crate) fn spare_for_one_kind(descriptors_max: Option<u64>) -> u64 {
    descriptors_max.unwrap_or(u64::MAX).saturating_sub(DESCRIPTORS_RESERVED) / GUEST_SOCKETS_PART / 2
}

impl GuestSockets {
    /// Out of the most descriptors that the process may have open (None: any number).
    pub(crate) fn new(descriptors_max: Option<u64>) -> Self {
        let total = usize::try_from(spare_for_one_kind(descriptors_max))
            .unwrap_or(usize::MAX)
            .clamp(GUEST_SOCKETS_MIN, Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(total)), total }
    }

    /// Number of sockets that one container may have at once where its own limit is `max`.
    pub(crate) fn share(&self, max: usize) -> usize {
        max.min(self.total / SOCKETS_SHARE)
    }

    pub(crate) fn budget(&self) -> SocketBudget {
        SocketBudget { free: Arc::new(Semaphore::new(self.share(SOCKETS_MAX))), process: self.clone() }
    }
}

impl SocketBudget {
    /// None: the container, or all guests together, hold as many as they may.
    pub(crate) fn take(&self) -> Option<SocketPermit> {
        let of_container = self.free.clone().try_acquire_owned().ok()?;
        let of_process = self.process.free.clone().try_acquire_owned().ok()?;
        Some(SocketPermit { _of_container: of_container, _of_process: of_process })
    }

    #[cfg(test)]
    pub(crate) fn free(&self) -> usize {
        self.free.available_permits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(budget: &SocketBudget) -> Vec<SocketPermit> {
        std::iter::from_fn(|| budget.take()).collect()
    }

    #[tokio::test]
    async fn a_container_has_its_share_and_all_have_no_more_than_the_process() {
        let all = GuestSockets::new(Some(DESCRIPTORS_RESERVED + 4 * 400));
        let first = taken(&all.budget());
        assert_eq!(first.len(), 100, "a quarter of all");
        let budget = all.budget();
        let store = taken(&budget);
        assert!(budget.clone().take().is_none(), "another store of that container");
        drop(store);
        assert_eq!(taken(&budget).len(), 100, "they are given back");
        let rest: Vec<_> = std::iter::from_fn(|| all.budget().take()).collect();
        assert_eq!(rest.len(), 300);
        assert!(all.budget().take().is_none());
        drop(first);
        assert!(all.budget().take().is_some());
    }

    #[test]
    fn a_container_has_its_own_limit_where_there_is_plenty() {
        assert_eq!(taken(&GuestSockets::new(None).budget()).len(), SOCKETS_MAX);
        assert_eq!(GuestSockets::new(Some(100)).total, GUEST_SOCKETS_MIN);
    }
}
