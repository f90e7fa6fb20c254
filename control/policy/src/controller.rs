//! Watches `SchedulingPolicy` objects, brings what they name to life, and writes what became of it into their status.

use crate::built_in::{BUILT_IN_IMAGE, built_in_policies};
use crate::limits;
use crate::live::{Live, Struck};
use crate::prepare::{PrepareError, Prepared, prepare};
use crate::verdict::{Failed, Stage, Verdict, conditions, is_suspended, verdict, was_suspended};
use parking_lot::Mutex;
use sampan_api::scheduling::{FailurePolicy, Mode, SchedulingPolicy, SchedulingPolicyStatus, condition};
use sampan_client::{
    Backoff, Blob, BlobSource, Change, Client, EventRecorder, EventType, Informer, Informers, Lister, Reference,
    WorkQueue, reference,
};
use sampan_env::{Env, Tasks};
use sampan_wasm_runtime::{Role, Runtime};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What the controller works with. The client's identity needs to read the objects and to write their status.
pub struct PolicyControllerConfig {
    pub client: Client,
    pub informers: Informers,
    pub runtime: Runtime,
    pub blobs: Arc<dyn BlobSource>,
    pub events: EventRecorder,
    pub env: Env,
    pub tasks: Tasks,
}

/// What an object was last brought to life from, or could not be.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Applied {
    /// Another object of the same name begins at the same generation.
    uid: Option<String>,
    generation: Option<i64>,
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

struct Shared {
    config: PolicyControllerConfig,
    live: Live,
    queue: WorkQueue<String>,
    applied: Mutex<HashMap<String, Applied>>,
    /// Objects whose image is to be looked at again though they have not changed.
    recheck: Mutex<HashSet<String>>,
    /// Until pods may be placed.
    starting: Mutex<Option<Starting>>,
    /// Conditions that the last preparation ended with, by object.
    verdicts: Mutex<HashMap<String, Vec<Verdict>>>,
}

/// What pods still wait for at the start.
#[derive(Debug, Default)]
struct Starting {
    /// Built-in objects that are known to be in the API.
    built_in: Vec<String>,
    /// Objects that were looked at once, for better or worse.
    looked_at: HashSet<String>,
    /// [`limits::START_WAIT`] is over.
    overdue: bool,
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

impl PolicyController {
    /// # Errors
    /// When the informer cannot be made.
    pub fn new(config: PolicyControllerConfig, live: &Live) -> sampan_client::Result<Self> {
        let informer = config.informers.of::<SchedulingPolicy>()?;
        let backoff = Backoff { base: limits::RETRY_BASE, max: limits::RETRY_MAX };
        let queue = WorkQueue::new(&config.env, backoff);
        let shared = Shared {
            config,
            live: live.clone(),
            queue,
            applied: Mutex::default(),
            recheck: Mutex::default(),
            starting: Mutex::new(Some(Starting::default())),
            verdicts: Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared), informer })
    }

    /// Creates the built-in objects that are missing, then watches. Returns at once; work goes on in the tasks.
    pub fn start(self) {
        let tasks = self.shared.config.tasks.clone();
        let shared = Arc::clone(&self.shared);
        let informer = self.informer;
        let lister = informer.lister::<SchedulingPolicy>();
        tasks.spawn_until_cancelled(async move {
            let built_in = shared.install_built_ins().await;
            if let Err(error) = informer.wait_synced().await {
                tracing::error!(%error, "scheduling policies cannot be watched");
                return;
            }
            // Those that pods cannot be placed without come first.
            built_in.iter().for_each(|name| shared.queue.add(name.clone()));
            if let Some(starting) = shared.starting.lock().as_mut() {
                starting.built_in = built_in;
            }
            let queue = shared.queue.clone();
            informer.add_handler(move |change| match change {
                Change::Applied { new, .. } => queue.add(new.key.name.to_string()),
                Change::Deleted { last } => queue.add(last.key.name.to_string()),
                Change::Synced | Change::Lost => {}
            });
            for _ in 0..limits::WORKERS {
                let (worker, lister) = (Arc::clone(&shared), lister.clone());
                shared.config.tasks.spawn_until_cancelled(async move { worker.work(&lister).await });
            }
            let (counts, counts_lister) = (Arc::clone(&shared), lister.clone());
            shared.config.tasks.spawn_until_cancelled(async move { counts.report(&counts_lister).await });
            shared.config.env.sleep(limits::START_WAIT).await;
            if let Some(starting) = shared.starting.lock().as_mut() {
                starting.overdue = true;
            }
            shared.look_ready(&lister);
            if shared.starting.lock().is_some() {
                tracing::warn!("no pod is scheduled before every built-in scheduling policy is live");
            }
        });
    }
}

