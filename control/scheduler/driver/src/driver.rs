//! The running scheduler: one thread that decides, tasks that bind and write.

use crate::binder;
use crate::decisions::Decisions;
use crate::explain::Explainer;
use crate::inbox::{Inbox, ObjectChange, Received};
use crate::limits;
use crate::record::Records;
use crate::scheduler::{Bind, BindResult, Cycled, PodChange, Scheduler, SchedulerSettings};
use crate::writer::{Conditions, Decided, report};
use sampan_api::Record;
use sampan_api::k8s::api::core::v1::{Node, Pod};
use sampan_client::{Change, Client, EventRecorder, EventType, Informer, Informers, reference};
use sampan_env::{Env, Tasks};
use sampan_scheduler_core::PolicyHosts;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};

/// The parts that a driver works with. The client's identity is `system:kube-scheduler`.
pub struct DriverConfig {
    /// Reads objects, binds, and writes conditions and decisions.
    pub client: Client,
    /// Of nodes and pods.
    pub informers: Informers,
    /// Its source is `default-scheduler`.
    pub events: EventRecorder,
    /// The policies that are asked.
    pub policies: Arc<dyn PolicyHosts>,
    /// Time and randomness.
    pub env: Env,
    /// Owns everything that the driver starts.
    pub tasks: Tasks,
}

/// Counts since the start.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Cycles that ended.
    pub cycles: AtomicU64,
    /// Cycles that chose a node.
    pub placed: AtomicU64,
    /// Cycles that left their pod waiting.
    pub unschedulable: AtomicU64,
    /// Cycles that an error ended.
    pub failed: AtomicU64,
    /// Bindings that the API server took.
    pub bound: AtomicU64,
    /// Bindings that it refused for good.
    pub bind_refused: AtomicU64,
    /// Sum of the cycles' wall times.
    pub cycle_micros: AtomicU64,
    /// Decisions that the API server never got.
    pub decisions_dropped: Arc<AtomicU64>,
}

/// A scheduler, not started yet.
pub struct Driver {
    config: DriverConfig,
    nodes: Informer,
    pods: Informer,
    inbox: Arc<Inbox>,
    records: Records,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Driver")
    }
}

/// Failures to start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The operating system gives no thread.
    #[error("the scheduler's thread cannot be started: {0}")]
    Thread(std::io::Error),
}

impl Driver {
    /// # Errors
    /// When an informer cannot be made.
    pub fn new(config: DriverConfig) -> sampan_client::Result<Self> {
        let (nodes, pods) = (config.informers.of::<Node>()?, config.informers.of::<Pod>()?);
        Ok(Self { config, nodes, pods, inbox: Arc::default(), records: Records::default(), metrics: Arc::default() })
    }

    /// To be called when other policies are live than before. It does not block.
    pub fn waker(&self) -> impl Fn() + Send + Sync + use<> {
        let inbox = Arc::clone(&self.inbox);
        move || inbox.policies_changed()
    }

    /// Computes recorded decisions again.
    pub fn explainer(&self) -> Explainer {
        let config = &self.config;
        Explainer::new(config.client.clone(), Arc::clone(&config.policies), self.records.clone())
    }

    /// Its counts.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Starts deciding once nodes and pods are known. Everything ends with the tasks.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(self) -> Result<(), StartError> {
        let Self { config, nodes, pods, inbox, records, metrics } = self;
        let (decided, decisions) = mpsc::channel(limits::DECIDED);
        let (recorder, recorded) = mpsc::channel(limits::RECORDED);
        let posting = Decisions {
            client: config.client.clone(),
            env: config.env.clone(),
            records,
            run: config.env.uuid(),
            dropped: Arc::clone(&metrics.decisions_dropped),
        };
        config.tasks.spawn_until_cancelled(posting.run(recorded));
        let outside = Outside {
            client: config.client.clone(),
            env: config.env.clone(),
            events: config.events.clone(),
            tasks: config.tasks.clone(),
            inbox: Arc::clone(&inbox),
            metrics: Arc::clone(&metrics),
            bindings: Arc::new(Semaphore::new(limits::BINDINGS)),
            recorder,
        };
        config.tasks.spawn_until_cancelled(outside.run(decisions));

