//! The reconcile runtime: watches fill a queue of keys, workers hand each key to the controller, failures wait longer
//! each time.

use crate::{Error, limits};
use futures::FutureExt;
use sampan_api::{Record, RecordKey};
use sampan_client::{Backoff, Change, Informer, WorkQueue};
use sampan_env::{Env, Tasks};
use std::fmt::Display;
use std::future::Future;
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

/// Time at which a key that was reconciled well is to be looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requeue {
    /// At the next change.
    Never,
    /// After this time, unless something changes sooner.
    After(Duration),
}

impl Requeue {
    /// The earlier of the two.
    pub fn sooner(self, other: Self) -> Self {
        match (self, other) {
            (Self::After(one), Self::After(two)) => Self::After(one.min(two)),
            (after @ Self::After(_), Self::Never) => after,
            (Self::Never, other) => other,
        }
    }
}

/// A controller: brings what `key` names nearer to what is wanted. It is called with the same key by one worker at a
/// time; what it needs it reads anew each time, since a key says that something happened and not what.
pub trait Reconcile<K = RecordKey>: Send + Sync + 'static {
    /// # Errors
    /// Anything: the key is tried again, later each time.
    fn reconcile(&self, key: &K) -> impl Future<Output = Result<Requeue, Error>> + Send;
}

/// The bounds of a runtime's keys.
pub trait Key: Hash + Eq + Clone + Display + Send + Sync + 'static {}
impl<K: Hash + Eq + Clone + Display + Send + Sync + 'static> Key for K {}

/// The queue and the workers of one controller.
#[derive(Clone)]
pub struct Runtime<K: Key = RecordKey> {
    name: &'static str,
    queue: WorkQueue<K>,
    tasks: Tasks,
    informers: Vec<Informer>,
    timeout: Duration,
}

impl Runtime {
    /// Every object of the informer is a key.
    pub fn watch(&mut self, informer: &Informer) {
        let queue = self.queue.clone();
        self.watch_with(informer, move |record, _| queue.add(record.key.clone()));
    }
}

impl<K: Key> Runtime<K> {
    /// `name` stands in the log beside what goes wrong.
    pub fn new(name: &'static str, env: &Env, tasks: &Tasks) -> Self {
        Self::with_backoff(name, env, tasks, Backoff::default())
    }

    /// As [`Runtime::new`]: a failed reconcile is tried again as `backoff` says.
    pub fn with_backoff(name: &'static str, env: &Env, tasks: &Tasks, backoff: Backoff) -> Self {
        let queue = WorkQueue::new(env, backoff);
        Self { name, queue, tasks: tasks.clone(), informers: Vec::new(), timeout: limits::RECONCILE_TIMEOUT }
    }

    /// Sets the time limit of one reconcile, in place of [`limits::RECONCILE_TIMEOUT`].
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The queue that the workers take keys from.
    pub fn queue(&self) -> &WorkQueue<K> {
        &self.queue
    }

    /// `map` is told each object that changed, before and after, and whether this is its last state; it adds keys.
    pub fn watch_with(&mut self, informer: &Informer, map: impl Fn(&Record, bool) + Send + Sync + 'static) {
        informer.add_handler(move |change| match change {
            Change::Applied { old, new } => {
                // An object that changed its owner or its labels concerns those whose it was, too.
                if let Some(old) = old {
                    map(old, false);
                }
                map(new, false);
            }
            Change::Deleted { last } => map(last, true),
            Change::Synced | Change::Lost => {}
        });
        self.informers.push(informer.clone());
    }

    /// An informer that reconciles read, and whose changes are not keys.
    pub fn read(&mut self, informer: &Informer) {
        self.informers.push(informer.clone());
    }

    /// Starts the workers, once every informer is complete.
    pub fn start<R: Reconcile<K>>(self, reconciler: R, workers: usize) {
        let reconciler = Arc::new(reconciler);
        let tasks = self.tasks.clone();
        tasks.clone().spawn_until_cancelled(async move {
            for informer in &self.informers {
                if informer.wait_synced().await.is_err() {
                    return;
                }
            }
            for _ in 0..workers {
                let (runtime, reconciler) = (self.clone(), reconciler.clone());
                tasks.spawn_until_cancelled(async move { runtime.work(&*reconciler).await });
            }
        });
    }

