//! The work queue of reconcilers (client-go's workqueue): each key at most once in line and never two runs of one key.

use crate::limits;
use parking_lot::Mutex;
use sampan_env::Env;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// The wait of a key after its n-th failure in a row: `base * 2^(n-1)`, at the most `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    pub base: Duration,
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: limits::QUEUE_BACKOFF_BASE, max: limits::QUEUE_BACKOFF_MAX }
    }
}

impl Backoff {
    /// The wait after `failures` failures in a row (1 or more).
    pub fn wait(&self, failures: u32) -> Duration {
        let factor = 1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        self.base.checked_mul(factor).unwrap_or(self.max).min(self.max)
    }
}

/// Keys that wait to be worked on. A key that is added while it waits is there once; one that is added while it is
/// worked on is handed out again afterwards. Holds as many keys as there are objects, at the most.
pub struct WorkQueue<K: Hash + Eq + Clone> {
    shared: Arc<Shared<K>>,
}

impl<K: Hash + Eq + Clone> Clone for WorkQueue<K> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

struct Shared<K> {
    env: Env,
    backoff: Backoff,
    state: Mutex<State<K>>,
    /// Woken when a key may be ready; each waiter that takes one passes it on.
    ready: Notify,
}

struct State<K> {
    line: VecDeque<K>,
    /// In line, or to be put there when the run under way ends.
    dirty: HashSet<K>,
    running: HashSet<K>,
    /// The earliest wish of each key that waits; (when, order of arrival) keeps equal times apart.
    delayed: BTreeMap<(Instant, u64), K>,
    due: HashMap<K, (Instant, u64)>,
    failures: HashMap<K, u32>,
    arrivals: u64,
    closed: bool,
}

impl<K: Hash + Eq + Clone> WorkQueue<K> {
    pub fn new(env: &Env, backoff: Backoff) -> Self {
        let state = State {
            line: VecDeque::new(),
            dirty: HashSet::new(),
            running: HashSet::new(),
            delayed: BTreeMap::new(),
            due: HashMap::new(),
            failures: HashMap::new(),
            arrivals: 0,
            closed: false,
        };
        Self { shared: Arc::new(Shared { env: env.clone(), backoff, state: Mutex::new(state), ready: Notify::new() }) }
    }

    pub fn add(&self, key: K) {
        self.shared.state.lock().add(key);
        self.shared.ready.notify_one();
    }

    /// Adds the key when `delay` has passed; if it waits already, the earlier time holds.
    pub fn add_after(&self, key: K, delay: Duration) {
        if delay.is_zero() {
            return self.add(key);
        }
        let when = self.shared.env.instant() + delay;
        {
            let mut state = self.shared.state.lock();
            if state.closed {
                return;
            }
            match state.due.get(&key) {
                Some((earlier, _)) if *earlier <= when => return,
                Some(later) => {
                    let later = *later;
                    state.delayed.remove(&later);
                }
                None => {}
            }
            state.arrivals += 1;
            let at = (when, state.arrivals);
            state.delayed.insert(at, key.clone());
            state.due.insert(key, at);
        }
        self.shared.ready.notify_one();
    }

    /// Counts a failure of the key and adds it after the back-off that follows.
    pub fn add_rate_limited(&self, key: K) {
        let failures = {
            let mut state = self.shared.state.lock();
            let count = state.failures.entry(key.clone()).or_insert(0);
            *count = count.saturating_add(1);
            *count
        };
        self.add_after(key, self.shared.backoff.wait(failures));
    }

    /// The key did well: its next failure is its first.
    pub fn forget(&self, key: &K) {
        self.shared.state.lock().failures.remove(key);
    }

    /// Failures of the key in a row.
    pub fn failures(&self, key: &K) -> u32 {
        self.shared.state.lock().failures.get(key).copied().unwrap_or(0)
    }

    /// Keys in line: not those that are worked on, not those that wait for a time.
    pub fn len(&self) -> usize {
        self.shared.state.lock().line.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next key to work on; its run ends when the guard is dropped, also by a panic. `None` once the queue is shut
    /// down.
    pub async fn next(&self) -> Option<Work<K>> {
        loop {
            let notified = self.shared.ready.notified();
            let next_due = {
                let mut state = self.shared.state.lock();
                if state.closed {
                    // Whoever else waits must hear it too.
                    self.shared.ready.notify_one();
                    return None;
                }
                let now = self.shared.env.instant();
                state.release(now);
                if let Some(key) = state.line.pop_front() {
                    state.dirty.remove(&key);
                    state.running.insert(key.clone());
                    if !state.line.is_empty() || !state.delayed.is_empty() {
                        self.shared.ready.notify_one();
                    }
                    return Some(Work { queue: self.clone(), key });
                }
                state.delayed.keys().next().map(|(when, _)| *when)
            };
            match next_due {
                None => notified.await,
                Some(when) => tokio::select! {
                    () = notified => {}
                    () = tokio::time::sleep_until(when) => {}
                },
            }
        }
    }

    /// Hands out nothing any more and drops what waits.
    pub fn shut_down(&self) {
        {
            let mut state = self.shared.state.lock();
            state.closed = true;
            state.line.clear();
            state.dirty.clear();
            state.delayed.clear();
            state.due.clear();
        }
        self.shared.ready.notify_waiters();
        self.shared.ready.notify_one();
    }
}

impl<K: Hash + Eq + Clone> State<K> {
    fn add(&mut self, key: K) {
        if self.closed {
            return;
        }
        if let Some(at) = self.due.remove(&key) {
            self.delayed.remove(&at);
        }
        if self.dirty.insert(key.clone()) && !self.running.contains(&key) {
            self.line.push_back(key);
        }
    }

