//! Watches `SchedulingPolicy` objects, installs what they name, and writes what became of it into their status.

mod install;

use crate::built_in::built_in_policies;
use crate::limits;
use crate::live::{Live, Slot};
use crate::starting::Starting;
use parking_lot::Mutex;
use sampan_api::RecordKey;
use sampan_api::scheduling::{Mode, SchedulingPolicy, SchedulingPolicyStatus, condition};
use sampan_client::{
    Backoff, BlobSource, Change, Client, EventRecorder, EventType, Informer, Informers, Lister, WorkQueue, reference,
};
use sampan_env::{Env, Tasks};
use sampan_policy_host::{Failed, Installer, Strike, Verdicts, conditions, is_suspended, verdict};
use sampan_reconcile::{Conflict, Error, Reconcile, Requeue, Runtime as Workers, owner, update_status};
use sampan_wasm_runtime::Runtime;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::time::Instant;

/// The parts that the controller works with. The client's identity needs to read, create and update the objects and
/// their status.
pub struct PolicyControllerConfig {
    /// Writes built-in objects and every object's status.
    pub client: Client,
    /// Reads the objects.
    pub informers: Informers,
    /// Compiles and runs components.
    pub runtime: Runtime,
    /// The source of components.
    pub blobs: Arc<dyn BlobSource>,
    /// Tells of failures and faults.
    pub events: EventRecorder,
    /// Time.
    pub env: Env,
    /// The owner of the controller's tasks: they end with it.
    pub tasks: Tasks,
}

/// The form of an object that was last installed, or could not be.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Applied {
    /// Another object of the same name begins at the same generation.
    uid: Option<String>,
    generation: Option<i64>,
    /// Empty: it was refused before there was a component.
    digest: String,
}

impl Applied {
    fn new(object: &SchedulingPolicy, digest: &str) -> Self {
        let meta = &object.metadata;
        Self { uid: meta.uid.clone(), generation: meta.generation, digest: digest.to_owned() }
    }

    fn is_of(&self, object: &SchedulingPolicy) -> bool {
        self.uid == object.metadata.uid && self.generation == object.metadata.generation
    }
}

/// State of one object.
#[derive(Clone, Debug, Default)]
struct Known {
    applied: Option<Applied>,
    /// Time of the last look at its image: its tag may name another one later.
    fetched: Option<Instant>,
    /// The verdicts that its conditions show.
    verdicts: Verdicts,
    /// Calls that its status has.
    told: Option<u64>,
    /// Its last installation failed, and another try may succeed.
    retry: Option<Retry>,
}

/// A form that is tried again later. It is kept here and not in the queue: whatever else brings the object into the queue,
/// its own status among it, is no reason to try sooner.
#[derive(Clone, Debug)]
struct Retry {
    /// The form; its digest is not known.
    of: Applied,
    /// Failures in a row.
    failures: u32,
    until: Instant,
}

struct Shared {
    config: PolicyControllerConfig,
    live: Live,
    installer: Installer,
    objects: Lister<SchedulingPolicy>,
    known: Mutex<HashMap<String, Known>>,
    starting: Starting,
    /// Held while something goes live or ends: what was deleted meanwhile does not come back.
    gate: Mutex<()>,
}

/// Runs until its tasks are drained.
pub struct PolicyController {
    shared: Arc<Shared>,
    informer: Informer,
}

impl std::fmt::Debug for PolicyController {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PolicyController")
    }
}

/// The outcome of an installation that succeeded.
enum Installed {
    /// Checked and fed, of this digest.
    New(Arc<Slot>, String),
    /// The image and the spec are those of before.
    Same,
    /// The object is another by now: it comes again.
    Superseded,
}

