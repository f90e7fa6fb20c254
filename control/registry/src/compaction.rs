//! Old history is dropped, each class of kinds after its own time.

use crate::limits::{COMPACTION_PERIOD, history_retention};
use crate::registry::Registry;
use crate::resource::{Body, HistoryClass};
use crate::table::storage_prefix;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// Which revision was current when, a sample each period, as far back as the longest class needs.
#[derive(Default)]
struct Samples(VecDeque<(Instant, u64)>);

impl Samples {
    fn add(&mut self, now: Instant, revision: u64, longest: Duration) {
        self.0.push_back((now, revision));
        // One older than the limit is kept: it is what the limit's revision is read from.
        while self.0.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= longest) {
            self.0.pop_front();
        }
    }

    /// The newest revision that was current at least `age` ago; `None`: not known (yet).
    fn before(&self, now: Instant, age: Duration) -> Option<u64> {
        let old = self.0.iter().rev().find(|(at, _)| now.duration_since(*at) >= age);
        old.map(|(_, revision)| *revision).filter(|revision| *revision > 0)
    }
}

impl Registry {
    /// Drops history that is older than its class keeps, once a period, for ever: to be spawned by the owner.
    pub async fn compact_forever(self) {
        let mut samples = Samples::default();
        let mut done = HashMap::new();
        loop {
            let longest = history_retention(HistoryClass::Ample);
            samples.add(self.env().instant(), self.revision(), longest);
            self.compact(&samples, &mut done).await;
            self.env().sleep(COMPACTION_PERIOD).await;
        }
    }

    /// `done`: the revision up to which each prefix has been compacted.
    async fn compact(&self, samples: &Samples, done: &mut HashMap<String, u64>) {
        let now = self.env().instant();
        let table = self.table();
        for row in table.iter().filter(|row| row.stored_as.is_none() && row.body == Body::Stored) {
            let Some(revision) = samples.before(now, history_retention(row.history)) else { continue };
            let prefix = storage_prefix(row);
            let floor = done.get(&prefix).copied().unwrap_or(0);
            // What has not changed since has no history to drop.
            let changed = self.inner.watch.snapshot(&prefix).map_or(0, |snapshot| snapshot.changed);
            if revision <= floor || changed <= floor {
                continue;
            }
            match self.inner.store.compact(&prefix, revision).await {
                Ok(floor) => drop(done.insert(prefix, floor)),
                // Nothing is lost by keeping more: the next round tries again.
                Err(error) => tracing::warn!(resource = ?row, revision, %error, "history could not be compacted"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn samples_tell_the_revision_of_an_age() {
        let start = sampan_env::Env::simulated(1, std::time::SystemTime::UNIX_EPOCH).instant();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut samples = Samples::default();
        for minute in 0..20 {
            samples.add(at(minute * 60), minute * 10, Duration::from_secs(600));
        }
        let now = at(19 * 60);
        assert_eq!(samples.before(now, Duration::from_secs(300)), Some(140));
        assert_eq!(samples.before(now, Duration::from_secs(330)), Some(130));
        assert_eq!(samples.before(now, Duration::from_secs(600)), Some(90));
        assert_eq!(samples.before(now, Duration::from_secs(700)), None);
        assert_eq!(samples.0.len(), 11);
    }
}
