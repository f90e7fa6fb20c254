//! The progress of one request, by which those are ended that make none.

use crate::limits::BODY_PROGRESS_BYTES;
use parking_lot::Mutex;
use sampan_env::Env;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Time of a request's last progress, and whether it failed after its answer had begun.
#[derive(Debug)]
pub(super) struct Progress {
    env: Env,
    last: Mutex<Instant>,
    /// Bytes of the request's body since then.
    come: AtomicU64,
    failed: AtomicBool,
    /// Nobody will take more of the answer: all of it is the transport's, or its client has gone.
    taken: AtomicBool,
}

impl Progress {
    pub(super) fn new(env: &Env) -> Arc<Self> {
        Arc::new(Self {
            env: env.clone(),
            last: Mutex::new(env.instant()),
            come: AtomicU64::new(0),
            failed: AtomicBool::new(false),
            taken: AtomicBool::new(false),
        })
    }

    /// There was progress just now.
    pub(super) fn made(&self) {
        *self.last.lock() = self.env.instant();
    }

    /// Bytes of the request's body: only many of them are progress, or one byte a minute would hold an instance.
    pub(super) fn came(&self, bytes: usize) {
        let come = self.come.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        if come >= BODY_PROGRESS_BYTES {
            self.come.store(0, Ordering::Relaxed);
            self.made();
        }
    }

    /// The answer is not what the guest meant to say: it must not look whole.
    pub(super) fn fail(&self) {
        self.failed.store(true, Ordering::Release);
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Returns when there was no progress for `timeout`.
    pub(super) async fn stalled(&self, timeout: Duration) {
        loop {
            let last = self.last();
            tokio::time::sleep_until(last + timeout).await;
            if self.last() == last {
                return;
            }
        }
    }

    pub(super) fn last(&self) -> Instant {
        *self.last.lock()
    }

    pub(super) fn set_taken(&self) {
        self.taken.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_taken(&self) -> bool {
        self.taken.load(Ordering::Relaxed)
    }
}
