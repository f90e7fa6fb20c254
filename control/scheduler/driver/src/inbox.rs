//! What the driver's thread is told, without making anyone wait: one entry an object, the newest word counts.

use crate::scheduler::{Bind, BindResult};
use parking_lot::{Condvar, Mutex};
use sampan_api::{Record, RecordKey};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// One change of the cluster.
#[derive(Clone, Debug)]
pub(crate) enum Word {
    Applied(Arc<Record>),
    Deleted(Arc<Record>),
}

/// Everything told since the last look.
#[derive(Debug, Default)]
pub(crate) struct Told {
    nodes: HashMap<RecordKey, Word>,
    pods: HashMap<RecordKey, Word>,
    /// In the order in which they came: no more than there are bindings under way.
    pub bound: Vec<(Bind, BindResult)>,
    pub nodes_revision: u64,
    pub pods_revision: u64,
    pub policies_changed: bool,
    pub stop: bool,
}

impl Told {
    /// In order of revision: pods first come, first served.
    pub fn take_nodes(&mut self) -> Vec<Word> {
        in_order(std::mem::take(&mut self.nodes))
    }
    pub fn take_pods(&mut self) -> Vec<Word> {
        in_order(std::mem::take(&mut self.pods))
    }
}

fn in_order(words: HashMap<RecordKey, Word>) -> Vec<Word> {
    let mut words: Vec<Word> = words.into_values().collect();
    words.sort_by_key(|word| match word {
        Word::Applied(record) | Word::Deleted(record) => record.mod_revision,
    });
    words
}

#[derive(Debug, Default)]
pub(crate) struct Inbox {
    told: Mutex<Told>,
    any: AtomicBool,
    wake: Condvar,
}

impl Inbox {
    fn tell(&self, tell: impl FnOnce(&mut Told)) {
        tell(&mut self.told.lock());
        self.any.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    pub fn node(&self, word: Word) {
        self.tell(|told| {
            let (Word::Applied(record) | Word::Deleted(record)) = &word;
            told.nodes_revision = told.nodes_revision.max(record.mod_revision);
            told.nodes.insert(record.key.clone(), word);
        });
    }

    pub fn pod(&self, word: Word) {
        self.tell(|told| {
            let (Word::Applied(record) | Word::Deleted(record)) = &word;
            told.pods_revision = told.pods_revision.max(record.mod_revision);
            told.pods.insert(record.key.clone(), word);
        });
    }

    pub fn synced(&self, nodes: u64, pods: u64) {
        self.tell(|told| {
            told.nodes_revision = told.nodes_revision.max(nodes);
            told.pods_revision = told.pods_revision.max(pods);
        });
    }

    pub fn bound(&self, bind: Bind, result: BindResult) {
        self.tell(|told| told.bound.push((bind, result)));
    }

    pub fn policies_changed(&self) {
        self.tell(|told| told.policies_changed = true);
    }

    pub fn stop(&self) {
        self.tell(|told| told.stop = true);
    }

    /// What was told since the last look, without waiting.
    pub fn look(&self) -> Option<Told> {
        self.any.swap(false, Ordering::Acquire).then(|| std::mem::take(&mut *self.told.lock()))
    }

    /// The same, but waits for a word for at most `wait`.
    pub fn wait(&self, wait: Duration) -> Option<Told> {
        let mut told = self.told.lock();
        if !self.any.load(Ordering::Acquire) {
            // Woken or not: what is there is what counts.
            self.wake.wait_for(&mut told, wait);
        }
        self.any.swap(false, Ordering::Acquire).then(|| std::mem::take(&mut *told))
    }
}
