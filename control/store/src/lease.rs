//! Leases in memory: which keys hang on which, and which ends next.

use crate::entry::LeaseId;
use crate::error::Error;
use crate::limits::{LEASE_TTL_MAX, LEASE_TTL_MIN, LEASES_MAX};
use sampan_env::Env;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A lease as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseStatus {
    pub id: LeaseId,
    pub ttl: Duration,
    pub remaining: Duration,
    /// In order.
    pub keys: Vec<Arc<str>>,
}

struct Lease {
    ttl: Duration,
    deadline: Instant,
    keys: BTreeSet<Arc<str>>,
    /// Its keys are being deleted: it takes no new ones.
    ending: bool,
}

#[derive(Default)]
pub(crate) struct Leases {
    by_id: HashMap<LeaseId, Lease>,
    by_deadline: BTreeSet<(Instant, LeaseId)>,
}

/// Checks a grant and picks its id.
pub(crate) fn new_id(leases: &Leases, env: &Env, ttl: Duration, id: Option<LeaseId>) -> Result<LeaseId, Error> {
    if !(LEASE_TTL_MIN..=LEASE_TTL_MAX).contains(&ttl) {
        return Err(Error::Invalid(format!("a lease of {ttl:?}: not within {LEASE_TTL_MIN:?} and {LEASE_TTL_MAX:?}")));
    }
    if leases.len() >= LEASES_MAX {
        return Err(Error::TooLarge { what: "the number of leases", size: leases.len() + 1, limit: LEASES_MAX });
    }
    match id {
        Some(LeaseId(id)) if id == 0 || i64::try_from(id).is_err() => {
            Err(Error::Invalid(format!("lease id {id} is not within 1 and 2^63-1")))
        }
        Some(id) if leases.contains(id) => Err(Error::LeaseExists(id)),
        Some(id) => Ok(id),
        None => loop {
            let id = LeaseId(env.random_u64() >> 1);
            if id.0 != 0 && !leases.contains(id) {
                return Ok(id);
            }
        },
    }
}

impl Leases {
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn contains(&self, id: LeaseId) -> bool {
        self.by_id.contains_key(&id)
    }

    pub(crate) fn insert(&mut self, id: LeaseId, ttl: Duration, now: Instant) {
        let deadline = now + ttl;
        self.by_id.insert(id, Lease { ttl, deadline, keys: BTreeSet::new(), ending: false });
        self.by_deadline.insert((deadline, id));
    }

    pub(crate) fn keep_alive(&mut self, id: LeaseId, now: Instant) -> Result<Duration, Error> {
        let lease = self.by_id.get_mut(&id).filter(|lease| !lease.ending).ok_or(Error::LeaseNotFound(id))?;
        self.by_deadline.remove(&(lease.deadline, id));
        lease.deadline = now + lease.ttl;
        self.by_deadline.insert((lease.deadline, id));
        Ok(lease.ttl)
    }

    pub(crate) fn remove(&mut self, id: LeaseId) {
        if let Some(lease) = self.by_id.remove(&id) {
            self.by_deadline.remove(&(lease.deadline, id));
        }
    }

    /// Whether a key may be put under it.
    pub(crate) fn takes_keys(&self, id: LeaseId) -> bool {
        self.by_id.get(&id).is_some_and(|lease| !lease.ending)
    }

    /// From now on it takes no keys.
    pub(crate) fn begin_end(&mut self, id: LeaseId) -> Result<(), Error> {
        self.by_id.get_mut(&id).map(|lease| lease.ending = true).ok_or(Error::LeaseNotFound(id))
    }

    /// The end did not come about.
    pub(crate) fn call_off_end(&mut self, id: LeaseId) {
        if let Some(lease) = self.by_id.get_mut(&id) {
            lease.ending = false;
        }
    }

    /// Some of the keys that hang on it, in order.
    pub(crate) fn keys(&self, id: LeaseId, max: usize) -> Vec<Arc<str>> {
        self.by_id.get(&id).map(|lease| lease.keys.iter().take(max).cloned().collect()).unwrap_or_default()
    }

    pub(crate) fn status(&self, id: LeaseId, now: Instant) -> Result<LeaseStatus, Error> {
        let lease = self.by_id.get(&id).ok_or(Error::LeaseNotFound(id))?;
        Ok(LeaseStatus {
            id,
            ttl: lease.ttl,
            remaining: lease.deadline.saturating_duration_since(now),
            keys: lease.keys.iter().cloned().collect(),
        })
    }

    pub(crate) fn attach(&mut self, id: LeaseId, key: &Arc<str>) {
        if let Some(lease) = self.by_id.get_mut(&id) {
            lease.keys.insert(key.clone());
        }
    }

    pub(crate) fn detach(&mut self, id: LeaseId, key: &str) {
        if let Some(lease) = self.by_id.get_mut(&id) {
            lease.keys.remove(key);
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.by_deadline.first().map(|(deadline, _)| *deadline)
    }

    /// One that has ended, if any.
    pub(crate) fn expired(&self, now: Instant) -> Option<LeaseId> {
        self.by_deadline.first().filter(|(deadline, _)| *deadline <= now).map(|(_, id)| *id)
    }

    /// Puts off an ended lease whose deletion did not fit on the disk.
    pub(crate) fn postpone(&mut self, id: LeaseId, until: Instant) {
        if let Some(lease) = self.by_id.get_mut(&id) {
            self.by_deadline.remove(&(lease.deadline, id));
            lease.deadline = until;
            self.by_deadline.insert((until, id));
        }
    }
}