impl PolicyController {
    /// # Errors
    /// When the informer cannot be made.
    pub fn new(config: PolicyControllerConfig, live: &Live) -> sampan_client::Result<Self> {
        let informer = config.informers.of::<SchedulingPolicy>()?;
        let shared = Shared {
            live: live.clone(),
            installer: Installer::new(config.runtime.clone(), Arc::clone(&config.blobs), config.env.clone()),
            objects: informer.lister(),
            known: Mutex::default(),
            starting: Starting::default(),
            gate: Mutex::default(),
            config,
        };
        Ok(Self { shared: Arc::new(shared), informer })
    }

    /// Creates the built-in objects that are missing, then watches. Returns at once; work goes on in the tasks.
    pub fn start(self) {
        let tasks = self.shared.config.tasks.clone();
        tasks.spawn_until_cancelled(self.run());
    }

    async fn run(self) {
        let Self { shared, informer } = self;
        let (env, tasks) = (shared.config.env.clone(), shared.config.tasks.clone());
        let built_in = shared.install_built_ins().await;
        if let Err(error) = informer.wait_synced().await {
            tracing::error!(%error, "scheduling policies cannot be watched");
            return;
        }
        let mut workers: Workers =
            Workers::with_backoff("scheduling-policy", &env, &tasks, BACKOFF).timeout(limits::RECONCILE_TIMEOUT);
        // Those that pods cannot be placed without come first.
        built_in.iter().for_each(|name| workers.queue().add(key(name)));
        shared.starting.expect(built_in);
        let (queue, watching) = (workers.queue().clone(), Arc::clone(&shared));
        informer.add_handler(move |change| watching.changed(change, &queue));
        workers.read(&informer);
        let (queue, strikes) = (workers.queue().clone(), Arc::clone(&shared));
        tasks.spawn_until_cancelled(async move { strikes.tell_strikes(&queue).await });
        workers.start(Policies(Arc::clone(&shared)), limits::WORKERS);
        env.sleep(limits::START_WAIT).await;
        shared.starting.is_overdue();
        shared.look_ready();
        if !shared.starting.is_over() {
            tracing::warn!("no pod is scheduled before every built-in scheduling policy is live");
        }
    }
}

/// Of installations and of writes that fail.
const BACKOFF: Backoff = Backoff { base: limits::RETRY_BASE, max: limits::RETRY_MAX };

fn key(name: &str) -> RecordKey {
    RecordKey::new("", name)
}

fn built_in(name: &str) -> Option<SchedulingPolicy> {
    built_in_policies().into_iter().find(|object| owner::name(&object.metadata) == name)
}

/// The reconciler of the objects.
struct Policies(Arc<Shared>);

impl Reconcile for Policies {
    async fn reconcile(&self, key: &RecordKey) -> Result<Requeue, Error> {
        let outcome = self.0.reconcile(&key.name).await;
        self.0.look_ready();
        outcome
    }
}

impl Shared {
    /// Notes an object's change. An object that is gone is taken out at once, without waiting for a worker.
    fn changed(&self, change: &Change, queue: &WorkQueue<RecordKey>) {
        let record = match change {
            Change::Applied { new, .. } => {
                if let Ok(object) = new.typed::<SchedulingPolicy>() {
                    // At once: pods that come from here on are not placed without it.
                    self.live.expect(&object);
                    if object.spec.mode == Mode::Off {
                        let _gate = self.gate.lock();
                        self.live.remove(&new.key.name);
                    }
                }
                new
            }
            Change::Deleted { last } => {
                // A built-in one is made again, and pods are not placed without it meanwhile.
                if built_in(&last.key.name).is_none() {
                    let _gate = self.gate.lock();
                    self.live.remove(&last.key.name);
                    self.live.expect_no_more(&last.key.name);
                }
                last
            }
            Change::Synced | Change::Lost => return,
        };
        queue.add(record.key.clone());
    }

    /// Lets pods be placed once the built-in policies are live and the others were looked at, or were waited for.
    fn look_ready(&self) {
        let objects = self.objects.list();
        if self.starting.is_settled(&objects, |name| self.live.slot(name).is_some()) {
            objects.iter().for_each(|object| self.live.expect(object));
            self.live.set_ready();
        }
    }

