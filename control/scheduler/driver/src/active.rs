//! Pods in line: by priority and time; a namespace whose pods cost more than their share pauses, and holds up no other.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use tokio::time::Instant;

/// Priority (negated), then the number under which the pod came into line.
pub(crate) type Key = (i64, u64);

type Namespace = Arc<str>;
type Uid = Arc<str>;

#[derive(Debug, Default)]
pub(crate) struct Active {
    by_namespace: HashMap<Namespace, BTreeSet<(Key, Uid)>>,
    /// The first of each namespace that does not pause.
    heads: BTreeSet<(Key, Namespace)>,
    paused: HashMap<Namespace, Instant>,
    /// Ends of pauses.
    ends: BTreeSet<(Instant, Namespace)>,
    len: usize,
}

impl Active {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn insert(&mut self, namespace: &Namespace, key: Key, uid: &Uid) {
        self.change(namespace, |line| line.insert((key, Arc::clone(uid))));
    }

    pub fn remove(&mut self, namespace: &Namespace, key: Key, uid: &Uid) {
        self.change(namespace, |line| line.remove(&(key, Arc::clone(uid))));
    }

    /// The pod that is next.
    pub fn first(&self) -> Option<&Uid> {
        let (_, namespace) = self.heads.first()?;
        self.by_namespace.get(namespace)?.first().map(|(_, uid)| uid)
    }

    /// No pod of the namespace is next until then.
    pub fn pause(&mut self, namespace: &Namespace, until: Instant) {
        if let Some(head) = self.head(namespace) {
            self.heads.remove(&(head, Arc::clone(namespace)));
        }
        if let Some(old) = self.paused.insert(Arc::clone(namespace), until) {
            self.ends.remove(&(old, Arc::clone(namespace)));
        }
        self.ends.insert((until, Arc::clone(namespace)));
    }

    /// Ends the pauses that are over.
    pub fn resume(&mut self, now: Instant) {
        while self.ends.first().is_some_and(|(until, _)| *until <= now) {
            let Some((_, namespace)) = self.ends.pop_first() else { return };
            self.paused.remove(&namespace);
            if let Some(head) = self.head(&namespace) {
                self.heads.insert((head, namespace));
            }
        }
    }

    /// The next end of a pause that holds pods up.
    pub fn next_resume(&self) -> Option<Instant> {
        let holds_up = |(_, namespace): &&(Instant, Namespace)| self.by_namespace.contains_key(namespace);
        self.ends.iter().find(holds_up).map(|(until, _)| *until)
    }

    fn head(&self, namespace: &Namespace) -> Option<Key> {
        self.by_namespace.get(namespace)?.first().map(|(key, _)| *key)
    }

    fn change(&mut self, namespace: &Namespace, change: impl FnOnce(&mut BTreeSet<(Key, Uid)>) -> bool) {
        let before = self.head(namespace);
        let line = self.by_namespace.entry(Arc::clone(namespace)).or_default();
        let old = line.len();
        change(line);
        let (new, is_empty) = (line.len(), line.is_empty());
        self.len = self.len + new - old;
        if is_empty {
            self.by_namespace.remove(namespace);
        }
        let after = self.head(namespace);
        if before == after || self.paused.contains_key(namespace) {
            return;
        }
        if let Some(before) = before {
            self.heads.remove(&(before, Arc::clone(namespace)));
        }
        if let Some(after) = after {
            self.heads.insert((after, Arc::clone(namespace)));
        }
    }
}
