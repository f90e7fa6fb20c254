//! The return of memory to the machine a moment after guests have ended: an allocator may keep what was freed until the
//! thread that it was allocated on asks for more, and threads of guests rest when their guests end.

use crate::limits::GIVE_BACK_AFTER;
use sampan_env::{Env, Tasks};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Notify;

thread_local! {
    /// The round in which this thread last gave back what it kept.
    static ROUND: Cell<u64> = const { Cell::new(0) };
}

/// Has the program's allocator give back what it keeps.
#[derive(Debug)]
pub(crate) struct Released {
    give_back: fn(),
    round: AtomicU64,
    ended: Notify,
}

impl Released {
    pub(crate) fn new(give_back: fn()) -> Arc<Self> {
        Arc::new(Self { give_back, round: AtomicU64::new(0), ended: Notify::new() })
    }

    /// A container has ended.
    pub(crate) fn note(&self) {
        self.ended.notify_one();
    }

    /// For a thread that is about to rest.
    pub(crate) fn rests(&self) {
        let round = self.round.load(Ordering::Relaxed);
        if ROUND.replace(round) != round {
            (self.give_back)();
        }
    }

    /// After containers have ended: wakes the threads of `lanes`, `workers` each, so that they rest anew. For ever.
    pub(crate) async fn run(
        self: Arc<Self>,
        env: Env,
        tasks: Tasks,
        lanes: [tokio::runtime::Handle; 2],
        workers: usize,
    ) {
        loop {
            self.ended.notified().await;
            env.sleep(GIVE_BACK_AFTER).await;
            self.round.fetch_add(1, Ordering::Relaxed);
            for lane in &lanes {
                let _on_lane = lane.enter();
                for _ in 0..workers {
                    tasks.spawn(tokio::task::yield_now());
                }
            }
            (self.give_back)();
        }
    }
}