/// Without which no pod may be placed.
fn is_needed(object: &SchedulingPolicy) -> bool {
    let spec = &object.spec;
    spec.component == BUILT_IN_IMAGE && spec.mode != Mode::Off && spec.failure_policy == FailurePolicy::Fail
}

impl Shared {
    async fn work(&self, lister: &Lister<SchedulingPolicy>) {
        while let Some(name) = self.queue.next().await {
            self.reconcile(&name, lister).await;
            if let Some(starting) = self.starting.lock().as_mut() {
                starting.looked_at.insert(name.clone());
            }
            self.look_ready(lister);
        }
    }

    /// Lets pods be placed once the built-in policies are live and the others were looked at, or were waited for.
    fn look_ready(&self, lister: &Lister<SchedulingPolicy>) {
        let mut starting = self.starting.lock();
        let Some(now) = starting.as_ref() else { return };
        let name = |object: &SchedulingPolicy| object.metadata.name.clone().unwrap_or_default();
        let objects = lister.list();
        let seen = |built_in: &String| objects.iter().any(|object| name(object) == *built_in);
        let all_seen = now.overdue || now.built_in.iter().all(seen);
        let is_settled = |object: &Arc<SchedulingPolicy>| {
            let name = name(object);
            if is_needed(object) {
                self.live.slot(&name).is_some()
            } else {
                now.overdue || now.looked_at.contains(&name)
            }
        };
        if all_seen && objects.iter().all(is_settled) {
            *starting = None;
            self.live.set_ready();
        }
    }