    /// Creates those that are missing; returns the names of those that are there.
    async fn install_built_ins(&self) -> Vec<String> {
        let mut there = Vec::new();
        for object in built_in_policies() {
            let name = owner::name(&object.metadata).to_owned();
            loop {
                match self.create(&object).await {
                    Ok(()) => {
                        there.push(name);
                        break;
                    }
                    Err(error) if error.is_retriable() => {
                        tracing::warn!(%error, %name, "a built-in policy is not installed yet");
                        self.config.env.sleep(limits::RETRY_BASE).await;
                    }
                    Err(error) => {
                        tracing::error!(%error, %name, "a built-in policy cannot be installed");
                        break;
                    }
                }
            }
        }
        there
    }

    async fn create(&self, object: &SchedulingPolicy) -> sampan_client::Result<()> {
        match self.config.client.all::<SchedulingPolicy>().create(object).await {
            Err(error) if !error.is_already_exists() => Err(error),
            _ => Ok(()),
        }
    }

    async fn reconcile(&self, name: &str) -> Result<Requeue, Error> {
        let Some(object) = self.objects.get("", name) else {
            self.known.lock().remove(name);
            if let Some(object) = built_in(name) {
                tracing::warn!(%name, "a built-in scheduling policy was deleted: it is made again");
                self.create(&object).await.map_err(Error::of(format!("create scheduling policy {name}")))?;
            }
            return Ok(Requeue::Never);
        };
        if object.spec.mode == Mode::Off {
            let off = verdict(condition::READY, false, "Off", "spec.mode is Off");
            self.with(name, |known| {
                known.applied = None;
                known.verdicts = Verdicts { generation: object.metadata.generation, all: vec![off] };
            });
            self.starting.looked_at(name);
            self.write_status(&object).await?;
            return Ok(Requeue::Never);
        }
        let now = self.config.env.instant();
        let is_known = self.with(name, |known| {
            let fresh = known.fetched.is_some_and(|then| now.duration_since(then) < limits::REFETCH_EVERY);
            fresh && known.applied.as_ref().is_some_and(|applied| applied.is_of(&object))
        });
        let mut retry_at = self.retry_at(&object);
        if !is_known && retry_at.is_none_or(|until| until <= now) {
            let done = match self.installer.in_time(self.install(&object)).await {
                Ok(Installed::New(slot, digest)) => self.go_live(&object, slot, &digest),
                Ok(Installed::Same) => Ok(()),
                Ok(Installed::Superseded) => return Ok(Requeue::Never),
                Err(failed) => Err(failed),
            };
            match done {
                Ok(()) => self.with(name, |known| known.retry = None),
                Err(failed) => self.tell_failed(&object, &failed),
            }
            retry_at = self.retry_at(&object);
        }
        self.starting.looked_at(name);
        self.write_status(&object).await?;
        let wait = retry_at.map(|until| until.saturating_duration_since(self.config.env.instant()));
        Ok(Requeue::After(wait.unwrap_or(limits::STATUS_EVERY).min(limits::STATUS_EVERY)))
    }

    /// Time before which this form is not tried again, if it is to be tried again.
    fn retry_at(&self, object: &SchedulingPolicy) -> Option<Instant> {
        let of = |retry: &&Retry| retry.of.is_of(object);
        self.with(owner::name(&object.metadata), |known| known.retry.as_ref().filter(of).map(|retry| retry.until))
    }

    fn with<T>(&self, name: &str, change: impl FnOnce(&mut Known) -> T) -> T {
        change(self.known.lock().entry(name.to_owned()).or_default())
    }

