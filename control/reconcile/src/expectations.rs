//! Writes that the informers have not shown yet.

use crate::limits;
use parking_lot::Mutex;
use sampan_api::RecordKey;
use sampan_env::Env;
use std::collections::{HashMap, HashSet};
use tokio::time::Instant;

/// Writes that a controller has made and its informers have not shown yet: until they have, the copy is too old to
/// decide how many more to make (client-go's UIDTrackingControllerExpectations).
pub struct Expectations {
    env: Env,
    waiting: Mutex<HashMap<RecordKey, Waiting>>,
}

struct Waiting {
    creations: usize,
    /// UIDs.
    deletions: HashSet<String>,
    since: Instant,
}

impl Expectations {
    /// Nothing is expected.
    pub fn new(env: &Env) -> Self {
        Self { env: env.clone(), waiting: Mutex::default() }
    }

    /// Before the writes: so many creations, and deletions of these.
    pub fn expect(&self, key: &RecordKey, creations: usize, deletions: impl IntoIterator<Item = String>) {
        let waiting = Waiting { creations, deletions: deletions.into_iter().collect(), since: self.env.instant() };
        self.waiting.lock().insert(key.clone(), waiting);
    }

    /// A creation was seen, or has failed.
    pub fn created(&self, key: &RecordKey) {
        if let Some(waiting) = self.waiting.lock().get_mut(key) {
            waiting.creations = waiting.creations.saturating_sub(1);
        }
    }

    /// A deletion was seen, or has failed.
    pub fn deleted(&self, key: &RecordKey, uid: &str) {
        if let Some(waiting) = self.waiting.lock().get_mut(key) {
            waiting.deletions.remove(uid);
        }
    }

    /// The object is gone: nothing is expected of it.
    pub fn forget(&self, key: &RecordKey) {
        self.waiting.lock().remove(key);
    }

    /// Whether everything was seen, or has been waited for long enough.
    pub fn satisfied(&self, key: &RecordKey) -> bool {
        let mut all = self.waiting.lock();
        let Some(waiting) = all.get(key) else { return true };
        let seen = waiting.creations == 0 && waiting.deletions.is_empty();
        if !seen && self.env.instant().duration_since(waiting.since) < limits::EXPECTATIONS_TIMEOUT {
            return false;
        }
        if !seen {
            tracing::warn!(%key, creations = waiting.creations, deletions = waiting.deletions.len(), "writes never seen");
        }
        all.remove(key);
        true
    }
}

/// Creations that are expected and were not sent yet. A reconcile that ends before it sends them (it failed, panicked, or
/// was given up) does not make the next one wait for what never comes.
pub struct Unsent<'a> {
    expectations: &'a Expectations,
    key: &'a RecordKey,
    left: usize,
}

impl<'a> Unsent<'a> {
    /// `left` creations of `key` were expected and none was sent.
    pub fn new(expectations: &'a Expectations, key: &'a RecordKey, left: usize) -> Self {
        Self { expectations, key, left }
    }

    /// Writes that are still to be sent.
    pub fn left(&self) -> usize {
        self.left
    }

    /// Notes `count` writes as sent: whether they succeed is noted elsewhere.
    pub fn sent(&mut self, count: usize) {
        self.left = self.left.saturating_sub(count);
    }
}

impl Drop for Unsent<'_> {
    fn drop(&mut self) {
        for _ in 0..self.left {
            self.expectations.created(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime};

    #[tokio::test(start_paused = true)]
    async fn a_reconcile_that_is_given_up_expects_only_what_it_sent() {
        let expectations = Expectations::new(&Env::simulated(1, SystemTime::UNIX_EPOCH));
        let key = RecordKey::new("n", "a");
        let reconcile = async {
            expectations.expect(&key, 5, []);
            let mut unsent = Unsent::new(&expectations, &key, 5);
            unsent.sent(2);
            std::future::pending::<()>().await;
        };
        tokio::time::timeout(Duration::from_secs(1), reconcile).await.expect_err("it hangs");
        expectations.created(&key);
        assert!(!expectations.satisfied(&key), "one that was sent was not seen");
        expectations.created(&key);
        assert!(expectations.satisfied(&key));
    }

    #[tokio::test(start_paused = true)]
    async fn they_hold_until_all_is_seen_or_time_is_up() {
        let expectations = Expectations::new(&Env::simulated(1, SystemTime::UNIX_EPOCH));
        let key = RecordKey::new("n", "a");
        assert!(expectations.satisfied(&key));
        expectations.expect(&key, 2, ["u".to_owned()]);
        expectations.created(&key);
        expectations.created(&key);
        expectations.created(&key);
        assert!(!expectations.satisfied(&key));
        expectations.deleted(&key, "another");
        assert!(!expectations.satisfied(&key));
        expectations.deleted(&key, "u");
        assert!(expectations.satisfied(&key));
        expectations.expect(&key, 1, []);
        tokio::time::sleep(limits::EXPECTATIONS_TIMEOUT - Duration::from_millis(1)).await;
        assert!(!expectations.satisfied(&key));
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert!(expectations.satisfied(&key));
    }
}
