//! The engine for tests and simulations: nothing survives it.

use crate::entry::{Entry, Event, EventKind, LeaseId};
use crate::error::Error;
use crate::floors::Floors;
use crate::head::{Head, row_id, row_revision};
use crate::key;
use crate::lease::{self, LeaseStatus};
use crate::limits::HISTORY_EVENTS_MAX;
use crate::publish::Publisher;
use crate::statistics::Statistics;
use crate::store::{Keys, Range, RangeResult, Sink, Store};
use crate::txn::{Committed, Op, Txn};
use async_trait::async_trait;
use parking_lot::{Mutex, MutexGuard};
use sampan_env::{Env, Tasks};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::Notify;

/// The log in maps. Writes happen on the caller's thread, one at a time.
pub struct MemoryStore {
    shared: Arc<Shared>,
    tasks: Tasks,
}

struct Shared {
    env: Env,
    publisher: Publisher,
    /// Held through a write, publishing included: the order of sinks is that of revisions.
    writing: Mutex<()>,
    state: Mutex<State>,
    leases_changed: Notify,
}

#[derive(Default)]
struct State {
    head: Head,
    floors: Floors,
    log: BTreeMap<u64, Event>,
    /// Per key: row ids, ascending.
    rows: BTreeMap<Arc<str>, Vec<u64>>,
    statistics: Statistics,
}

impl MemoryStore {
    /// An empty log; a task of `tasks` ends its leases.
    pub fn new(env: Env, tasks: &Tasks) -> Self {
        let shared = Arc::new(Shared {
            env,
            publisher: Publisher::new(0),
            writing: Mutex::new(()),
            state: Mutex::default(),
            leases_changed: Notify::new(),
        });
        let tasks = tasks.child("memory store");
        let weak = Arc::downgrade(&shared);
        tasks.spawn_until_cancelled(async move {
            while let Some(shared) = weak.upgrade() {
                if shared.end_leases().await.is_err() {
                    return;
                }
            }
        });
        Self { shared, tasks }
    }
}

impl Shared {
    /// Waits for the next lease to end, or for a change, and ends those that have. Errors: `Closed`.
    async fn end_leases(&self) -> Result<(), Error> {
        let changed = self.leases_changed.notified();
        let (expired, next) = {
            let leases = &self.state.lock().head.leases;
            (leases.expired(self.env.instant()), leases.next_deadline())
        };
        match (expired, next) {
            (Some(id), _) => match self.revoke(id, "expire") {
                // It has been revoked meanwhile.
                Ok(_) | Err(Error::LeaseNotFound(_)) => {}
                Err(error) => return Err(error),
            },
            (None, Some(deadline)) => {
                tokio::select! {
                    () = changed => {}
                    () = tokio::time::sleep_until(deadline) => {}
                }
            }
            (None, None) => changed.await,
        }
        Ok(())
    }

    fn open(&self) -> Result<(), Error> {
        if self.publisher.is_closed() { Err(Error::Closed) } else { Ok(()) }
    }

    fn commit(&self, txn: Txn) -> Result<Committed, Error> {
        let writing = self.writing.lock();
        self.commit_one(txn, &writing)
    }

    fn commit_one(&self, mut txn: Txn, _writing: &MutexGuard<'_, ()>) -> Result<Committed, Error> {
        self.open()?;
        let committed = {
            let mut guard = self.state.lock();
            let state = &mut *guard;
            let mut batch = state.head.batch(self.env.now());
            for op in &mut txn.ops {
                if let Op::Delete { key, last: last @ None, .. } = op {
                    let row = batch.last_row(&state.head, key);
                    *last = row.map(|row| state.log[&row].entry.value.clone());
                }
            }
            let staged = batch.stage(&state.head, txn).inspect_err(|error| {
                state.statistics.conflicts += u64::from(matches!(error, Error::Conflict { .. }));
            })?;
            let events = state.head.apply(batch);
            for event in &events {
                let id = row_id(event.revision(), event.index);
                let stored = Event { entry: Entry { payload: None, ..event.entry.clone() }, ..*event };
                state.log.insert(id, stored);
                state.rows.entry(event.entry.key.clone()).or_default().push(id);
            }
            if !events.is_empty() {
                state.statistics.batches += 1;
                state.statistics.transactions += 1;
                state.statistics.rows += events.len() as u64;
            }
            Committed { revision: staged.revision, events }
        };
        if !committed.events.is_empty() {
            self.publisher.publish(&committed.events, committed.revision);
        }
        Ok(committed)
    }

