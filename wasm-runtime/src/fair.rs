//! The order of guests when they want more threads than there are: weighted by CPU requests.
//!
//! tokio's queue is first come, first served. A container whose weighted time runs ahead of another one that was cut off
//! by the tick and waits for its next slice steps back once: the other is in the same queue and runs first.

use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Times in a row that a future steps back before it runs whatever others have had.
const STEPS_BACK_MAX: u8 = 64;

/// All containers that were cut off in the middle of work.
#[derive(Debug, Default)]
pub(crate) struct FairQueue {
    hungry: Mutex<Vec<Arc<Share>>>,
    len: AtomicUsize,
}

/// One container's weighted use.
#[derive(Debug)]
pub(crate) struct Share {
    weight: u64,
    /// Nanoseconds of CPU, divided by the weight in cores.
    time: AtomicU64,
    hungry: AtomicUsize,
}

impl Share {
    pub(crate) fn new(weight_millis: u64) -> Self {
        Self { weight: weight_millis.max(1), time: AtomicU64::new(0), hungry: AtomicUsize::new(0) }
    }

    pub(crate) fn charge(&self, nanos: u64) {
        self.time.fetch_add(nanos.saturating_mul(1000) / self.weight, Ordering::Relaxed);
    }

    fn time(&self) -> u64 {
        self.time.load(Ordering::Relaxed)
    }
}

impl FairQueue {
    /// `share` was cut off and waits for its next slice; `rested` if it had not waited for its last one.
    pub(crate) fn enter(&self, share: &Arc<Share>, rested: bool) {
        let mut hungry = self.hungry.lock();
        if share.hungry.fetch_add(1, Ordering::Relaxed) == 0 {
            // A container that slept has no claim on the time that the others used meanwhile.
            if rested && let Some(least) = hungry.iter().map(|other| other.time()).min() {
                share.time.fetch_max(least, Ordering::Relaxed);
            }
            hungry.push(share.clone());
            self.len.store(hungry.len(), Ordering::Relaxed);
        }
    }

    pub(crate) fn leave(&self, share: &Arc<Share>) {
        let mut hungry = self.hungry.lock();
        if share.hungry.fetch_sub(1, Ordering::Relaxed) == 1 {
            hungry.retain(|other| !Arc::ptr_eq(other, share));
            self.len.store(hungry.len(), Ordering::Relaxed);
        }
    }

    /// Whether `share` should let another go first; `steps` counts how often it did so in a row.
    pub(crate) fn steps_back(&self, share: &Arc<Share>, steps: u8) -> bool {
        if steps >= STEPS_BACK_MAX || self.len.load(Ordering::Relaxed) == 0 {
            return false;
        }
        // A container's lead is measured in its own weighted time: one tick of a light container is a long lead.
        let mine = share.time();
        self.hungry.lock().iter().any(|other| !Arc::ptr_eq(other, share) && other.time() < mine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_light_one_steps_back_until_the_heavy_one_had_its_share() {
        let queue = FairQueue::default();
        let (light, heavy) = (Arc::new(Share::new(100)), Arc::new(Share::new(900)));
        let mut ran = [0u32, 0];
        queue.enter(&light, true);
        queue.enter(&heavy, true);
        for _ in 0..1000 {
            let (index, runs) = if queue.steps_back(&light, 0) { (1, &heavy) } else { (0, &light) };
            ran[index] += 1;
            queue.leave(runs);
            runs.charge(1_000_000);
            queue.enter(runs, false);
        }
        assert!((95..=105).contains(&ran[0]), "{ran:?}");
    }

    #[test]
    fn nobody_steps_back_for_one_that_does_not_wait() {
        let queue = FairQueue::default();
        let (light, heavy) = (Arc::new(Share::new(1)), Arc::new(Share::new(1000)));
        light.charge(1_000_000);
        assert!(!queue.steps_back(&light, 0));
        queue.enter(&heavy, true);
        assert!(queue.steps_back(&light, 0));
        queue.leave(&heavy);
        assert!(!queue.steps_back(&light, 0));
    }
}
