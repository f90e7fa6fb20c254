//! The order of guests when they want more threads than there are: weighted by CPU requests.
//!
//! tokio's queue is first come, first served. A container whose weighted time runs ahead of another one that was cut off
//! by the tick and waits for its next slice steps back once: the other is in the same queue and runs first.
//!
//! Of a container's futures that were cut off only a few are in that queue at once: the rest of them wait in a line of
//! their own. Whoever comes to the queue waits for a slice of each other container, and not for one of each request.

use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::Waker;

/// Times in a row that a future steps back before it runs whatever others have had.
const STEPS_BACK_MAX: u8 = 64;

/// The two lanes of a runtime.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LaneName {
    /// Commands, and requests that run long.
    Commands,
    /// The other requests.
    Services,
}

/// All containers that were cut off in the middle of work.
#[derive(Debug)]
pub(crate) struct FairQueue {
    /// Futures of one container that were cut off and may be in the queue at once.
    places: usize,
    hungry: Mutex<Vec<Arc<Share>>>,
    len: AtomicUsize,
}

/// One container's weighted use, in the queue of one lane.
#[derive(Debug)]
pub(crate) struct Share {
    weight: u64,
    /// Nanoseconds of CPU, divided by the weight in cores.
    time: AtomicU64,
    hungry: AtomicUsize,
    /// Of all of its lanes: together they have no more futures that run than one of them alone may have.
    line: Arc<Mutex<Line>>,
}

/// The futures of one container that want to run.
#[derive(Debug, Default)]
struct Line {
    /// Those that have a place.
    placed: usize,
    waiting: VecDeque<Arc<Waiter>>,
}

#[derive(Debug)]
pub(crate) struct Waiter {
    /// It was given a place. Written and read with the line locked.
    given: AtomicBool,
    waker: Mutex<Waker>,
}

impl Line {
    /// A place has come free.
    fn pass_on(&mut self) {
        match self.waiting.pop_front() {
            Some(next) => {
                next.given.store(true, Ordering::Relaxed);
                next.waker.lock().wake_by_ref();
            }
            None => self.placed -= 1,
        }
    }
}

/// A future's right to be in the queue. [`FairQueue::leave_line`] must be called before it is dropped.
#[derive(Debug, Default)]
pub(crate) enum Place {
    #[default]
    None,
    Waiting(Arc<Waiter>),
    Held,
}

impl Share {
    pub(crate) fn new(weight_millis: u64) -> Self {
        Self {
            weight: weight_millis.max(1),
            time: AtomicU64::new(0),
            hungry: AtomicUsize::new(0),
            line: Arc::default(),
        }
    }

    /// Of the same container, in the queue of another lane.
    pub(crate) fn beside(&self) -> Self {
        let (time, hungry) = (AtomicU64::new(0), AtomicUsize::new(0));
        Self { weight: self.weight, time, hungry, line: self.line.clone() }
    }

    pub(crate) fn charge(&self, nanos: u64) {
        self.time.fetch_add(nanos.saturating_mul(1000) / self.weight, Ordering::Relaxed);
    }

    /// Its futures that were cut off and have no place.
    pub(crate) fn waiting(&self) -> usize {
        self.line.lock().waiting.len()
    }

    /// Whether any of its futures was cut off and waits for its next slice.
    pub(crate) fn is_hungry(&self) -> bool {
        self.hungry.load(Ordering::Relaxed) > 0
    }

    fn time(&self) -> u64 {
        self.time.load(Ordering::Relaxed)
    }
}

impl FairQueue {
    /// With so many places a container.
    pub(crate) fn new(places: usize) -> Self {
        Self { places: places.max(1), hungry: Mutex::default(), len: AtomicUsize::new(0) }
    }

