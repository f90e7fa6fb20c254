//! Work that takes long enough to hold other requests up: it is done on threads of its own, few of them, in turns that
//! are fair by flow, and ends with the request that it is for.

use crate::limits::{COMPUTE_KEPT, COMPUTE_THREADS_MIN};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use sampan_env::{FreedMemory, Tasks};
use std::any::Any;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// The threads. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Compute {
    pool: Arc<Pool>,
}

struct Pool {
    threads: usize,
    tasks: Tasks,
    memory: Arc<FreedMemory>,
    turns: Mutex<Turns>,
}

/// The turns of flows: the next is of the flow that has used the least CPU time among those that have work. A flow that
/// comes anew begins where the others are.
#[derive(Default)]
struct Turns {
    running: usize,
    flows: HashMap<u64, FlowOfWork>,
    /// Flows with work, by what they have used.
    order: BTreeSet<(u64, u64)>,
    /// CPU time that the flow of the last turn had used before it.
    floor: u64,
}

#[derive(Default)]
struct FlowOfWork {
    /// CPU time, nanoseconds.
    used: u64,
    ready: VecDeque<Arc<Job>>,
}

impl Turns {
    fn push(&mut self, job: Arc<Job>) {
        let (id, floor) = (job.flow, self.floor);
        let flow = self.flows.entry(id).or_default();
        if flow.ready.is_empty() {
            flow.used = flow.used.max(floor);
            self.order.insert((flow.used, id));
        }
        flow.ready.push_back(job);
    }

    fn pop(&mut self) -> Option<Arc<Job>> {
        let (used, id) = self.order.first().copied()?;
        self.floor = self.floor.max(used);
        let flow = self.flows.get_mut(&id)?;
        let job = flow.ready.pop_front();
        if flow.ready.is_empty() {
            self.order.remove(&(used, id));
        }
        job
    }

    fn charge(&mut self, id: u64, nanoseconds: u64) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        let before = flow.used;
        flow.used = before.saturating_add(nanoseconds);
        if !flow.ready.is_empty() {
            self.order.remove(&(before, id));
            self.order.insert((flow.used, id));
        }
    }

    /// When nobody works and nothing waits, nobody is ahead of anybody.
    fn rest(&mut self) {
        if self.running == 0 && self.order.is_empty() {
            self.flows.clear();
            self.floor = 0;
        }
    }
}

impl Pool {
    fn enqueue(self: &Arc<Self>, job: Arc<Job>) {
        let runtime = job.runtime.clone();
        {
            let mut turns = self.turns.lock();
            turns.push(job);
            if turns.running == self.threads {
                return;
            }
            turns.running += 1;
        }
        let pool = self.clone();
        drop(self.tasks.spawn_blocking_on(move || pool.work(), &runtime));
    }

    fn work(self: &Arc<Self>) {
        let mut spent = 0;
        while let Some(job) = self.next() {
            let (flow, before) = (job.flow, cpu_time());
            job.run();
            let used = cpu_time().saturating_sub(before);
            self.turns.lock().charge(flow, used);
            spent += used;
        }
        // Whoever works next is another thread: what this one keeps would be held beside it.
        if Duration::from_nanos(spent) >= COMPUTE_KEPT {
            self.memory.give_back();
        }
    }

    /// The next job of this thread; `None`: it works no more.
    fn next(&self) -> Option<Arc<Job>> {
        let mut turns = self.turns.lock();
        let job = turns.pop();
        if job.is_none() {
            turns.running -= 1;
            turns.rest();
        }
        job
    }
}

/// CPU time of this thread, nanoseconds.
fn cpu_time() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    (time.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(time.tv_nsec as u64)
}

/// A future that is polled by the pool.
struct Job {
    pool: Arc<Pool>,
    runtime: Handle,
    flow: u64,
    stage: AtomicU8,
    future: Mutex<Option<BoxFuture<'static, ()>>>,
}

/// Waits to be woken.
const WAITING: u8 = 0;
/// Woken: in its flow's queue.
const READY: u8 = 1;
const RUNNING: u8 = 2;
/// Woken while it ran.
const WOKEN: u8 = 3;
/// Finished, or its request is gone.
const OVER: u8 = 4;