        watch(&nodes, &inbox, Inbox::node);
        watch(&pods, &inbox, Inbox::pod);
        let (tasks, env, policies) = (config.tasks.clone(), config.env.clone(), Arc::clone(&config.policies));
        let token = tasks.token().clone();
        let stopping = Arc::clone(&inbox);
        tasks.spawn(async move {
            token.cancelled().await;
            stopping.stop();
        });
        let (start, started) = std::sync::mpsc::sync_channel::<()>(1);
        let thread = Thread { inbox: Arc::clone(&inbox), env, decided, metrics };
        let work = move || {
            // An error says that the tasks were cancelled before anything was known.
            if started.recv().is_ok() {
                thread.run(Scheduler::new(policies.host(), &SchedulerSettings::default()));
            }
        };
        sampan_env::thread("scheduler", None, work).map_err(StartError::Thread)?;
        config.tasks.spawn_until_cancelled(async move {
            for informer in [&nodes, &pods] {
                if let Err(error) = informer.wait_synced().await {
                    tracing::error!(%error, "the scheduler cannot see the cluster");
                    return;
                }
            }
            inbox.synced(nodes.revision(), pods.revision());
            if start.send(()).is_err() {
                tracing::error!("the scheduler's thread ended before it began");
            }
        });
        Ok(())
    }
}

fn watch(informer: &Informer, inbox: &Arc<Inbox>, receive: fn(&Inbox, ObjectChange)) {
    let inbox = Arc::clone(inbox);
    informer.add_handler(move |change| match change {
        Change::Applied { new, .. } => receive(&inbox, ObjectChange::Applied(Arc::clone(new))),
        Change::Deleted { last } => receive(&inbox, ObjectChange::Deleted(Arc::clone(last))),
        Change::Synced | Change::Lost => {}
    });
}

/// The thread that decides.
struct Thread {
    inbox: Arc<Inbox>,
    env: Env,
    decided: mpsc::Sender<Decided>,
    metrics: Arc<Metrics>,
}

/// Seeds fit a JSON number of every client.
const SEED_BITS: u32 = 53;

impl Thread {
    fn run(self, mut scheduler: Scheduler) {
        let mut idle = None;
        loop {
            let received = match idle {
                Some(wait) => {
                    self.env.memory().rests();
                    self.inbox.wait(wait)
                }
                None => self.inbox.look(),
            };
            if let Some(received) = received {
                if received.stop {
                    return;
                }
                self.apply(&mut scheduler, received);
            }
            // A decision is never dropped: its binding would be. Without room for it none falls.
            if self.decided.capacity() == 0 {
                idle = Some(limits::DECIDED_WAIT);
                continue;
            }
            let begun = self.env.instant();
            let seed = self.env.random_u64() >> (u64::BITS - SEED_BITS);
            let Some(cycled) = scheduler.cycle(begun, seed) else {
                idle = Some(self.until_due(&scheduler));
                continue;
            };
            idle = None;
            let took = self.env.instant().duration_since(begun);
            let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            self.count(&cycled, micros);
            // Only this thread sends, and there was room.
            if self.decided.try_send(Decided { cycled, micros }).is_err() {
                // The tasks have ended.
                return;
            }
        }
    }

    fn until_due(&self, scheduler: &Scheduler) -> Duration {
        let now = self.env.instant();
        scheduler.next_due().map_or(limits::IDLE_WAIT, |due| due.saturating_duration_since(now).min(limits::IDLE_WAIT))
    }

