//! The return of freed memory to the machine: an allocator may keep what was freed until the thread that it was allocated
//! on asks for more, and a thread that rests does not ask.

use crate::{Env, Tasks};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;

/// The longest that freed memory is kept by threads that rest.
const EVERY: Duration = Duration::from_secs(2);
/// From [`FreedMemory::note`] until memory is given back: longer than tasks take to end.
const NOTED_AFTER: Duration = Duration::from_millis(200);

thread_local! {
    /// The round in which this thread last gave back what it kept.
    static ROUND: Cell<u64> = const { Cell::new(0) };
}

/// Has the program's allocator give back what it keeps, on each thread that says when it rests.
#[derive(Debug)]
pub struct FreedMemory {
    give_back: fn(),
    round: AtomicU64,
    noted: watch::Sender<()>,
}

impl FreedMemory {
    /// `give_back` gives back what the calling thread keeps and what no thread uses.
    pub fn new(give_back: fn()) -> Arc<Self> {
        Arc::new(Self { give_back, round: AtomicU64::new(0), noted: watch::Sender::new(()) })
    }

    /// Something large has ended: what was freed is given back soon.
    pub fn note(&self) {
        self.noted.send_replace(());
    }

    /// Gives back at once what the calling thread keeps. It takes milliseconds where that is much.
    pub fn give_back(&self) {
        (self.give_back)();
    }

    /// For a thread that is about to rest. Most calls compare two numbers.
    pub fn rests(&self) {
        let round = self.round.load(Ordering::Relaxed);
        if ROUND.replace(round) != round {
            (self.give_back)();
        }
    }

    /// Wakes the threads of `runtimes`, so many workers each, every two seconds and after each [`FreedMemory::note`], so
    /// that they rest anew. Their `on_thread_park` calls [`FreedMemory::rests`]. For ever.
    pub async fn run(self: Arc<Self>, env: Env, tasks: Tasks, runtimes: Vec<(Handle, usize)>) {
        let mut noted = self.noted.subscribe();
        loop {
            tokio::select! {
                // The sender is `self`'s.
                _ = noted.changed() => env.sleep(NOTED_AFTER).await,
                () = env.sleep(EVERY) => {}
            }
            self.round.fetch_add(1, Ordering::Relaxed);
            for (runtime, workers) in &runtimes {
                let _on_it = runtime.enter();
                for _ in 0..*workers {
                    tasks.spawn(tokio::task::yield_now());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    static GIVEN: AtomicUsize = AtomicUsize::new(0);

    #[test]
    fn each_thread_gives_back_once_a_round_when_it_rests() {
        let memory = FreedMemory::new(|| {
            GIVEN.fetch_add(1, Ordering::SeqCst);
        });
        let rest = |times: usize| {
            (0..times).for_each(|_| memory.rests());
            GIVEN.load(Ordering::SeqCst)
        };
        let resting = memory.clone();
        let threads = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .on_thread_park(move || resting.rests())
            .build()
            .expect("a runtime");
        assert_eq!(rest(3), 0, "nothing was freed");
        let tasks = Tasks::new("test");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let env = Env::simulated(1, std::time::SystemTime::UNIX_EPOCH);
            let rounds = memory.clone().run(env, tasks.clone(), vec![(threads.handle().clone(), 2)]);
            drop(tokio::time::timeout(EVERY + Duration::from_millis(1), rounds).await);
        });
        let own = rest(3);
        assert!((1..=3).contains(&own), "given back {own} times by this thread and two workers");
        assert_eq!(memory.round.load(Ordering::SeqCst), 1);
    }
}