    /// Whether a future of `share` may run its next slice now; otherwise it is woken when it may.
    pub(crate) fn may_run(&self, share: &Share, place: &mut Place, waker: &Waker) -> bool {
        if matches!(place, Place::Held) {
            return true;
        }
        let mut line = share.line.lock();
        match place {
            Place::Waiting(waiter) if !waiter.given.load(Ordering::Relaxed) => {
                waiter.waker.lock().clone_from(waker);
                return false;
            }
            Place::None if line.placed >= self.places => {
                let waiter = Arc::new(Waiter { given: AtomicBool::new(false), waker: Mutex::new(waker.clone()) });
                line.waiting.push_back(waiter.clone());
                *place = Place::Waiting(waiter);
                return false;
            }
            Place::None => line.placed += 1,
            Place::Waiting(_) | Place::Held => {}
        }
        *place = Place::Held;
        true
    }

    /// Its slice is over and it wants another one: those of the same container that wait have theirs first.
    pub(crate) fn step_behind(&self, share: &Share, place: &mut Place) {
        let mut line = share.line.lock();
        if matches!(place, Place::Held) && !line.waiting.is_empty() {
            line.pass_on();
            *place = Place::None;
        }
    }

    /// It wants no slice, for now or for ever.
    pub(crate) fn leave_line(&self, share: &Share, place: &mut Place) {
        match std::mem::take(place) {
            Place::None => {}
            Place::Held => share.line.lock().pass_on(),
            Place::Waiting(waiter) => {
                let mut line = share.line.lock();
                if waiter.given.load(Ordering::Relaxed) {
                    line.pass_on();
                } else {
                    line.waiting.retain(|other| !Arc::ptr_eq(other, &waiter));
                }
            }
        }
    }

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
        let queue = FairQueue::new(2);
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

    /// Futures of containers in a queue as tokio's, first come, first served: what runs is cut off, and wants more.
    struct Queue {
        fair: FairQueue,
        shares: Vec<Share>,
        places: Vec<(usize, Place)>,
        ready: VecDeque<usize>,
    }

    impl Queue {
        /// Polls whoever is next until one has run; the container that it is of.
        fn run_one(&mut self) -> usize {
            loop {
                let at = self.ready.pop_front().expect("somebody wants to run");
                let (container, place) = &mut self.places[at];
                let share = &self.shares[*container];
                if !self.fair.may_run(share, place, Waker::noop()) {
                    continue;
                }
                let container = *container;
                self.fair.step_behind(share, place);
                self.ready.push_back(at);
                // Wakers do nothing here: whoever was given a place is ready.
                for (other, (_, place)) in self.places.iter().enumerate() {
                    let given = matches!(place, Place::Waiting(waiter) if waiter.given.load(Ordering::Relaxed));
                    if given && !self.ready.contains(&other) {
                        self.ready.push_back(other);
                    }
                }
                return container;
            }
        }
    }

    #[test]
    fn whoever_comes_waits_for_the_containers_and_not_for_their_requests() {
        let containers = 4;
        let mut queue = Queue {
            fair: FairQueue::new(2),
            shares: (0..=containers).map(|_| Share::new(100)).collect(),
            places: (0..containers * 128).map(|at| (at / 128, Place::None)).collect(),
            ready: (0..containers * 128).collect(),
        };
        let mut ran = vec![0; containers];
        (0..10_000).for_each(|_| ran[queue.run_one()] += 1);
        assert!(ran.iter().all(|count| (2_400..=2_600).contains(count)), "{ran:?}");
        queue.places.push((containers, Place::None));
        queue.ready.push_back(containers * 128);
        let before = (0..).take_while(|_| queue.run_one() != containers).count();
        assert!(before <= containers * 2, "{before} slices of others");
        for at in 0..queue.places.len() {
            let (container, place) = &mut queue.places[at];
            queue.fair.leave_line(&queue.shares[*container], place);
        }
        assert!(queue.shares.iter().all(|share| share.line.lock().placed == 0 && share.line.lock().waiting.is_empty()));
    }

    #[test]
    fn nobody_steps_back_for_one_that_does_not_wait() {
        let queue = FairQueue::new(2);
        let (light, heavy) = (Arc::new(Share::new(1)), Arc::new(Share::new(1000)));
        light.charge(1_000_000);
        assert!(!queue.steps_back(&light, 0));
        queue.enter(&heavy, true);
        assert!(queue.steps_back(&light, 0));
        queue.leave(&heavy);
        assert!(!queue.steps_back(&light, 0));
    }
}