    fn apply(&self, scheduler: &mut Scheduler, mut received: Received) {
        let now = self.env.instant();
        if received.policies_changed {
            scheduler.adopt(now);
        }
        scheduler.seen_nodes(received.nodes_revision);
        scheduler.seen_pods(received.pods_revision);
        for change in received.take_nodes() {
            match change {
                ObjectChange::Deleted(last) => scheduler.node_deleted(&last.key.name),
                ObjectChange::Applied(record) => match record.typed::<Node>() {
                    Ok(node) => scheduler.node_applied(node, now),
                    Err(error) => tracing::error!(%error, node = %record.key.name, "a node that cannot be read"),
                },
            }
        }
        for change in received.take_pods() {
            match change {
                ObjectChange::Deleted(last) => {
                    scheduler.pod_deleted(&last.key.namespace, &last.key.name, &last.uid, now);
                }
                ObjectChange::Applied(record) if nothing_new(scheduler, &record) => {}
                ObjectChange::Applied(record) => match record.typed::<Pod>() {
                    Ok(pod) => scheduler.pod_applied(PodChange { pod }, now),
                    Err(error) => tracing::error!(%error, pod = %record.key.name, "a pod that cannot be read"),
                },
            }
        }
        for (bind, result) in received.bound {
            scheduler.bound(&bind, &result, now);
        }
    }

    fn count(&self, cycled: &Cycled, micros: u64) {
        use sampan_scheduler_core::CycleResult::{Failed, Held, Placed, Unschedulable};
        let metrics = &self.metrics;
        let which = match cycled.outcome.result {
            Placed(_) => &metrics.placed,
            Unschedulable | Held => &metrics.unschedulable,
            Failed => &metrics.failed,
        };
        which.fetch_add(1, Ordering::Relaxed);
        metrics.cycles.fetch_add(1, Ordering::Relaxed);
        metrics.cycle_micros.fetch_add(micros, Ordering::Relaxed);
    }
}

/// Most changes of pods are that ours are where they were placed, and run: those need no decoding.
fn nothing_new(scheduler: &mut Scheduler, record: &Record) -> bool {
    let unfinished = matches!(record.field("status.phase"), Some("" | "Pending" | "Running" | "Unknown"));
    match record.field("spec.nodeName") {
        Some(node) if unfinished && !node.is_empty() => scheduler.confirms(&record.uid, node),
        _ => false,
    }
}

/// The driver's work outside of its thread.
struct Outside {
    client: Client,
    env: Env,
    events: EventRecorder,
    tasks: Tasks,
    inbox: Arc<Inbox>,
    metrics: Arc<Metrics>,
    bindings: Arc<Semaphore>,
    recorder: mpsc::Sender<Decided>,
}

impl Outside {
    async fn run(self, mut decisions: mpsc::Receiver<Decided>) {
        let conditions = Conditions {
            client: self.client.clone(),
            env: self.env.clone(),
            tasks: self.tasks.clone(),
            turns: Arc::new(Semaphore::new(limits::CONDITIONS)),
        };
        while let Some(decided) = decisions.recv().await {
            if let Some(bind) = decided.cycled.bind.clone() {
                self.bind(bind, Arc::clone(&decided.cycled.pod.pod)).await;
            } else if let Some((pod, condition)) = report(&decided.cycled, &self.events) {
                conditions.write(pod, condition).await;
            }
            match self.recorder.try_send(decided) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(_)) => {
                    self.metrics.decisions_dropped.fetch_add(1, Ordering::Relaxed);
                }
                Err(mpsc::error::TrySendError::Closed(_)) => return,
            }
        }
    }

    async fn bind(&self, bind: Bind, pod: Arc<Pod>) {
        let Ok(turn) = Arc::clone(&self.bindings).acquire_owned().await else { return };
        let (client, env, events) = (self.client.clone(), self.env.clone(), self.events.clone());
        let (inbox, metrics) = (Arc::clone(&self.inbox), Arc::clone(&self.metrics));
        self.tasks.spawn_until_cancelled(async move {
            let result = binder::bind(&client, &env, &bind).await;
            match &result {
                BindResult::Bound => {
                    metrics.bound.fetch_add(1, Ordering::Relaxed);
                    let message = format!("Successfully assigned {}/{} to {}", bind.namespace, bind.name, bind.node);
                    events.event(reference(&*pod), EventType::Normal, "Scheduled", message);
                }
                BindResult::Refused(why) => {
                    metrics.bind_refused.fetch_add(1, Ordering::Relaxed);
                    let message = format!("binding rejected: {why}");
                    events.event(reference(&*pod), EventType::Warning, "FailedScheduling", message);
                }
            }
            inbox.bound(bind, result);
            drop(turn);
        });
    }
}
