//! The last events of one resource, and the dispatch index over them.

use crate::filter::Interest;
use crate::limits::{RING_BYTES_MAX, RING_EVENTS_MAX};
use sampan_api::record::Record;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use tokio::sync::Notify;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Put,
    Delete,
}

/// One event. A deletion's record is the last state under the deletion's revision.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) change: Change,
    pub(crate) record: Arc<Record>,
    /// The record that a Put replaced.
    pub(crate) previous: Option<Arc<Record>>,
    pub(crate) at: Position,
}

/// A place in the log: everything up to and including (revision, index within the transaction).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) revision: u64,
    pub(crate) index: u32,
}

impl Position {
    /// Behind every event of the revision.
    pub(crate) fn after(revision: u64) -> Self {
        Self { revision, index: u32::MAX }
    }
}

/// Bounded by events and bytes. Each event has a sequence number; the index holds sequence numbers.
pub(crate) struct Ring {
    items: VecDeque<Arc<Item>>,
    /// Sequence number of `items[0]`.
    first: u64,
    bytes: usize,
    /// Every event after this position is in `items`.
    floor: Position,
    index: Index,
    events_max: usize,
}

#[derive(Default)]
struct Index {
    all: Option<Bucket>,
    namespaces: HashMap<String, Bucket>,
    keys: HashMap<String, Bucket>,
    fields: Vec<HashMap<String, Bucket>>,
}

/// Sequence numbers of the events that its cursors are concerned by, in order.
struct Bucket {
    sequence: VecDeque<u64>,
    /// Number of the first entry of `sequence`, counted since the bucket was made.
    first: u64,
    wake: Arc<Notify>,
    cursors: usize,
}

/// The result of a cursor's pull from its bucket.
pub(crate) enum Pulled {
    Items(Vec<Arc<Item>>),
    /// Events that the cursor had not seen have left the ring.
    Fell,
}

impl Ring {
    pub(crate) fn new(floor: u64, dispatch: usize) -> Self {
        let index = Index { fields: (0..dispatch).map(|_| HashMap::new()).collect(), ..Index::default() };
        Self {
            items: VecDeque::new(),
            first: 0,
            bytes: 0,
            floor: Position::after(floor),
            index,
            events_max: RING_EVENTS_MAX,
        }
    }

    pub(crate) fn shrink(&mut self, events_max: usize) {
        self.events_max = events_max;
    }

    /// Begins again at `revision`, empty.
    pub(crate) fn reset(&mut self, revision: u64) {
        self.first += self.items.len() as u64;
        self.items.clear();
        self.bytes = 0;
        self.floor = Position::after(revision);
    }