    fn revoke(&self, id: LeaseId, verb: &str) -> Result<u64, Error> {
        self.open()?;
        let writing = self.writing.lock();
        self.state.lock().head.leases.begin_end(id)?;
        loop {
            // The lock must be free again for the commit.
            let Some(txn) = self.state.lock().head.revocation(id, verb) else { break };
            self.commit_one(txn, &writing).inspect_err(|_| self.state.lock().head.leases.call_off_end(id))?;
        }
        let mut state = self.state.lock();
        state.head.leases.remove(id);
        Ok(state.head.revision)
    }
}

impl State {
    /// The revision to read at, if it can be.
    fn at(&self, at: Option<u64>, published: u64, floor: u64) -> Result<u64, Error> {
        let revision = at.unwrap_or(published);
        if revision > published {
            return Err(Error::Future { current: published });
        }
        if revision < floor {
            return Err(Error::Compacted { floor });
        }
        Ok(revision)
    }

    fn entry_at(&self, rows: &[u64], revision: u64) -> Option<Entry> {
        let end = rows.partition_point(|id| row_revision(*id) <= revision);
        let event = &self.log[rows[..end].last()?];
        (event.kind == EventKind::Put).then(|| event.entry.clone())
    }

    /// Removes what a floor made unreadable.
    fn sweep(&mut self, prefix: &str, revision: u64) {
        let end = key::end_of_prefix(prefix);
        let log = &mut self.log;
        let mut removed = 0;
        for (_, rows) in self.rows.range_mut::<str, _>((Bound::Included(prefix), Bound::Excluded(end.as_str()))) {
            let end = rows.partition_point(|id| row_revision(*id) <= revision);
            let keep = match rows[..end].last() {
                Some(last) if log[last].kind == EventKind::Put => end - 1,
                _ => end,
            };
            for id in rows.drain(..keep) {
                log.remove(&id);
                removed += 1;
            }
        }
        self.rows.retain(|_, rows| !rows.is_empty());
        self.statistics.compacted_rows += removed;
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn txn(&self, mut txn: Txn) -> Result<Committed, Error> {
        txn.check()?;
        self.shared.commit(txn)
    }

    async fn current_revision(&self) -> Result<u64, Error> {
        self.shared.open()?;
        Ok(self.shared.publisher.revision())
    }

    async fn revision_at(&self, time: SystemTime) -> Result<u64, Error> {
        self.shared.open()?;
        let state = self.shared.state.lock();
        Ok(state.log.values().rev().find(|event| event.entry.time <= time).map_or(0, Event::revision))
    }

    async fn wait_for(&self, revision: u64) -> Result<(), Error> {
        self.shared.publisher.wait_for(revision).await
    }

    async fn get(&self, key: &str, at: Option<u64>) -> Result<Option<Entry>, Error> {
        self.shared.open()?;
        let published = self.shared.publisher.revision();
        let state = self.shared.state.lock();
        let revision = state.at(at, published, state.floors.covering(key))?;
        Ok(state.rows.get(key).and_then(|rows| state.entry_at(rows, revision)))
    }

    async fn range(&self, range: Range, at: Option<u64>) -> Result<RangeResult, Error> {
        self.shared.open()?;
        let published = self.shared.publisher.revision();
        let state = self.shared.state.lock();
        let revision = state.at(at, published, state.floors.of(&range.prefix))?;
        let end = key::end_of_prefix(&range.prefix);
        let start = match &range.start_after {
            Some(after) if *after >= range.prefix => Bound::Excluded(after.as_str()),
            _ => Bound::Included(range.prefix.as_str()),
        };
        let mut result = RangeResult { entries: Vec::new(), revision, more: false };
        let is_empty =
            !key::is_prefix(&range.prefix) || matches!(start, Bound::Excluded(after) if after >= end.as_str());
        if is_empty {
            return Ok(result);
        }
        for (_, rows) in state.rows.range::<str, _>((start, Bound::Excluded(end.as_str()))) {
            if let Some(entry) = state.entry_at(rows, revision) {
                if range.limit.is_some_and(|limit| result.entries.len() >= limit) {
                    result.more = true;
                    break;
                }
                result.entries.push(entry);
            }
        }
        Ok(result)
    }

    async fn keys(&self, range: Range, at: Option<u64>) -> Result<Keys, Error> {
        // Entries share their values with the log: nothing is copied.
        let found = self.range(range, at).await?;
        Ok(Keys { keys: found.entries.into_iter().map(|entry| entry.key).collect(), more: found.more })
    }

    async fn history(&self, prefix: &str, after: u64, up_to: u64, limit: usize) -> Result<Vec<Event>, Error> {
        self.shared.open()?;
        let published = self.shared.publisher.revision();
        let state = self.shared.state.lock();
        state.at(Some(after), published, state.floors.of(prefix))?;
        let limit = limit.clamp(1, HISTORY_EVENTS_MAX);
        let mut events: Vec<Event> = Vec::new();
        if up_to <= after {
            return Ok(events);
        }
        for event in state.log.range(row_id(after + 1, 0)..row_id(up_to.min(published) + 1, 0)).map(|(_, event)| event)
        {
            if events.len() >= limit && events.last().is_some_and(|last| last.revision() != event.revision()) {
                break;
            }
            if event.entry.key.starts_with(prefix) {
                events.push(event.clone());
            }
        }
        Ok(events)
    }

    fn subscribe(&self, sink: Arc<dyn Sink>) -> u64 {
        self.shared.publisher.subscribe(sink)
    }

    async fn compact(&self, prefix: &str, revision: u64) -> Result<u64, Error> {
        self.shared.open()?;
        key::check_prefix(prefix)?;
        let published = self.shared.publisher.revision();
        let mut state = self.shared.state.lock();
        if revision > published {
            return Err(Error::Future { current: published });
        }
        if state.floors.allows(prefix, revision)? {
            state.floors.raise(prefix, revision);
            state.sweep(prefix, revision);
        }
        Ok(state.floors.of(prefix))
    }

    async fn floor(&self, prefix: &str) -> Result<u64, Error> {
        self.shared.open()?;
        Ok(self.shared.state.lock().floors.of(prefix))
    }

    async fn lease_grant(&self, ttl: Duration, id: Option<LeaseId>) -> Result<LeaseId, Error> {
        self.shared.open()?;
        let id = {
            let mut state = self.shared.state.lock();
            let id = lease::new_id(&state.head.leases, &self.shared.env, ttl, id)?;
            state.head.leases.insert(id, ttl, self.shared.env.instant());
            id
        };
        self.shared.leases_changed.notify_one();
        Ok(id)
    }

    async fn lease_keep_alive(&self, id: LeaseId) -> Result<Duration, Error> {
        self.shared.open()?;
        self.shared.state.lock().head.leases.keep_alive(id, self.shared.env.instant())
    }

    async fn lease_revoke(&self, id: LeaseId) -> Result<u64, Error> {
        self.shared.open()?;
        self.shared.revoke(id, "revoke")
    }

    async fn lease_status(&self, id: LeaseId) -> Result<LeaseStatus, Error> {
        self.shared.open()?;
        self.shared.state.lock().head.leases.status(id, self.shared.env.instant())
    }

    fn statistics(&self) -> Statistics {
        let state = self.shared.state.lock();
        Statistics {
            keys: state.head.keys.len() as u64,
            leases: state.head.leases.len() as u64,
            closed: self.shared.publisher.is_closed(),
            ..state.statistics
        }
    }

    async fn close(&self) {
        self.shared.publisher.close();
        self.tasks.token().cancel();
    }
}
