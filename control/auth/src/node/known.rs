//! What pods refer to, read out of each state of a pod once.

use super::references::{ALL_REFERRED, MIRROR_POD, Referred, references};
use crate::limits::{REFERENCES_BYTES_MAX, REFERENCES_READ_AT_ONCE, REFERENCES_READ_BYTES_MIN};
use parking_lot::Mutex;
use sampan_api::{Record, RecordKey};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Semaphore;

/// The names of the objects that a state of a pod refers to.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// By [`Referred`], in order.
    of: [Box<[Box<str>]>; ALL_REFERRED.len()],
}

impl Names {
    fn of(record: &Record) -> Self {
        let pod = record.object();
        if pod.annotation(MIRROR_POD).is_some() {
            // A node makes mirror pods itself: they give it nothing.
            return Self::default();
        }
        let pod = pod.into_value();
        let names = |kind| {
            let mut names: Vec<Box<str>> = references(&pod, kind).into_iter().map(Box::from).collect();
            names.sort_unstable();
            names.dedup();
            names.into()
        };
        Self { of: ALL_REFERRED.map(names) }
    }

    /// Whether the pod refers to the object of that name.
    pub fn contains(&self, kind: Referred, name: &str) -> bool {
        self.of[kind as usize].binary_search_by(|one| (**one).cmp(name)).is_ok()
    }

    /// All objects of a kind that it refers to.
    pub fn all(&self, kind: Referred) -> impl Iterator<Item = &str> {
        self.of[kind as usize].iter().map(|name| &**name)
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.of.iter().flatten().map(|name| name.len() + NAME_BYTES).sum::<usize>()
    }
}

/// What a name takes besides its text: a pointer, a length, and what the allocator keeps.
const NAME_BYTES: usize = 32;

/// The state of a pod that names were read of.
#[derive(Clone, Debug)]
struct Known {
    uid: Arc<str>,
    revision: u64,
    names: Arc<Names>,
}

impl Known {
    fn is_of(&self, record: &Record) -> bool {
        self.uid == record.uid && self.revision == record.mod_revision
    }
}

/// A node's pods in one namespace, or in all.
#[derive(Debug)]
struct Pods {
    by_key: HashMap<RecordKey, Known>,
    bytes: usize,
}

/// By node and namespace; `""`: all.
type Place = (Arc<str>, Arc<str>);

#[derive(Default)]
struct Kept {
    places: HashMap<Place, (u64, Arc<Pods>)>,
    /// By the turn in which they were last used.
    order: BTreeMap<u64, Place>,
    turn: u64,
    bytes: usize,
}

impl Kept {
    fn get(&mut self, place: &Place) -> Option<Arc<Pods>> {
        self.turn += 1;
        let (used, pods) = self.places.get_mut(place)?;
        self.order.remove(used);
        *used = self.turn;
        self.order.insert(self.turn, place.clone());
        Some(pods.clone())
    }

    fn remove(&mut self, place: &Place) {
        if let Some((used, pods)) = self.places.remove(place) {
            self.order.remove(&used);
            self.bytes -= pods.bytes;
        }
    }

    /// Keeps them, and gives up those that were not used for longest. More than there is room for are not kept.
    fn put(&mut self, place: Place, pods: Arc<Pods>) {
        self.remove(&place);
        if pods.bytes > REFERENCES_BYTES_MAX {
            return;
        }
        self.turn += 1;
        self.bytes += pods.bytes;
        self.order.insert(self.turn, place.clone());
        self.places.insert(place, (self.turn, pods));
        while self.bytes > REFERENCES_BYTES_MAX
            && let Some((_, oldest)) = self.order.first_key_value()
        {
            let oldest = oldest.clone();
            self.remove(&oldest);
        }
    }
}

/// Names of pods that nodes have asked about. An entry is of one revision of a pod: it says nothing about any other.
pub(super) struct References {
    kept: Mutex<Kept>,
    /// Large pods are read by a few at a time, and by nobody twice.
    turns: Semaphore,
    /// Pods that have been read since the start.
    read: AtomicU64,
}

