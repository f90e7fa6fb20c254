//! A whole watch: initial events, changes, bookmarks, an end.

use crate::Error;
use crate::cursor::Cursor;
use crate::filter::Filter;
use crate::limits::{BOOKMARK_PERIOD, SNAPSHOT_CHUNK, WATCH_TIMEOUT_MAX};
use crate::marks::Sieve;
use crate::state::Snapshot;
use crate::watch::Watch;
use sampan_api::record::RecordEvent;
use sampan_env::Env;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// The beginning of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the changes after this revision.
    After(u64),
    /// With an ADDED for each object that there is now, then a bookmark that says so if `announce_end`, then changes.
    Current { announce_end: bool },
}

#[derive(Clone, Debug)]
pub struct StreamOptions {
    pub filter: Filter,
    pub start: Start,
    /// Bookmarks each [`BOOKMARK_PERIOD`] and at the end.
    pub bookmarks: bool,
    /// Time after which the stream ends by itself; [`WATCH_TIMEOUT_MAX`] at the latest.
    pub timeout: Duration,
}

/// The events of one watch. After an error, and after the timeout, it is over.
pub struct EventStream {
    env: Env,
    cursor: Cursor,
    filter: Filter,
    initial: Option<Initial>,
    ready: VecDeque<RecordEvent>,
    bookmarks: bool,
    next_look: Instant,
    deadline: Instant,
    over: bool,
}

/// Initial events not yet made.
struct Initial {
    snapshot: Snapshot,
    /// What passes over objects that the filter does not select.
    sieve: Sieve,
    key_prefix: String,
    after: Option<String>,
    announce_end: bool,
}

impl Watch {
    /// Begins a watch on the resource under `prefix`.
    pub fn stream(&self, prefix: &str, namespaced: bool, options: StreamOptions) -> Result<EventStream, Error> {
        let StreamOptions { filter, start, bookmarks, timeout } = options;
        let (revision, initial) = match start {
            Start::After(revision) => (revision, None),
            Start::Current { announce_end } => {
                let snapshot = self.snapshot(prefix)?;
                let key_prefix = filter.key_prefix(prefix, namespaced);
                let sieve = filter.sieve();
                (snapshot.revision, Some(Initial { snapshot, sieve, key_prefix, after: None, announce_end }))
            }
        };
        let now = self.env().instant();
        Ok(EventStream {
            env: self.env().clone(),
            cursor: self.cursor(prefix, filter.clone(), revision)?,
            filter,
            initial,
            ready: VecDeque::new(),
            bookmarks,
            next_look: now + BOOKMARK_PERIOD,
            deadline: now + timeout.min(WATCH_TIMEOUT_MAX),
            over: false,
        })
    }
}

impl EventStream {
    /// The next event; `None` at the end. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<RecordEvent, Error>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            if self.over {
                return None;
            }
            if let Some(initial) = self.initial.take() {
                self.initial = self.initial_events(initial);
                continue;
            }
            let until = self.next_look.min(self.deadline);
            // First: a backlog that never ends must not keep the stream from its own end.
            if self.env.instant() >= until {
                self.look();
                continue;
            }
            tokio::select! {
                biased;
                event = self.cursor.next() => match event {
                    Ok(event) => return Some(Ok(event)),
                    // Kept no longer: watches of it end as they do at their time.
                    Err(Error::UnknownResource(_)) => self.over = true,
                    Err(error) => {
                        self.over = true;
                        return Some(Err(error));
                    }
                },
                () = tokio::time::sleep_until(until) => {}
            }
        }
    }

    /// Moves the cursor past events that do not concern it, and sends a bookmark; done at the end, and from time to
    /// time.
    fn look(&mut self) {
        let now = self.env.instant();
        self.over = now >= self.deadline;
        self.next_look = now + BOOKMARK_PERIOD;
        if let Some(revision) = self.cursor.caught_up()
            && self.bookmarks
        {
            self.ready.push_back(RecordEvent::Bookmark { revision, initial_events_end: false });
        }
    }

    /// Makes some initial events; what is left of them, if any.
    fn initial_events(&mut self, mut initial: Initial) -> Option<Initial> {
        let Initial { snapshot, sieve, key_prefix, after, announce_end } = &mut initial;
        let mut last = None;
        let mut looked_at = 0;
        let chunk = self.filter.looked_at_once(SNAPSHOT_CHUNK);
        for (key, record) in snapshot.walk(sieve, key_prefix, after.as_deref()).take(chunk) {
            looked_at += 1;
            last = Some(key);
            if let Some(record) = record.filter(|record| self.filter.matches(record)) {
                self.ready.push_back(RecordEvent::Added(record.clone()));
            }
        }
        let last = last.map(|key| key.to_string());
        if looked_at == chunk {
            *after = last;
            return Some(initial);
        }
        if *announce_end {
            self.ready.push_back(RecordEvent::Bookmark { revision: snapshot.revision, initial_events_end: true });
        }
        None
    }
}
