//! How long a container's slices are: what its futures do at a stretch before others of their thread have their turn.
//!
//! The tick cuts a guest off, but not what the engine or the kernel does for it at a stretch: filling or freeing much
//! memory. Requests whose slices are long run where nobody's request waits for them.

use crate::clock::nanos;
use crate::limits::{LONG_AGAIN, LONG_REQUESTS_WAITING, LONG_SLICE, LONG_SLICE_MEMORY, LONG_STRETCH};
use sampan_env::Env;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// What is known of the slices of one container.
#[derive(Debug)]
pub(crate) struct Slices {
    env: Env,
    origin: Instant,
    /// The last time that they were long again, in nanoseconds since `origin`; 0: never.
    long_at: AtomicU64,
    /// The last time that one of them was, likewise.
    suspected_at: AtomicU64,
    /// None was long since a request began with a brief one.
    begins_briefly: AtomicBool,
}

/// The end of one slice.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Slice {
    /// Thread CPU time.
    pub(crate) cpu: Duration,
    /// Of the same future since it last waited for something but its slice, this slice with it.
    pub(crate) at_a_stretch: Duration,
    /// Futures of its container that wait for theirs.
    pub(crate) waiting: usize,
    /// It was the first one of a request.
    pub(crate) begins: bool,
}

/// How long a container's slices are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pace {
    /// Nothing tells.
    Unknown,
    /// Its requests begin with brief ones.
    Brief,
    /// Some were long lately: others must not wait for them on one thread.
    Long,
}

impl Slices {
    /// Of a container of which nothing is known.
    pub(crate) fn new(env: Env) -> Self {
        Self {
            origin: env.instant(),
            env,
            long_at: AtomicU64::new(0),
            suspected_at: AtomicU64::new(0),
            begins_briefly: AtomicBool::new(false),
        }
    }

    pub(crate) fn pace(&self) -> Pace {
        let last = self.long_at.load(Ordering::Relaxed);
        if last != 0 && self.elapsed().saturating_sub(last) < nanos(LONG_SLICE_MEMORY) {
            Pace::Long
        } else if self.begins_briefly.load(Ordering::Relaxed) {
            Pace::Brief
        } else {
            Pace::Unknown
        }
    }

    /// One long slice, or one long stretch, says nothing yet: the kernel may have done something for somebody else
    /// meanwhile. Two do, also of one request.
    pub(crate) fn note(&self, slice: Slice) {
        let long = slice.cpu > LONG_SLICE;
        if long || slice.begins {
            self.begins_briefly.store(!long, Ordering::Relaxed);
        }
        let before = slice.at_a_stretch.saturating_sub(slice.cpu);
        let stretched = slice.at_a_stretch > LONG_STRETCH && before <= LONG_STRETCH;
        if long || stretched || slice.waiting >= LONG_REQUESTS_WAITING {
            let now = self.elapsed().max(1);
            let last = self.suspected_at.swap(now, Ordering::Relaxed);
            // From the end of the one to the beginning of the other.
            let between = now.saturating_sub(last).saturating_sub(nanos(slice.cpu));
            if last != 0 && between < nanos(LONG_AGAIN) {
                self.long_at.store(now, Ordering::Relaxed);
            }
        }
    }

    fn elapsed(&self) -> u64 {
        nanos(self.env.instant().duration_since(self.origin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    const MS: Duration = Duration::from_millis(1);

    fn unknown() -> Slices {
        Slices::new(Env::simulated(1, SystemTime::UNIX_EPOCH))
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_long_is_remembered_for_a_while() {
        let check = async |slice: Slice| {
            let slices = unknown();
            let is_long = || slices.pace() == Pace::Long;
            slices.note(Slice {
                cpu: LONG_SLICE,
                at_a_stretch: LONG_STRETCH,
                waiting: LONG_REQUESTS_WAITING - 1,
                begins: false,
            });
            assert!(!is_long(), "no more than may be");
            slices.note(slice);
            assert!(!is_long(), "once");
            tokio::time::advance(LONG_AGAIN + slice.cpu + MS).await;
            slices.note(slice);
            assert!(!is_long(), "long after the first time");
            tokio::time::advance(LONG_AGAIN / 2).await;
            slices.note(slice);
            assert!(is_long(), "{slice:?}");
            tokio::time::advance(LONG_SLICE_MEMORY + MS).await;
            assert!(!is_long());
        };
        let instant = Duration::from_nanos(1);
        check(Slice { cpu: LONG_SLICE + instant, ..Slice::default() }).await;
        check(Slice { cpu: instant, at_a_stretch: LONG_STRETCH + instant, ..Slice::default() }).await;
        check(Slice { waiting: LONG_REQUESTS_WAITING, ..Slice::default() }).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_stretch_of_many_slices_counts_once() {
        let slices = unknown();
        let stretch =
            || (1..=20).for_each(|n| slices.note(Slice { cpu: MS, at_a_stretch: MS * n, ..Slice::default() }));
        stretch();
        assert_ne!(slices.pace(), Pace::Long, "one request");
        stretch();
        assert_eq!(slices.pace(), Pace::Long, "another one");
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_brief_first_slice_shows_that_requests_begin_briefly() {
        let slices = unknown();
        assert_eq!(slices.pace(), Pace::Unknown);
        slices.note(Slice { cpu: MS, ..Slice::default() });
        assert_eq!(slices.pace(), Pace::Unknown, "it began no request");
        slices.note(Slice { cpu: MS, begins: true, ..Slice::default() });
        assert_eq!(slices.pace(), Pace::Brief);
        slices.note(Slice { cpu: LONG_SLICE + MS, ..Slice::default() });
        assert_eq!(slices.pace(), Pace::Unknown, "one that was long");
        tokio::time::advance(LONG_AGAIN * 2).await;
        slices.note(Slice { cpu: LONG_SLICE + MS, begins: true, ..Slice::default() });
        assert_eq!(slices.pace(), Pace::Unknown);
        slices.note(Slice { cpu: MS, begins: true, ..Slice::default() });
        assert_eq!(slices.pace(), Pace::Brief);
    }
}