    fn tell_failed(&self, object: &SchedulingPolicy, failed: &Failed) {
        let name = owner::name(&object.metadata);
        tracing::warn!(policy = name, reason = failed.reason, message = failed.message, "not installed");
        self.config.events.event(reference(object), EventType::Warning, failed.reason, failed.message.clone());
        self.live.expected_fails(name, &format!("{}: {}", failed.reason, failed.message));
        let old = self.live.slot(name).map(|slot| slot.generation);
        let verdicts = Verdicts { generation: object.metadata.generation, all: failed.verdicts(old) };
        let now = self.config.env.instant();
        self.with(name, |known| {
            let last = known.retry.take().filter(|retry| retry.of.is_of(object));
            known.retry = failed.retry.then(|| {
                let failures = last.map_or(0, |last| last.failures).saturating_add(1);
                Retry { of: Applied::new(object, ""), failures, until: now + BACKOFF.wait(failures) }
            });
            known.verdicts = verdicts;
        });
    }

    /// Tells of faults as they come; the status follows by the queue.
    async fn tell_strikes(&self, queue: &WorkQueue<RecordKey>) {
        loop {
            for strike in self.live.strikes().await {
                self.tell(&strike);
                queue.add(key(&strike.name));
            }
        }
    }

    fn tell(&self, strike: &Strike) {
        let Some(object) = self.objects.get("", &strike.name) else { return };
        let fault = format!("{}: {}", strike.fault.cause, strike.fault.message);
        self.config.events.event(reference(&*object), EventType::Warning, "PolicyFault", fault);
        self.with(&strike.name, |known| known.told = None);
        if let Some(why) = &strike.suspended {
            self.config.events.event(reference(&*object), EventType::Warning, "Suspended", why.to_string());
            let verdicts = vec![
                verdict(condition::READY, false, "Suspended", why.to_string()),
                verdict(condition::SUSPENDED, true, strike.fault.cause, why.to_string()),
            ];
            self.with(&strike.name, |known| known.verdicts.set(verdicts));
        }
    }

    async fn write_status(&self, object: &SchedulingPolicy) -> Result<(), Error> {
        let name = owner::name(&object.metadata);
        let api = self.config.client.all::<SchedulingPolicy>();
        let change = |object: &mut SchedulingPolicy| {
            let status = self.status(object);
            let differs = object.status.as_ref() != Some(&status);
            object.status = Some(status);
            differs
        };
        let calls = self.live.slot(name).map(|slot| slot.report().calls);
        update_status(&api, object, Conflict::Reread, change).await?;
        self.with(name, |known| known.told = calls);
        Ok(())
    }

    /// The status of an object: the form that decides now, and the outcome of the last form that was tried, which is
    /// the one of `observedGeneration`.
    fn status(&self, object: &SchedulingPolicy) -> SchedulingPolicyStatus {
        let name = owner::name(&object.metadata);
        let mut status = object.status.clone().unwrap_or_default();
        let verdicts = self.with(name, |known| known.verdicts.clone());
        if verdicts.generation.is_some() {
            status.observed_generation = verdicts.generation;
        }
        let slot = self.live.slot(name);
        // A suspension is of one component; where none is live it is kept for when that comes again.
        let suspended = slot.as_ref().is_none_or(|slot| slot.report().suspended);
        status.conditions = conditions(&status.conditions, &verdicts, suspended, &self.config.env);
        match slot {
            None => {
                if !is_suspended(&status.conditions, verdicts.generation) {
                    status.digest = None;
                }
                status.exports.clear();
            }
            Some(slot) => {
                let report = slot.report();
                let micros = |d: std::time::Duration| i64::try_from(d.as_micros()).unwrap_or(i64::MAX);
                let points = [("filter", slot.prepared.filter), ("score", slot.prepared.score)];
                status.digest = Some(slot.prepared.component.digest().to_owned());
                status.exports = points.iter().filter(|(_, has)| *has).map(|(point, _)| (*point).to_owned()).collect();
                status.calls = report.calls as i64;
                status.p50_microseconds = report.p50.map(micros);
                status.p99_microseconds = report.p99.map(micros);
                let faults = report.faults.iter().map(|(cause, count)| ((*cause).to_owned(), *count as i64));
                status.faults = faults.collect();
            }
        }
        status
    }
}