impl Default for References {
    fn default() -> Self {
        Self { kept: Mutex::default(), turns: Semaphore::new(REFERENCES_READ_AT_ONCE), read: AtomicU64::new(0) }
    }
}

impl References {
    /// The names of each of these pods, which are all of a node in one namespace, or in all (`""`). Only pods that changed since they were last asked for
    /// are read.
    pub async fn of(self: &Arc<Self>, node: &str, namespace: &str, pods: &[Arc<Record>]) -> Vec<Arc<Names>> {
        let place: Place = (node.into(), namespace.into());
        let (found, unread) = self.find(&place, pods);
        if unread == 0 {
            return found.into_iter().flatten().collect();
        }
        if unread < REFERENCES_READ_BYTES_MIN {
            return self.complete(place, pods, found);
        }
        // Never closed.
        let turn = self.turns.acquire().await;
        let (found, _) = self.find(&place, pods);
        let (own, pods) = (self.clone(), pods.to_vec());
        let names = match sampan_env::blocking(move || own.complete(place, &pods, found)).await {
            Ok(names) => names,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The runtime is being shut down. Nothing is known: nothing is granted.
            Err(_) => Vec::new(),
        };
        drop(turn);
        names
    }

    /// What is known of each of them, and the bytes of the others.
    fn find(&self, place: &Place, pods: &[Arc<Record>]) -> (Vec<Option<Arc<Names>>>, usize) {
        let known = self.kept.lock().get(place);
        let mut unread = 0;
        let mut find = |record: &Arc<Record>| {
            let known = known.as_ref().and_then(|pods| pods.by_key.get(&record.key));
            let known = known.filter(|known| known.is_of(record)).map(|known| known.names.clone());
            unread += known.as_ref().map_or(record.json.len(), |_| 0);
            known
        };
        let found = pods.iter().map(&mut find).collect();
        (found, unread)
    }

    fn complete(&self, place: Place, pods: &[Arc<Record>], found: Vec<Option<Arc<Names>>>) -> Vec<Arc<Names>> {
        let read = |record: &Record| {
            self.read.fetch_add(1, Ordering::Relaxed);
            Arc::new(Names::of(record))
        };
        let names: Vec<Arc<Names>> =
            found.into_iter().zip(pods).map(|(known, record)| known.unwrap_or_else(|| read(record))).collect();
        let mut bytes = 0;
        let by_key = pods.iter().zip(&names).map(|(record, names)| {
            bytes += names.bytes() + size_of::<(RecordKey, Known)>();
            let known = Known { uid: record.uid.clone(), revision: record.mod_revision, names: names.clone() };
            (record.key.clone(), known)
        });
        let by_key = by_key.collect();
        self.kept.lock().put(place, Arc::new(Pods { by_key, bytes }));
        names
    }

    #[cfg(test)]
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Bytes that are kept.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.kept.lock().bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_longest_makes_room() {
        let mut kept = Kept::default();
        let place = |n: usize| -> Place { (format!("n{n}").into(), "ns".into()) };
        let pods = |bytes| Arc::new(Pods { by_key: HashMap::new(), bytes });
        const PART: usize = REFERENCES_BYTES_MAX / 10;
        for n in 0..100 {
            kept.put(place(n), pods(PART));
            assert!(kept.get(&place(0)).is_some() && kept.bytes <= REFERENCES_BYTES_MAX, "{} bytes", kept.bytes);
        }
        let held: Vec<usize> = (0..100).filter(|n| kept.get(&place(*n)).is_some()).collect();
        assert_eq!(held, [0, 91, 92, 93, 94, 95, 96, 97, 98, 99]);
        kept.put(place(0), pods(2 * PART));
        assert!(kept.get(&place(91)).is_none() && kept.get(&place(92)).is_some(), "in the place of one more");
        kept.put(place(7), pods(REFERENCES_BYTES_MAX + 1));
        assert!(kept.get(&place(7)).is_none() && kept.get(&place(0)).is_some());
        (0..100).for_each(|n| kept.remove(&place(n)));
        assert_eq!((kept.bytes, kept.places.len(), kept.order.len()), (0, 0, 0));
    }
}
