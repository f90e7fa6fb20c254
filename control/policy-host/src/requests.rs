//! Requests to those who feed mirrors, as long as there is anybody who does.

use parking_lot::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Requests of one sort, and how many take them.
#[derive(Debug)]
pub(crate) struct Requests<T> {
    feeders: AtomicUsize,
    waiting: Mutex<Vec<T>>,
}

impl<T> Default for Requests<T> {
    fn default() -> Self {
        Self { feeders: AtomicUsize::new(0), waiting: Mutex::new(Vec::new()) }
    }
}

impl<T> Requests<T> {
    /// One more takes requests.
    pub fn feeder_came(&self) {
        self.feeders.fetch_add(1, Ordering::AcqRel);
    }

    /// One takes no more. After the last, requests that wait are dropped.
    pub fn feeder_went(&self) {
        if self.feeders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.waiting.lock().clear();
        }
    }

    /// Whether the request waits now: it does not where nobody would take it.
    pub fn ask(&self, request: T) -> bool {
        // Under the lock, so that the last to go finds it.
        let mut waiting = self.waiting.lock();
        let taken = self.feeders.load(Ordering::Acquire) > 0;
        if taken {
            waiting.push(request);
        }
        taken
    }

    /// All that wait; none waits any more.
    pub fn take(&self) -> Vec<T> {
        std::mem::take(&mut self.waiting.lock())
    }

    /// A part of each that waits.
    pub fn look<U>(&self, part: impl Fn(&T) -> U) -> Vec<U> {
        self.waiting.lock().iter().map(part).collect()
    }
}