    /// Puts in line what is due.
    fn release(&mut self, now: Instant) {
        while let Some(entry) = self.delayed.first_entry()
            && entry.key().0 <= now
        {
            let key = entry.remove();
            self.due.remove(&key);
            self.add(key);
        }
    }
}

/// One run of one key.
pub struct Work<K: Hash + Eq + Clone> {
    queue: WorkQueue<K>,
    key: K,
}

impl<K: Hash + Eq + Clone> std::ops::Deref for Work<K> {
    type Target = K;
    fn deref(&self) -> &K {
        &self.key
    }
}

impl<K: Hash + Eq + Clone> Drop for Work<K> {
    fn drop(&mut self) {
        let mut state = self.queue.shared.state.lock();
        state.running.remove(&self.key);
        if !state.closed && state.dirty.contains(&self.key) {
            state.line.push_back(self.key.clone());
            self.queue.shared.ready.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    fn queue() -> WorkQueue<&'static str> {
        let backoff = Backoff { base: Duration::from_millis(10), max: Duration::from_millis(100) };
        WorkQueue::new(&Env::simulated(1, SystemTime::UNIX_EPOCH), backoff)
    }

    async fn nothing(queue: &WorkQueue<&'static str>, for_ms: u64) {
        let next = tokio::time::timeout(Duration::from_millis(for_ms), queue.next()).await;
        assert!(next.is_err(), "nothing is to be handed out");
    }

    async fn take(queue: &WorkQueue<&'static str>) -> Work<&'static str> {
        queue.next().await.expect("the queue is open")
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_in_line_once_and_in_order() {
        let queue = queue();
        for key in ["a", "b", "a"] {
            queue.add(key);
        }
        assert_eq!(queue.len(), 2);
        assert_eq!(*take(&queue).await, "a");
        assert_eq!(*take(&queue).await, "b");
        nothing(&queue, 1000).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_never_run_twice_at_once() {
        let queue = queue();
        queue.add("a");
        let run = take(&queue).await;
        queue.add("a");
        queue.add("a");
        nothing(&queue, 1000).await;
        drop(run);
        let again = take(&queue).await;
        drop(again);
        nothing(&queue, 1000).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_earlier_of_two_delays_holds_and_an_add_beats_both() {
        let queue = queue();
        queue.add_after("a", Duration::from_millis(500));
        queue.add_after("a", Duration::from_millis(100));
        queue.add_after("a", Duration::from_millis(900));
        nothing(&queue, 99).await;
        drop(take(&queue).await);
        nothing(&queue, 2000).await;
        queue.add_after("a", Duration::from_millis(500));
        queue.add("a");
        drop(take(&queue).await);
        nothing(&queue, 2000).await;
    }

    #[tokio::test(start_paused = true)]
    async fn failures_double_the_wait_up_to_the_cap_and_are_forgotten() {
        let queue = queue();
        let mut waits = Vec::new();
        for _ in 0..6 {
            let before = queue.shared.env.instant();
            queue.add_rate_limited("a");
            drop(take(&queue).await);
            waits.push(queue.shared.env.instant().duration_since(before).as_millis());
        }
        assert_eq!(waits, [10, 20, 40, 80, 100, 100]);
        assert_eq!(queue.failures(&"a"), 6);
        queue.forget(&"a");
        queue.add_rate_limited("a");
        nothing(&queue, 9).await;
        drop(take(&queue).await);
    }

    #[tokio::test(start_paused = true)]
    async fn every_waiter_hears_the_end_and_a_delayed_key_needs_only_one_of_them() {
        let queue = queue();
        queue.add_after("a", Duration::from_millis(50));
        let (one, two, ()) = tokio::join!(queue.next(), queue.next(), async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            queue.shut_down();
        });
        assert_eq!(one.is_some() as u8 + two.is_some() as u8, 1);
        assert!(queue.next().await.is_none());
    }

    #[test]
    fn back_off_does_not_overflow() {
        assert_eq!(Backoff::default().wait(1), limits::QUEUE_BACKOFF_BASE);
        assert_eq!(Backoff::default().wait(u32::MAX), limits::QUEUE_BACKOFF_MAX);
    }
}
