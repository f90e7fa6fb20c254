//! The current records of one resource.

use crate::Error;
use crate::draft::{Decoder, Draft, Texts};
use crate::filter::Filter;
use crate::marks::{Marks, Sieve};
use crate::ring::{Change, Item, Position, Ring};
use arc_swap::ArcSwap;
use imbl::OrdMap;
use parking_lot::Mutex;
use sampan_api::record::{Record, Writer};
use sampan_store::{Entry, Event, EventKind};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{Notify, watch};

pub(crate) type Map = OrdMap<Arc<str>, Held>;

/// A record in the map, and what tells without a look at it that a selection has no use for it.
#[derive(Clone)]
pub(crate) struct Held {
    pub(crate) record: Arc<Record>,
    marks: Marks,
}

impl Held {
    pub(crate) fn new(record: Arc<Record>) -> Self {
        let marks = Marks::of(&record);
        Self { record, marks }
    }
}

/// One resource's records, whole as of a revision. Cheap to clone.
#[derive(Clone)]
pub struct Snapshot {
    pub(crate) map: Map,
    /// The revision whose state the snapshot shows.
    pub revision: u64,
    /// Revision of the last change in it: the state of all revisions from here to `revision` is the same.
    pub changed: u64,
}

impl Snapshot {
    pub fn len(&self) -> usize {
        self.map.len()
    }

    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// By the store's key.
    pub fn get(&self, key: &str) -> Option<&Arc<Record>> {
        self.map.get(key).map(|held| &held.record)
    }

    /// In key order, those with the key prefix that come after `start_after` (exclusive; a whole key).
    pub fn range<'a>(
        &'a self,
        key_prefix: &'a str,
        start_after: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a Arc<str>, &'a Arc<Record>)> {
        self.held(key_prefix, start_after).map(|(key, held)| (key, &held.record))
    }

    /// As [`Snapshot::range`]; records that the sieve holds back are not shown.
    pub fn walk<'a>(
        &'a self,
        sieve: &'a Sieve,
        key_prefix: &'a str,
        start_after: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a Arc<str>, Option<&'a Arc<Record>>)> {
        let shown = |held: &'a Held| sieve.passes(held.marks).then_some(&held.record);
        self.held(key_prefix, start_after).map(move |(key, held)| (key, shown(held)))
    }

    /// The end of the range is looked up once: neither keys nor records are looked at on the way to it.
    fn held<'a>(
        &'a self,
        key_prefix: &'a str,
        start_after: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a Arc<str>, &'a Held)> {
        let start = match start_after {
            Some(after) if after >= key_prefix => Bound::Excluded(after),
            _ => Bound::Included(key_prefix),
        };
        let behind = behind(key_prefix);
        let end = behind.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        // What is looked for after the last of its keys.
        let empty = matches!((start, end), (Bound::Excluded(after), Bound::Excluded(end)) if after >= end);
        let range = (!empty).then(|| self.map.range::<(Bound<&str>, Bound<&str>), str>((start, end)));
        range.into_iter().flatten()
    }

    /// In key order, those that the filter selects, after `start_after`.
    pub fn select<'a>(
        &'a self,
        filter: &'a Filter,
        key_prefix: &'a str,
        start_after: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a Arc<str>, &'a Arc<Record>)> {
        let sieve = filter.sieve();
        let passed = self.held(key_prefix, start_after).filter(move |(_, held)| sieve.passes(held.marks));
        passed.map(|(key, held)| (key, &held.record)).filter(move |(_, record)| filter.matches(record))
    }
}

/// The first text behind all that begin with the prefix; `None`: there is none.
fn behind(prefix: &str) -> Option<String> {
    let (at, next) = prefix.char_indices().rev().find_map(|(at, last)| {
        let next = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32)?;
        Some((at, next))
    })?;
    Some(format!("{}{next}", &prefix[..at]))
}

struct Published {
    map: Map,
    /// Of the last event in the map, or of the load.
    revision: u64,
}

/// The state of one resource: what readers load, and what the writer holds.
pub(crate) struct ResourceState {
    pub(crate) prefix: Arc<str>,
    pub(crate) dispatch: Arc<[&'static str]>,
    pub(crate) namespaced: bool,
    published: ArcSwap<Published>,
    inner: Mutex<Inner>,
    /// Whether the loading succeeded; `None` while it goes on.
    loaded: watch::Sender<Option<bool>>,
    /// Whether the resource is kept no longer, or anew by another state.
    ended: AtomicBool,
}

struct Inner {
    map: Map,
    ring: Ring,
    /// While the resource is being read from the store: what was committed meanwhile.
    loading: Option<Vec<Event>>,
    texts: Texts,
}

impl ResourceState {
    /// Empty and loading: events are kept until [`ResourceState::loaded`].
    pub(crate) fn loading(prefix: Arc<str>, dispatch: Arc<[&'static str]>, namespaced: bool) -> Self {
        let ring = Ring::new(0, dispatch.len());
        Self {
            prefix,
            dispatch,
            namespaced,
            published: ArcSwap::from_pointee(Published { map: Map::new(), revision: 0 }),
            inner: Mutex::new(Inner { map: Map::new(), ring, loading: Some(Vec::new()), texts: Texts::default() }),
            loaded: watch::Sender::new(None),
            ended: AtomicBool::new(false),
        }
    }

    /// Whether nothing comes any more: [`ResourceState::end`].
    pub(crate) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Ends the cursors of a resource that is kept no longer.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.with_ring(|ring| ring.wake_all());
    }