    /// Creates those that are missing; returns the names of those that are there.
    async fn install_built_ins(&self) -> Vec<String> {
        let api = self.config.client.all::<SchedulingPolicy>();
        let mut there = Vec::new();
        for object in built_in_policies() {
            let name = object.metadata.name.clone().unwrap_or_default();
            loop {
                match api.create(&object).await {
                    Ok(_) => {
                        there.push(name);
                        break;
                    }
                    Err(error) if error.is_already_exists() => {
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

    async fn reconcile(&self, name: &str, lister: &Lister<SchedulingPolicy>) {
        let Some(object) = lister.get("", name) else {
            self.live.remove(name);
            self.applied.lock().remove(name);
            self.verdicts.lock().remove(name);
            self.queue.forget(&name.to_owned());
            return;
        };
        if object.spec.mode == Mode::Off {
            self.live.remove(name);
            self.applied.lock().remove(name);
            let off = verdict(condition::READY, false, "Off", "spec.mode is Off");
            self.verdicts.lock().insert(name.to_owned(), vec![off]);
            self.write_status(&object).await;
            return;
        }
        // Most of what is heard is its own status. Its image is read again only when there is reason to.
        let is_known = self.applied.lock().get(name).is_some_and(|applied| applied.is_of(&object));
        if !self.recheck.lock().remove(name) && is_known {
            return;
        }
        match self.bring(&object).await {
            Ok(Some((prepared, digest))) => {
                let suspended = !prepared.built_in && was_suspended(&object, &digest);
                let passed = format!("{} fixtures", object.spec.fixtures.len());
                let verdicts = vec![
                    verdict(condition::READY, !suspended, if suspended { "Suspended" } else { "Live" }, ""),
                    verdict(condition::COMPILED, true, "Compiled", ""),
                    verdict(condition::FIXTURES_PASSED, true, "Passed", passed),
                ];
                self.live.install(name, prepared, suspended);
                self.applied.lock().insert(name.to_owned(), Applied::new(&object, &digest));
                self.verdicts.lock().insert(name.to_owned(), verdicts);
                self.queue.forget(&name.to_owned());
            }
            // Nothing new: the same image.
            Ok(None) => return,
            Err(failed) => {
                tracing::warn!(policy = name, reason = failed.reason, message = failed.message, "not brought to life");
                let regarding = reference(&*object);
                let text = failed.message.clone();
                self.config.events.event(regarding, EventType::Warning, failed.reason, text);
                self.verdicts.lock().insert(name.to_owned(), failed.verdicts(self.live.slot(name).is_some()));
                if failed.retry {
                    self.queue.add_rate_limited(name.to_owned());
                }
            }
        }
        self.write_status(&object).await;
    }

    /// Fetches, compiles and checks what the object names; `None` when that was done already.
    async fn bring(&self, object: &SchedulingPolicy) -> Result<Option<(Prepared, String)>, Failed> {
        let name = object.metadata.name.as_deref().unwrap_or_default();
        let mut applied = Applied::new(object, "");
        // What failed for good in this form fails again.
        let tried = |failed: Failed, applied: &Applied| {
            if !failed.retry {
                self.applied.lock().insert(name.to_owned(), applied.clone());
            }
            failed
        };
        let image = match Reference::parse(&object.spec.component) {
            Ok(image) => image,
            Err(_) if self.applied.lock().get(name) == Some(&applied) => return Ok(None),
            Err(error) => {
                let failed = Failed::new("InvalidComponent", error.to_string(), Stage::Fetch, false);
                return Err(tried(failed, &applied));
            }
        };
        let blob = self
            .config
            .blobs
            .fetch(&image)
            .await
            .map_err(|error| Failed::new("FailedFetch", error.to_string(), Stage::Fetch, true))?;
        applied.digest.clone_from(&blob.digest);
        if self.applied.lock().get(name) == Some(&applied) {
            return Ok(None);
        }
        self.make(object, blob).await.map(Some).map_err(|failed| tried(failed, &applied))
    }

    async fn make(&self, object: &SchedulingPolicy, blob: Blob) -> Result<(Prepared, String), Failed> {
        let bytes = blob.bytes.clone();
        let runtime = &self.config.runtime;
        let compile =
            |error: sampan_wasm_runtime::Error| Failed::new("FailedCompile", error.to_string(), Stage::Compile, false);
        let artifact = runtime.load(Role::Policy, &blob.digest, || async { Ok(bytes) }).await.map_err(compile)?;
        let component = runtime.policy(&artifact).map_err(compile)?;
        let spec = object.spec.clone();
        // Off the async threads: it runs the guest.
        let checked = tokio::task::spawn_blocking(move || prepare(&component, &spec)).await;
        let checked = checked.map_err(|error| Failed::new("FailedCheck", error.to_string(), Stage::Check, true))?;
        let prepared = checked.map_err(|error| {
            let reason = if matches!(error, PrepareError::Fixture { .. }) { "FailedFixture" } else { "FailedCheck" };
            Failed::new(reason, error.to_string(), Stage::Check, false)
        })?;
        Ok((prepared, blob.digest))
    }

    /// Tells of faults as they come, and writes counts now and then.
    async fn report(&self, lister: &Lister<SchedulingPolicy>) {
        let mut counted: HashMap<String, u64> = HashMap::new();
        let mut refetch = self.config.env.instant() + limits::REFETCH_EVERY;
        loop {
            tokio::select! {
                () = self.live.heard.notified() => {
                    for struck in self.live.take_struck() {
                        self.tell(&struck, lister).await;
                    }
                }
                () = self.config.env.sleep(limits::STATUS_EVERY) => {
                    let now = self.config.env.instant();
                    if now >= refetch {
                        refetch = now + limits::REFETCH_EVERY;
                        self.refetch(lister);
                    }
                    for name in self.live.names() {
                        let Some(slot) = self.live.slot(&name) else { continue };
                        let calls = slot.report().calls;
                        if counted.insert(name.clone(), calls) != Some(calls)
                            && let Some(object) = lister.get("", &name)
                        {
                            self.write_status(&object).await;
                        }
                    }
                }
            }
        }
    }

    /// A tag may name another image by now.
    fn refetch(&self, lister: &Lister<SchedulingPolicy>) {
        for object in lister.list() {
            let name = object.metadata.name.clone().unwrap_or_default();
            self.recheck.lock().insert(name.clone());
            self.queue.add(name);
        }
    }

    async fn tell(&self, struck: &Struck, lister: &Lister<SchedulingPolicy>) {
        let Some(object) = lister.get("", &struck.name) else { return };
        let fault = format!("{}: {}", struck.fault.cause, struck.fault.message);
        self.config.events.event(reference(&*object), EventType::Warning, "PolicyFault", fault.clone());
        if struck.suspended {
            let message = format!(
                "suspended after {} faults in {} s, the last one {fault}; pods are scheduled without it until its \
                 spec or its component changes",
                limits::STRIKES,
                limits::STRIKE_WINDOW.as_secs()
            );
            self.config.events.event(reference(&*object), EventType::Warning, "Suspended", message.clone());
            let verdicts = vec![
                verdict(condition::READY, false, "Suspended", message.clone()),
                verdict(condition::SUSPENDED, true, struck.fault.cause, message),
            ];
            let mut all = self.verdicts.lock();
            let known = all.entry(struck.name.clone()).or_default();
            known.retain(|old| verdicts.iter().all(|new| new.kind != old.kind));
            known.extend(verdicts);
        }
        self.write_status(&object).await;
    }

    async fn write_status(&self, object: &SchedulingPolicy) {
        let name = object.metadata.name.clone().unwrap_or_default();
        let api = self.config.client.all::<SchedulingPolicy>();
        let mut current = object.clone();
        for _ in 0..limits::STATUS_WRITES {
            let status = self.status(&current);
            if current.status.as_ref() == Some(&status) {
                return;
            }
            current.status = Some(status);
            match api.update_status(&name, &current).await {
                Ok(_) => return,
                Err(error) if error.is_conflict() => match api.get_opt(&name).await {
                    Ok(Some(newer)) => current = newer,
                    Ok(None) => return,
                    Err(error) => {
                        tracing::debug!(%error, %name, "the status of a policy cannot be read");
                        return;
                    }
                },
                Err(error) => {
                    if !error.is_not_found() {
                        tracing::warn!(%error, %name, "the status of a policy cannot be written");
                    }
                    return;
                }
            }
        }
    }

    fn status(&self, object: &SchedulingPolicy) -> SchedulingPolicyStatus {
        let name = object.metadata.name.as_deref().unwrap_or_default();
        let mut status = object.status.clone().unwrap_or_default();
        status.observed_generation = object.metadata.generation;
        let verdicts = self.verdicts.lock().get(name).cloned().unwrap_or_default();
        let slot = self.live.slot(name);
        // A suspension is of one component; where none is live it is kept for when that comes again.
        let suspended = slot.as_ref().is_none_or(|slot| slot.report().suspended);
        let generation = object.metadata.generation;
        status.conditions = conditions(&status.conditions, &verdicts, generation, suspended, &self.config.env);
        match slot {
            None => {
                if !is_suspended(&status.conditions, generation) {
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