impl Job {
    fn run(self: Arc<Self>) {
        if self.stage.compare_exchange(READY, RUNNING, Ordering::AcqRel, Ordering::Acquire).is_err() {
            drop(self.future.lock().take());
            return;
        }
        let waker = Waker::from(self.clone());
        let mut slot = self.future.lock();
        let done = slot.as_mut().is_none_or(|future| future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
        if done {
            self.stage.store(OVER, Ordering::Release);
            drop(slot.take());
            return;
        }
        let waits = self.stage.compare_exchange(RUNNING, WAITING, Ordering::AcqRel, Ordering::Acquire).is_ok();
        drop(slot);
        if !waits && self.stage.compare_exchange(WOKEN, READY, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            return self.pool.clone().enqueue(self);
        }
        if self.stage.load(Ordering::Acquire) == OVER {
            drop(self.future.lock().take());
        }
    }

    /// The request is gone: nothing more is done for it, from its next wait on at the latest.
    fn cancel(&self) {
        self.stage.store(OVER, Ordering::Release);
        // While it runs, who runs it drops it.
        if let Some(mut slot) = self.future.try_lock() {
            drop(slot.take());
        }
    }
}

impl Wake for Job {
    fn wake(self: Arc<Self>) {
        let mut stage = self.stage.load(Ordering::Acquire);
        loop {
            let next = match stage {
                WAITING => READY,
                RUNNING => WOKEN,
                _ => return,
            };
            match self.stage.compare_exchange_weak(stage, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(WAITING) => return self.pool.clone().enqueue(self),
                Ok(_) => return,
                Err(now) => stage = now,
            }
        }
    }
}

impl Compute {
    /// As many threads as there are cores; `tasks` owns them.
    pub fn new(tasks: Tasks, memory: Arc<FreedMemory>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::with_threads(tasks, memory, cores.max(COMPUTE_THREADS_MIN))
    }

    fn with_threads(tasks: Tasks, memory: Arc<FreedMemory>, threads: usize) -> Self {
        Self { pool: Arc::new(Pool { threads, tasks, memory, turns: Mutex::default() }) }
    }

    /// Polls `future` on the pool's threads only. It is dropped when the returned one is. Panics come through.
    pub fn drive<T, F>(&self, flow: u64, future: F) -> Driven<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let (sender, outcome) = oneshot::channel();
        let future = Box::pin(async move {
            let outcome = futures::FutureExt::catch_unwind(AssertUnwindSafe(future)).await;
            // Nobody waits any more.
            drop(sender.send(outcome));
        });
        self.start(flow, future, outcome)
    }

    /// Does `work` on one of the pool's threads.
    pub fn run<T, W>(&self, flow: u64, work: W) -> Driven<T>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
    {
        let (sender, outcome) = oneshot::channel();
        let future = Box::pin(async move {
            drop(sender.send(catch_unwind(AssertUnwindSafe(work))));
        });
        self.start(flow, future, outcome)
    }

    fn start<T>(&self, flow: u64, future: BoxFuture<'static, ()>, outcome: Outcome<T>) -> Driven<T> {
        let job = Arc::new(Job {
            pool: self.pool.clone(),
            runtime: Handle::current(),
            flow,
            stage: AtomicU8::new(READY),
            future: Mutex::new(Some(future)),
        });
        self.pool.enqueue(job.clone());
        Driven { job, outcome }
    }
}

type Outcome<T> = oneshot::Receiver<Result<T, Box<dyn Any + Send>>>;

/// A request's work in the pool.
pub(crate) struct Driven<T> {
    job: Arc<Job>,
    outcome: Outcome<T>,
}

impl<T> Future for Driven<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match Pin::new(&mut self.outcome).poll(cx) {
            Poll::Ready(Ok(Ok(value))) => Poll::Ready(value),
            Poll::Ready(Ok(Err(panic))) => resume_unwind(panic),
            // The runtime is being shut down: nobody is left to be answered.
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
        }
    }
}