    /// Whether its state can be had.
    pub(crate) fn is_loaded(&self) -> bool {
        *self.loaded.borrow() == Some(true)
    }

    /// Returns once the loading, which somebody else has in hand, is over.
    pub(crate) async fn until_loaded(&self) -> Result<(), Error> {
        let mut loaded = self.loaded.subscribe();
        match loaded.wait_for(Option::is_some).await.map(|loaded| *loaded) {
            Ok(Some(true)) => Ok(()),
            _ => Err(Error::UnknownResource(self.prefix.to_string())),
        }
    }

    /// The loading did not succeed.
    pub(crate) fn failed(&self) {
        self.loaded.send_replace(Some(false));
    }

    /// Takes the state of `revision`, then the events that came meanwhile.
    pub(crate) fn loaded(&self, map: Map, revision: u64, decoder: &dyn Decoder) {
        let mut inner = self.inner.lock();
        let waiting = inner.loading.take().unwrap_or_default();
        inner.map = map;
        inner.ring.reset(revision);
        let mut wake = Vec::new();
        let mut last = revision;
        for event in waiting.iter().filter(|event| event.revision() > revision) {
            self.apply_one(&mut inner, event, decoder, &mut wake);
            last = event.revision();
        }
        self.published.store(Arc::new(Published { map: inner.map.clone(), revision: last }));
        self.loaded.send_replace(Some(true));
    }

    /// Applies events of this resource, in revision order; leaves in `wake` whom to wake afterwards.
    pub(crate) fn apply(&self, events: &[&Event], decoder: &dyn Decoder, wake: &mut Vec<Arc<Notify>>) {
        let mut inner = self.inner.lock();
        if let Some(waiting) = &mut inner.loading {
            waiting.extend(events.iter().map(|event| (*event).clone()));
            return;
        }
        for event in events {
            self.apply_one(&mut inner, event, decoder, wake);
        }
        let revision = events.last().map_or(0, |event| event.revision());
        self.published.store(Arc::new(Published { map: inner.map.clone(), revision }));
    }

    fn apply_one(&self, inner: &mut Inner, event: &Event, decoder: &dyn Decoder, wake: &mut Vec<Arc<Notify>>) {
        let entry = &event.entry;
        let at = Position { revision: entry.mod_revision, index: event.index };
        let item = match event.kind {
            EventKind::Put => {
                let Some(record) = self.record_or_log(entry, decoder, &mut inner.texts) else { return };
                let held = Held::new(record.clone());
                let previous = inner.map.insert(entry.key.clone(), held).map(|held| held.record);
                Item { change: Change::Put, record, previous, at }
            }
            EventKind::Delete => {
                let Some(Held { record: last, .. }) = inner.map.remove(&*entry.key) else { return };
                let writer = entry.payload.clone().and_then(|payload| payload.downcast::<Writer>().ok());
                let writer = writer.unwrap_or_else(|| inner.texts.writer_of(entry));
                let record = Arc::new(last.at_revision(entry.mod_revision, writer));
                Item { change: Change::Delete, record, previous: Some(last), at }
            }
        };
        inner.ring.push(&entry.key, Arc::new(item), &self.dispatch, wake);
    }

    /// The record of an entry: out of the writer's draft where there is one, else out of the bytes.
    pub(crate) fn record(&self, entry: &Entry, decoder: &dyn Decoder, texts: &mut Texts) -> Result<Record, String> {
        if let Some(draft) = entry.payload.as_ref().and_then(|payload| payload.downcast_ref::<Draft>()) {
            return Ok(texts.record_of(&self.prefix, entry, draft));
        }
        decoder.decode(&self.prefix, &entry.value).map(|draft| texts.record_of(&self.prefix, entry, &draft))
    }

    /// As [`ResourceState::record`], for where there is nobody to tell but the log. Only what another program wrote, or a
    /// broken disk, can be unreadable; it is left out, so that all else can be served.
    pub(crate) fn record_or_log(&self, entry: &Entry, decoder: &dyn Decoder, texts: &mut Texts) -> Option<Arc<Record>> {
        match self.record(entry, decoder, texts) {
            Ok(record) => Some(Arc::new(record)),
            Err(reason) => {
                tracing::error!(key = %entry.key, reason, "a stored value cannot be decoded and is left out");
                None
            }
        }
    }

    /// The current state. `seen` is a global revision read *before*: the state is that of the later of the two.
    pub(crate) fn snapshot(&self, seen: u64) -> Snapshot {
        let published = self.published.load();
        let changed = published.revision;
        Snapshot { map: published.map.clone(), revision: changed.max(seen), changed }
    }

    /// One current record.
    pub(crate) fn get(&self, key: &str) -> Option<Arc<Record>> {
        self.published.load().map.get(key).map(|held| held.record.clone())
    }

    pub(crate) fn with_ring<T>(&self, f: impl FnOnce(&mut Ring) -> T) -> T {
        f(&mut self.inner.lock().ring)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_with_a_prefix_stands_before_what_is_behind_it() {
        let check =
            |prefix: &str, expected: Option<&str>| assert_eq!(behind(prefix).as_deref(), expected, "{prefix:?}");
        check("", None);
        check("a/", Some("a0"));
        check("a\u{7f}", Some("a\u{80}"));
        check("\u{d7ff}", Some("\u{e000}"));
        check("a\u{10ffff}", Some("b"));
        check("\u{10ffff}", None);
    }
}
