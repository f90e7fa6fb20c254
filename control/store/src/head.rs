//! The log's state that preconditions are checked against: key -> revisions, and the leases. Shared by the engines.

use crate::entry::{Entry, Event, EventKind, LeaseId, Writer};
use crate::error::Error;
use crate::lease::Leases;
use crate::limits::{INDEX_BITS, REVISION_MAX, TXN_OPS_MAX};
use crate::txn::{Compare, Op, Txn};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

/// The place of a key's last put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeadKey {
    pub create: u64,
    pub modified: u64,
    pub index: u32,
    pub version: u64,
    pub lease: Option<LeaseId>,
}

/// A row's id: (revision, index) packed, so that the order of ids is the log's.
pub(crate) fn row_id(revision: u64, index: u32) -> u64 {
    revision << INDEX_BITS | u64::from(index)
}

pub(crate) fn row_revision(id: u64) -> u64 {
    id >> INDEX_BITS
}

pub(crate) fn row_index(id: u64) -> u32 {
    (id & ((1 << INDEX_BITS) - 1)) as u32
}

#[derive(Default)]
pub(crate) struct Head {
    pub revision: u64,
    pub keys: HashMap<Arc<str>, HeadKey>,
    pub leases: Leases,
}

/// Transactions that are to become durable together, and what they make of the head. Dropping it is the roll-back.
pub(crate) struct Batch {
    pub revision: u64,
    pub events: Vec<Event>,
    time: SystemTime,
    changed: HashMap<Arc<str>, Option<(HeadKey, usize)>>,
}

/// One transaction's part of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Staged {
    pub revision: u64,
    pub events: std::ops::Range<usize>,
}

impl Head {
    pub(crate) fn batch(&self, time: SystemTime) -> Batch {
        Batch { revision: self.revision, events: Vec::new(), time, changed: HashMap::new() }
    }

    /// Makes a committed batch the head; its events are left to the caller.
    pub(crate) fn apply(&mut self, batch: Batch) -> Vec<Event> {
        self.revision = batch.revision;
        for (key, state) in batch.changed {
            let new = state.map(|(new, _)| new);
            let old = match new {
                Some(new) => self.keys.insert(key.clone(), new),
                None => self.keys.remove(&key),
            };
            let (old, new) = (old.and_then(|old| old.lease), new.and_then(|new| new.lease));
            if old != new {
                if let Some(old) = old {
                    self.leases.detach(old, &key);
                }
                if let Some(new) = new {
                    self.leases.attach(new, &key);
                }
            }
        }
        batch.events
    }

    /// A transaction that deletes what hangs on the lease now, or as much of it as one may; `None` when nothing does. Asked
    /// for anew after each one: keys may be taken off the lease while it ends.
    pub(crate) fn revocation(&self, id: LeaseId, verb: &str) -> Option<Txn> {
        let keys = self.leases.keys(id, TXN_OPS_MAX);
        let writer = Writer { user: "system:store".into(), verb: verb.into(), ..Writer::default() };
        let ops = keys.into_iter().map(Op::delete).collect::<Vec<_>>();
        (!ops.is_empty()).then_some(Txn { compares: Vec::new(), ops, writer })
    }
}

impl Batch {
    /// Adds a transaction (one that passed its own check, and whose deletions have the values that [`Batch::last_row`]
    /// names), or says why it may not happen; then nothing has changed.
    pub(crate) fn stage(&mut self, head: &Head, txn: Txn) -> Result<Staged, Error> {
        for compare in &txn.compares {
            let state = self.state(head, compare.key()).map(|(state, _)| state);
            let (actual, expected) = match compare {
                Compare::ModRevision { equals, .. } => (state.map(|s| s.modified), equals),
                Compare::CreateRevision { equals, .. } => (state.map(|s| s.create), equals),
                Compare::Version { equals, .. } => (state.map(|s| s.version), equals),
            };
            if actual.unwrap_or(0) != *expected {
                return Err(Error::Conflict {
                    key: compare.key().to_string(),
                    actual_mod_revision: state.map_or(0, |s| s.modified),
                });
            }
        }
        for op in &txn.ops {
            if let Op::Put { lease: Some(lease), .. } = op
                && !head.leases.takes_keys(*lease)
            {
                return Err(Error::LeaseNotFound(*lease));
            }
        }
        if self.revision == REVISION_MAX {
            return Err(Error::Invalid("the log is at its greatest revision".into()));
        }
        let first = self.events.len();
        let revision = self.revision + 1;
        let writer = Arc::new(txn.writer);
        for op in txn.ops {
            let index = (self.events.len() - first) as u32;
            self.stage_op(head, op, revision, index, &writer);
        }
        if self.events.len() > first {
            self.revision = revision;
        }
        Ok(Staged { revision: self.revision, events: first..self.events.len() })
    }

    /// The row whose value a deletion of the key would end, if that row is in the log and not in this batch.
    pub(crate) fn last_row(&self, head: &Head, key: &str) -> Option<u64> {
        match self.state(head, key) {
            Some((state, None)) => Some(row_id(state.modified, state.index)),
            _ => None,
        }
    }

    fn stage_op(&mut self, head: &Head, op: Op, revision: u64, index: u32, writer: &Arc<Writer>) {
        let old = self.state(head, op.key());
        let position = self.events.len();
        let (kind, state, entry) = match op {
            Op::Put { key, value, payload, lease } => {
                let state = HeadKey {
                    create: old.map_or(revision, |(old, _)| old.create),
                    modified: revision,
                    index,
                    version: old.map_or(1, |(old, _)| old.version + 1),
                    lease,
                };
                (EventKind::Put, Some((state, position)), self.entry(key, &state, value, payload, writer))
            }
            Op::Delete { key, payload, last } => {
                let Some((old, staged)) = old else { return };
                let value = last.or_else(|| staged.map(|at| self.events[at].entry.value.clone()));
                let gone = HeadKey { modified: revision, index, lease: None, ..old };
                (EventKind::Delete, None, self.entry(key, &gone, value.unwrap_or_default(), payload, writer))
            }
        };
        self.changed.insert(entry.key.clone(), state);
        self.events.push(Event { kind, entry, index });
    }

    fn entry(
        &self,
        key: Arc<str>,
        state: &HeadKey,
        value: Bytes,
        payload: Option<crate::entry::Payload>,
        writer: &Arc<Writer>,
    ) -> Entry {
        Entry {
            key,
            create_revision: state.create,
            mod_revision: state.modified,
            version: state.version,
            lease: state.lease,
            value,
            writer: writer.clone(),
            time: self.time,
            payload,
        }
    }

    /// The key as this batch leaves it; with its place in `events` if this batch put it.
    fn state(&self, head: &Head, key: &str) -> Option<(HeadKey, Option<usize>)> {
        match self.changed.get(key) {
            Some(changed) => changed.map(|(state, position)| (state, Some(position))),
            None => head.keys.get(key).map(|state| (*state, None)),
        }
    }
}