    /// Appends an event and leaves in `wake` whom to wake, once the lock is gone.
    pub(crate) fn push(&mut self, key: &str, item: Arc<Item>, dispatch: &[&'static str], wake: &mut Vec<Arc<Notify>>) {
        let sequence = self.first + self.items.len() as u64;
        self.index.push(key, sequence, self.first, &item, dispatch, wake);
        self.bytes += cost(&item);
        self.items.push_back(item);
        while self.items.len() > self.events_max || (self.bytes > RING_BYTES_MAX && self.items.len() > 1) {
            let Some(dropped) = self.items.pop_front() else { break };
            self.bytes -= cost(&dropped);
            self.floor = dropped.at;
            self.first += 1;
        }
    }

    /// Wakes every cursor that waits.
    pub(crate) fn wake_all(&self) {
        let index = &self.index;
        let fields = index.fields.iter().flat_map(HashMap::values);
        let keyed = index.namespaces.values().chain(index.keys.values()).chain(fields);
        index.all.iter().chain(keyed).for_each(|bucket| bucket.wake.notify_waiters());
    }

    /// Enters a cursor into its bucket; it begins behind all that is there.
    pub(crate) fn enter(&mut self, interest: &Interest) -> Arc<Notify> {
        let bucket = self.index.slot(interest);
        bucket.cursors += 1;
        bucket.wake.clone()
    }

    pub(crate) fn leave(&mut self, interest: &Interest) {
        self.index.leave(interest);
    }

    /// The end of the bucket: the place of a cursor that has seen everything.
    pub(crate) fn end(&mut self, interest: &Interest) -> u64 {
        let bucket = self.index.slot(interest);
        bucket.first + bucket.sequence.len() as u64
    }

    /// All that is after `position` and of interest, for a cursor that comes out of history; `None` if the ring does
    /// not reach back so far.
    pub(crate) fn since(&self, position: Position, concerns: impl Fn(&Item) -> bool) -> Option<Vec<Arc<Item>>> {
        if position < self.floor {
            return None;
        }
        let begin = self.items.partition_point(|item| item.at <= position);
        Some(self.items.range(begin..).filter(|item| concerns(item)).cloned().collect())
    }

    /// Up to `max` events of the bucket from `at` on, which moves on.
    pub(crate) fn pull(&mut self, interest: &Interest, at: &mut u64, max: usize) -> Pulled {
        let first = self.first;
        let bucket = self.index.slot(interest);
        if *at < bucket.first {
            return Pulled::Fell;
        }
        let begin = (*at - bucket.first) as usize;
        let wanted = bucket.sequence.range(begin.min(bucket.sequence.len())..).take(max);
        let mut items = Vec::with_capacity(wanted.len());
        for sequence in wanted {
            if *sequence < first {
                return Pulled::Fell;
            }
            items.push(self.items[(*sequence - first) as usize].clone());
        }
        *at += items.len() as u64;
        Pulled::Items(items)
    }
}

fn cost(item: &Item) -> usize {
    item.record.json.len() + item.previous.as_ref().map_or(0, |previous| previous.json.len())
}

impl Index {
    fn push(
        &mut self,
        key: &str,
        sequence: u64,
        oldest: u64,
        item: &Item,
        dispatch: &[&'static str],
        wake: &mut Vec<Arc<Notify>>,
    ) {
        let mut enter = |bucket: &mut Bucket| {
            while bucket.sequence.front().is_some_and(|first| *first < oldest) {
                bucket.sequence.pop_front();
                bucket.first += 1;
            }
            bucket.sequence.push_back(sequence);
            wake.push(bucket.wake.clone());
        };
        if let Some(bucket) = &mut self.all {
            enter(bucket);
        }
        if let Some(bucket) = self.namespaces.get_mut(&*item.record.key.namespace) {
            enter(bucket);
        }
        if let Some(bucket) = self.keys.get_mut(key) {
            enter(bucket);
        }
        for (field, buckets) in dispatch.iter().zip(&mut self.fields) {
            if buckets.is_empty() {
                continue;
            }
            let now = item.record.field(field).unwrap_or_default();
            if let Some(bucket) = buckets.get_mut(now) {
                enter(bucket);
            }
            // Watchers of the value that it had must hear that it is gone.
            if let Some(before) = item.previous.as_ref().map(|p| p.field(field).unwrap_or_default())
                && before != now
                && let Some(bucket) = buckets.get_mut(before)
            {
                enter(bucket);
            }
        }
    }

    fn slot(&mut self, interest: &Interest) -> &mut Bucket {
        match interest {
            Interest::All => self.all.get_or_insert_with(Bucket::new),
            Interest::Namespace(namespace) => slot(&mut self.namespaces, namespace),
            Interest::Key(key) => slot(&mut self.keys, key),
            Interest::Field(index, value) => slot(&mut self.fields[*index], value),
        }
    }

    fn leave(&mut self, interest: &Interest) {
        let bucket = self.slot(interest);
        bucket.cursors = bucket.cursors.saturating_sub(1);
        if bucket.cursors > 0 {
            return;
        }
        match interest {
            Interest::All => self.all = None,
            Interest::Namespace(namespace) => drop(self.namespaces.remove(namespace)),
            Interest::Key(key) => drop(self.keys.remove(key)),
            Interest::Field(index, value) => drop(self.fields[*index].remove(value)),
        }
    }
}

fn slot<'a>(buckets: &'a mut HashMap<String, Bucket>, key: &str) -> &'a mut Bucket {
    if !buckets.contains_key(key) {
        buckets.insert(key.to_owned(), Bucket::new());
    }
    buckets.get_mut(key).expect("inserted just above")
}

impl Bucket {
    fn new() -> Self {
        Self { sequence: VecDeque::new(), first: 0, wake: Arc::new(Notify::new()), cursors: 0 }
    }
}

impl Interest {
    /// Whether an event falls into this bucket.
    pub(crate) fn concerns(&self, prefix: &str, item: &Item, dispatch: &[&'static str]) -> bool {
        let key = &item.record.key;
        match self {
            Self::All => true,
            Self::Namespace(namespace) => *key.namespace == **namespace,
            Self::Key(wanted) => wanted.strip_prefix(prefix).is_some_and(|rest| match rest.split_once('/') {
                Some((namespace, name)) => *key.namespace == *namespace && *key.name == *name,
                None => key.namespace.is_empty() && *key.name == *rest,
            }),
            Self::Field(index, value) => {
                let has = |record: &Record| record.field(dispatch[*index]).unwrap_or_default() == value;
                has(&item.record) || item.previous.as_deref().is_some_and(has)
            }
        }
    }
}