    async fn work<R: Reconcile<K>>(&self, reconciler: &R) {
        while let Some(key) = self.queue.next().await {
            match self.once(reconciler, &key).await {
                Ok(requeue) => {
                    self.queue.forget(&key);
                    if let Requeue::After(wait) = requeue {
                        self.queue.add_after(key.clone(), wait);
                    }
                }
                Err(error) => {
                    if error.is_conflict() || matches!(error, Error::NotYet(_)) {
                        tracing::debug!(controller = self.name, key = %*key, %error, "reconcile is tried again");
                    } else {
                        tracing::warn!(controller = self.name, key = %*key, %error, "reconcile is tried again");
                    }
                    self.queue.add_rate_limited(key.clone());
                }
            }
        }
    }

    async fn once<R: Reconcile<K>>(&self, reconciler: &R, key: &K) -> Result<Requeue, Error> {
        let run = AssertUnwindSafe(reconciler.reconcile(key)).catch_unwind();
        match tokio::time::timeout(self.timeout, run).await {
            Err(_) => Err(Error::TimedOut { after: self.timeout }),
            Ok(Ok(outcome)) => outcome,
            Ok(Err(panic)) => {
                let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
                let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
                Err(Error::Panicked(text.unwrap_or_else(|| "no message".into())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::SystemTime;

    #[derive(Default)]
    struct World {
        log: Mutex<Vec<(u64, String)>>,
        running: AtomicUsize,
        most: AtomicUsize,
    }

    struct Script {
        world: Arc<World>,
        env: Env,
        start: tokio::time::Instant,
    }

    impl Reconcile for Script {
        async fn reconcile(&self, key: &RecordKey) -> Result<Requeue, Error> {
            let at = self.env.instant().duration_since(self.start).as_millis() as u64;
            let earlier = {
                let mut log = self.world.log.lock();
                log.push((at, key.name.to_string()));
                log.iter().filter(|(_, name)| **name == *key.name).count() - 1
            };
            let running = self.world.running.fetch_add(1, Ordering::SeqCst) + 1;
            self.world.most.fetch_max(running, Ordering::SeqCst);
            self.env.sleep(Duration::from_millis(100)).await;
            self.world.running.fetch_sub(1, Ordering::SeqCst);
            match (&*key.name, earlier) {
                ("fails twice", 0 | 1) => Err(Error::Invalid("not yet".into())),
                ("panics once", 0) => panic!("as told"),
                ("hangs once", 0) => std::future::pending().await,
                ("again", 0) => Ok(Requeue::After(Duration::from_secs(1))),
                _ => Ok(Requeue::Never),
            }
        }
    }

    /// When each key is reconciled, in milliseconds.
    async fn check(keys: &[&str], workers: usize, expected: &[(u64, &str)]) -> Arc<World> {
        let env = Env::simulated(1, SystemTime::UNIX_EPOCH);
        let (tasks, world) = (Tasks::new("test"), Arc::new(World::default()));
        let runtime: Runtime = Runtime::new("test", &env, &tasks);
        for key in keys {
            runtime.queue().add(RecordKey::new("", *key));
        }
        let start = env.instant();
        runtime.start(Script { world: world.clone(), env: env.clone(), start }, workers);
        env.sleep(Duration::from_secs(300)).await;
        let log = world.log.lock().clone();
        let expected: Vec<(u64, String)> = expected.iter().map(|(at, name)| (*at, (*name).to_owned())).collect();
        assert_eq!(log, expected);
        tasks.drain(Duration::from_secs(1)).await.expect("workers end");
        world
    }

    #[tokio::test(start_paused = true)]
    async fn failures_and_panics_are_tried_again_and_delays_are_kept() {
        check(&["fails twice"], 1, &[(0, "fails twice"), (105, "fails twice"), (215, "fails twice")]).await;
        check(&["panics once"], 1, &[(0, "panics once"), (105, "panics once")]).await;
        check(&["hangs once"], 1, &[(0, "hangs once"), (120_005, "hangs once")]).await;
        check(&["again"], 1, &[(0, "again"), (1100, "again")]).await;
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_run_at_once_than_there_are_workers() {
        let world = check(&["a", "b", "c"], 2, &[(0, "a"), (0, "b"), (100, "c")]).await;
        assert_eq!(world.most.load(Ordering::SeqCst), 2);
    }
}
