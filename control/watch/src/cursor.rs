//! A reader of one resource's changes.

use crate::Error;
use crate::draft::Texts;
use crate::filter::{Filter, Interest};
use crate::limits::{CURSOR_BATCH_MAX, HISTORY_PAGE_MAX};
use crate::ring::{Change, Item, Position, Pulled};
use crate::state::ResourceState;
use crate::watch::Core;
use sampan_api::record::{Record, RecordEvent};
use sampan_store::{Event, EventKind};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use tokio::sync::Notify;

/// Pulls the events of its selection after a revision. It waits in its bucket of the dispatch index; the writer never
/// waits for it: who falls behind the ring reads on in the store's history, and comes back to the ring by itself.
pub struct Cursor {
    core: Arc<Core>,
    state: Arc<ResourceState>,
    filter: Filter,
    interest: Interest,
    wake: Arc<Notify>,
    /// Everything of the selection up to here has been handed out, or is in `ready`.
    at: Position,
    /// The place in the bucket; `None` while it reads history.
    bucket_at: Option<u64>,
    ready: VecDeque<RecordEvent>,
}

enum Filled {
    /// There may be events in `ready`, or more to be taken.
    Some,
    Empty,
    /// The ring does not reach back to `at`.
    Behind,
}

impl Cursor {
    pub(crate) fn new(core: Arc<Core>, state: Arc<ResourceState>, filter: Filter, revision: u64) -> Self {
        let interest = filter.interest(&state.prefix, &state.dispatch, state.namespaced);
        let wake = state.with_ring(|ring| ring.enter(&interest));
        let at = Position::after(revision);
        Self { core, state, filter, interest, wake, at, bucket_at: None, ready: VecDeque::new() }
    }

    /// The next event; `UnknownResource` once the resource is kept no longer. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<RecordEvent, Error> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            let wake = self.wake.clone();
            let notified = wake.notified();
            tokio::pin!(notified);
            // Before looking, so that an event between the look and the wait is not slept through.
            notified.as_mut().enable();
            match self.fill() {
                Filled::Some => {}
                Filled::Empty if self.state.is_ended() => {
                    return Err(Error::UnknownResource(self.state.prefix.to_string()));
                }
                Filled::Empty => {
                    notified.await;
                    self.core.count_wake();
                }
                Filled::Behind => self.read_history().await?,
            }
        }
    }

    /// The next event, if it is there without waiting.
    pub fn try_next(&mut self) -> Option<RecordEvent> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            match self.fill() {
                Filled::Some => {}
                Filled::Empty | Filled::Behind => return None,
            }
        }
    }

    /// A revision up to which everything of the selection has been handed out; `None` while there is more to take.
    pub fn caught_up(&mut self) -> Option<u64> {
        loop {
            if !self.ready.is_empty() {
                return None;
            }
            match self.fill() {
                Filled::Some => {}
                Filled::Empty => return Some(self.at.revision),
                Filled::Behind => return None,
            }
        }
    }

    fn fill(&mut self) -> Filled {
        // Before the look: what comes after it is not promised.
        let seen = self.core.revision();
        let Self { state, interest, at, bucket_at, .. } = self;
        let (items, attached) = state.with_ring(|ring| match bucket_at {
            Some(place) => match ring.pull(interest, place, CURSOR_BATCH_MAX) {
                Pulled::Items(items) => (Some(items), false),
                Pulled::Fell => (None, false),
            },
            None => {
                let items = ring.since(*at, |item| interest.concerns(&state.prefix, item, &state.dispatch));
                if items.is_some() {
                    *bucket_at = Some(ring.end(interest));
                }
                (items, true)
            }
        });
        let Some(items) = items else {
            self.bucket_at = None;
            return Filled::Behind;
        };
        if items.is_empty() {
            // Nothing up to there is of this selection: who falls off the ring later need not read it in the history.
            self.at = self.at.max(Position::after(seen));
            return if attached { Filled::Some } else { Filled::Empty };
        }
        for item in items {
            // A watch may begin at a revision that is still to come.
            if item.at > self.at {
                self.at = item.at;
                self.ready.extend(self.filter.event(&item));
            }
        }
        Filled::Some
    }

    /// One page of history.
    async fn read_history(&mut self) -> Result<(), Error> {
        let store = self.core.store.clone();
        let up_to = self.core.revision();
        // The sink is ahead of what the store admits by the moment between the two.
        store.wait_for(up_to).await?;
        let after = if self.at.index == u32::MAX { self.at.revision } else { self.at.revision.saturating_sub(1) };
        let prefix = match &self.interest {
            Interest::Key(key) => key.clone(),
            _ => self.filter.key_prefix(&self.state.prefix, self.state.namespaced),
        };
        let page = store.history(&prefix, after, up_to, HISTORY_PAGE_MAX).await.map_err(|e| self.expired(e))?;
        let Some(last) = page.last() else {
            self.at = self.at.max(Position::after(up_to));
            return Ok(());
        };
        let end = Position::after(last.revision());
        // Events before this page are known by what they left behind in the page itself.
        let mut seen: HashMap<Arc<str>, Option<Arc<Record>>> = HashMap::new();
        let mut found = Vec::new();
        for event in &page {
            let at = Position { revision: event.revision(), index: event.index };
            if let Some(item) = self.item(event, at, &mut seen).await?
                && at > self.at
            {
                found.extend(self.filter.event(&item));
            }
        }
        // Only now: a dropped future must read the page again.
        self.at = end;
        self.ready.extend(found);
        Ok(())
    }

    /// `None`: its value cannot be decoded, and it is left out as it was when it was committed.
    async fn item(
        &self,
        event: &Event,
        at: Position,
        seen: &mut HashMap<Arc<str>, Option<Arc<Record>>>,
    ) -> Result<Option<Item>, Error> {
        let entry = &event.entry;
        let Some(record) = self.state.record_or_log(entry, &*self.core.decoder, &mut Texts::default()) else {
            return Ok(None);
        };
        let (change, previous) = match event.kind {
            EventKind::Delete => (Change::Delete, None),
            EventKind::Put if entry.version == 1 || !self.filter.is_selective() => (Change::Put, None),
            EventKind::Put => (
                Change::Put,
                match seen.get(&entry.key) {
                    Some(previous) => previous.clone(),
                    None => self.stored_before(&entry.key, entry.mod_revision).await?,
                },
            ),
        };
        seen.insert(entry.key.clone(), (change == Change::Put).then(|| record.clone()));
        Ok(Some(Item { change, record, previous, at }))
    }

    async fn stored_before(&self, key: &str, revision: u64) -> Result<Option<Arc<Record>>, Error> {
        let before = revision.saturating_sub(1);
        let entry = self.core.store.get(key, Some(before)).await.map_err(|e| self.expired(e))?;
        let Some(entry) = entry else { return Ok(None) };
        Ok(self.state.record_or_log(&entry, &*self.core.decoder, &mut Texts::default()))
    }

    fn expired(&self, error: sampan_store::Error) -> Error {
        match error {
            sampan_store::Error::Compacted { floor } => Error::Expired { wanted: self.at.revision, oldest: floor },
            other => Error::Store(other),
        }
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.state.with_ring(|ring| ring.leave(&self.interest));
    }
}