impl<T> Drop for Driven<T> {
    fn drop(&mut self) {
        self.job.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    fn pool(threads: usize) -> Compute {
        Compute::with_threads(Tasks::new("test"), FreedMemory::new(|| {}), threads)
    }

    /// Holds the pool's threads until the sender is dropped.
    async fn busy(pool: &Compute, flow: u64, threads: usize) -> (std::sync::mpsc::Sender<()>, Vec<Driven<()>>) {
        let (hold, held) = std::sync::mpsc::channel::<()>();
        let held = Arc::new(std::sync::Mutex::new(held));
        let (began, mut begins) = tokio::sync::mpsc::unbounded_channel();
        let works = (0..threads)
            .map(|_| {
                let (held, began) = (held.clone(), began.clone());
                pool.run(flow, move || {
                    began.send(()).expect("somebody listens");
                    drop(held.lock().map(|held| held.recv()));
                })
            })
            .collect();
        for _ in 0..threads {
            begins.recv().await;
        }
        (hold, works)
    }

    #[tokio::test]
    async fn a_thread_that_has_worked_long_gives_memory_back_when_it_rests() {
        static GIVEN: AtomicUsize = AtomicUsize::new(0);
        let tasks = Tasks::new("test");
        let memory = FreedMemory::new(|| {
            GIVEN.fetch_add(1, Ordering::SeqCst);
        });
        let pool = Compute::with_threads(tasks.clone(), memory, 1);
        let worked = async |least: Duration| {
            let before = GIVEN.load(Ordering::SeqCst);
            let began = move |at: u64| Duration::from_nanos(cpu_time() - at) < least;
            pool.run(1, move || {
                let at = cpu_time();
                while began(at) {}
            })
            .await;
            while pool.pool.turns.lock().running > 0 || !tasks.is_empty() {
                tokio::task::yield_now().await;
            }
            GIVEN.load(Ordering::SeqCst) - before
        };
        assert_eq!(worked(Duration::ZERO).await, 0);
        assert_eq!(worked(COMPUTE_KEPT).await, 1);
    }

    #[tokio::test]
    async fn others_go_on_during_long_work_and_threads_are_few() {
        let pool = pool(2);
        let (hold, works) = busy(&pool, 1, 2).await;
        let ran = Arc::new(AtomicUsize::new(0));
        let more: Vec<_> = (0..50)
            .map(|_| {
                let ran = ran.clone();
                pool.run(1, move || ran.fetch_add(1, Ordering::SeqCst))
            })
            .collect();
        // This thread is the runtime's only one, and it is free.
        tokio::task::yield_now().await;
        assert_eq!((ran.load(Ordering::SeqCst), pool.pool.turns.lock().running), (0, 2));
        drop(hold);
        futures::future::join_all(works).await;
        futures::future::join_all(more).await;
        assert_eq!(ran.load(Ordering::SeqCst), 50);
    }

    #[tokio::test]
    async fn turns_are_fair_by_flow() {
        let pool = pool(1);
        let (hold, works) = busy(&pool, 9, 1).await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let note = |flow: u64| {
            let order = order.clone();
            pool.run(flow, move || {
                // Each takes some CPU time, so that whoever had a turn is behind who had none.
                let began = cpu_time();
                while cpu_time() - began < 100_000 {}
                order.lock().push(flow);
            })
        };
        let mut all: Vec<_> = (0..20).map(|_| note(1)).collect();
        all.push(note(2));
        drop(hold);
        futures::future::join_all(works).await;
        futures::future::join_all(all).await;
        let order = order.lock();
        let second = order.iter().position(|flow| *flow == 2).expect("it ran");
        assert!(second <= 1, "{order:?}");
    }

    #[tokio::test]
    async fn work_ends_with_its_request() {
        let pool = pool(1);
        let (hold, works) = busy(&pool, 1, 1).await;
        let ran = Arc::new(AtomicUsize::new(0));
        let witness = ran.clone();
        drop(pool.run(1, move || witness.fetch_add(1, Ordering::SeqCst)));
        assert_eq!(Arc::strong_count(&ran), 1, "what it held is gone at once");
        // One that waits is dropped where it waits.
        let witness = ran.clone();
        let waits = pool.drive(1, async move {
            std::future::pending::<()>().await;
            witness.fetch_add(1, Ordering::SeqCst);
        });
        drop(hold);
        futures::future::join_all(works).await;
        drop(waits);
        assert_eq!(pool.run(1, || 7).await, 7);
        assert_eq!((ran.load(Ordering::SeqCst), Arc::strong_count(&ran)), (0, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn timers_and_wakes_work_there() {
        let pool = pool(2);
        let slept = pool.drive(1, async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            tokio::task::yield_now().await;
            5
        });
        assert_eq!(slept.await, 5);
    }

    #[tokio::test]
    #[should_panic(expected = "as it should")]
    async fn panics_come_through() {
        pool(1).run(1, || panic!("as it should")).await
    }
}
