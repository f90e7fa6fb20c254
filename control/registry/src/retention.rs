//! How long history is kept.

use crate::limits;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The age up to which a kind's history is kept, and so the oldest `resourceVersion` that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HistoryClass {
    /// Next to none: written all the time, read once (Leases, Events).
    Scant,
    /// The five minutes that clients of Kubernetes expect.
    Usual,
    /// History that people ask about afterwards: workloads, configuration.
    Ample,
}

impl HistoryClass {
    /// Age up to which history of the class is kept.
    pub const fn retention(self) -> Duration {
        match self {
            Self::Scant => limits::HISTORY_SCANT,
            Self::Usual => limits::HISTORY_USUAL,
            Self::Ample => limits::HISTORY_AMPLE,
        }
    }
}

/// The revision below which each class's history is old. A prefix that has not changed keeps its history, since there is
/// none to drop; a list that was begun below its class's revision is over all the same, as in Kubernetes.
#[derive(Default)]
pub(crate) struct Floors {
    scant: AtomicU64,
    usual: AtomicU64,
    ample: AtomicU64,
}

impl Floors {
    fn of(&self, class: HistoryClass) -> &AtomicU64 {
        match class {
            HistoryClass::Scant => &self.scant,
            HistoryClass::Usual => &self.usual,
            HistoryClass::Ample => &self.ample,
        }
    }

    pub(crate) fn get(&self, class: HistoryClass) -> u64 {
        self.of(class).load(Ordering::Relaxed)
    }

    pub(crate) fn raise(&self, class: HistoryClass, revision: u64) {
        self.of(class).fetch_max(revision, Ordering::Relaxed);
    }
}
