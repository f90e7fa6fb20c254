//! The changes that the driver's thread receives, without making anyone wait: one entry an object, the newest change
//! counts.

use crate::scheduler::{Bind, BindResult};
use parking_lot::{Condvar, Mutex};
use sampan_api::{Record, RecordKey};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// One change of the cluster.
#[derive(Clone, Debug)]
pub(crate) enum ObjectChange {
    Applied(Arc<Record>),
    Deleted(Arc<Record>),
}

/// Everything received since the last look.
#[derive(Debug, Default)]
pub(crate) struct Received {
    nodes: HashMap<RecordKey, ObjectChange>,
    pods: HashMap<RecordKey, ObjectChange>,
    /// In the order in which they came: no more than there are bindings under way.
    pub bound: Vec<(Bind, BindResult)>,
    pub nodes_revision: u64,
    pub pods_revision: u64,
    pub policies_changed: bool,
    pub stop: bool,
}

impl Received {
    /// In order of revision: pods first come, first served.
    pub fn take_nodes(&mut self) -> Vec<ObjectChange> {
        in_order(std::mem::take(&mut self.nodes))
    }
    pub fn take_pods(&mut self) -> Vec<ObjectChange> {
        in_order(std::mem::take(&mut self.pods))
    }
}

fn in_order(changes: HashMap<RecordKey, ObjectChange>) -> Vec<ObjectChange> {
    let mut changes: Vec<ObjectChange> = changes.into_values().collect();
    changes.sort_by_key(|change| match change {
        ObjectChange::Applied(record) | ObjectChange::Deleted(record) => record.mod_revision,
    });
    changes
}

#[derive(Debug, Default)]
pub(crate) struct Inbox {
    received: Mutex<Received>,
    any: AtomicBool,
    wake: Condvar,
}

impl Inbox {
    fn receive(&self, receive: impl FnOnce(&mut Received)) {
        receive(&mut self.received.lock());
        self.any.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    pub fn node(&self, change: ObjectChange) {
        self.receive(|received| {
            let (ObjectChange::Applied(record) | ObjectChange::Deleted(record)) = &change;
            received.nodes_revision = received.nodes_revision.max(record.mod_revision);
            received.nodes.insert(record.key.clone(), change);
        });
    }

    pub fn pod(&self, change: ObjectChange) {
        self.receive(|received| {
            let (ObjectChange::Applied(record) | ObjectChange::Deleted(record)) = &change;
            received.pods_revision = received.pods_revision.max(record.mod_revision);
            received.pods.insert(record.key.clone(), change);
        });
    }

    pub fn synced(&self, nodes: u64, pods: u64) {
        self.receive(|received| {
            received.nodes_revision = received.nodes_revision.max(nodes);
            received.pods_revision = received.pods_revision.max(pods);
        });
    }

    pub fn bound(&self, bind: Bind, result: BindResult) {
        self.receive(|received| received.bound.push((bind, result)));
    }

    pub fn policies_changed(&self) {
        self.receive(|received| received.policies_changed = true);
    }

    pub fn stop(&self) {
        self.receive(|received| received.stop = true);
    }

    /// The changes since the last look, without waiting.
    pub fn look(&self) -> Option<Received> {
        self.any.swap(false, Ordering::Acquire).then(|| std::mem::take(&mut *self.received.lock()))
    }

    /// The changes since the last look; waits for one for at most `wait`.
    pub fn wait(&self, wait: Duration) -> Option<Received> {
        let mut received = self.received.lock();
        if !self.any.load(Ordering::Acquire) {
            // Woken or not: what is there is what counts.
            self.wake.wait_for(&mut received, wait);
        }
        self.any.swap(false, Ordering::Acquire).then(|| std::mem::take(&mut *received))
    }
}
