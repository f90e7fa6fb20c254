//! Watches `SchedulingPolicy` objects, brings what they name to life, and writes what became of it into their status.

use crate::built_in::built_in_policies;
use crate::limits;
use crate::live::{Live, Struck};
use crate::prepare::{PrepareError, Prepared, prepare};
use parking_lot::Mutex;
use sampan_api::k8s::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use sampan_api::scheduling::{Mode, SchedulingPolicy, SchedulingPolicyStatus, condition};
use sampan_client::{
    Backoff, BlobSource, Change, Client, EventRecorder, EventType, Informer, Informers, Lister, Reference, WorkQueue,
    reference,
};
use sampan_env::{Env, Tasks};
use sampan_wasm_runtime::{Role, Runtime};
use std::collections::HashMap;
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

/// What an object was last brought to life from.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Applied {
    generation: Option<i64>,
    digest: String,
}

struct Shared {
    config: PolicyControllerConfig,
    live: Live,
    queue: WorkQueue<String>,
    applied: Mutex<HashMap<String, Applied>>,
    /// Conditions that the last preparation ended with, by object.
    verdicts: Mutex<HashMap<String, Vec<Verdict>>>,
}

/// One condition, before it has its times.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Verdict {
    kind: &'static str,
    holds: bool,
    reason: &'static str,
    message: String,
}

fn verdict(kind: &'static str, holds: bool, reason: &'static str, message: impl Into<String>) -> Verdict {
    let message: String = message.into();
    Verdict { kind, holds, reason, message: message.chars().take(limits::MESSAGE_CHARS).collect() }
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
        let shared =
            Shared { config, live: live.clone(), queue, applied: Mutex::default(), verdicts: Mutex::default() };
        Ok(Self { shared: Arc::new(shared), informer })
    }

    /// Creates the built-in objects that are missing, then watches. Returns at once; work goes on in the tasks.
    pub fn start(self) {
        let tasks = self.shared.config.tasks.clone();
        let shared = Arc::clone(&self.shared);
        let queue = shared.queue.clone();
        self.informer.add_handler(move |change| match change {
            Change::Applied { new, .. } => queue.add(new.key.name.to_string()),
            Change::Deleted { last } => queue.add(last.key.name.to_string()),
            Change::Synced | Change::Lost => {}
        });
        let informer = self.informer;
        let lister = informer.lister::<SchedulingPolicy>();
        tasks.spawn_until_cancelled(async move {
            shared.install_built_ins().await;
            if let Err(error) = informer.wait_synced().await {
                tracing::error!(%error, "scheduling policies cannot be watched");
                return;
            }
            // The first pass in the foreground: pods are placed by all policies or by none.
            for record in informer.store().list() {
                shared.reconcile(&record.key.name, &lister).await;
            }
            shared.live.set_ready();
            let counts = Arc::clone(&shared);
            let counts_lister = lister.clone();
            shared.config.tasks.spawn_until_cancelled(async move { counts.report(&counts_lister).await });
            while let Some(work) = shared.queue.next().await {
                shared.reconcile(&work, &lister).await;
            }
        });
    }
}

impl Shared {
    async fn install_built_ins(&self) {
        let api = self.config.client.all::<SchedulingPolicy>();
        for object in built_in_policies() {
            let name = object.metadata.name.clone().unwrap_or_default();
            loop {
                match api.create(&object).await {
                    Ok(_) => break,
                    Err(error) if error.is_already_exists() => break,
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
    }

    async fn reconcile(&self, name: &str, lister: &Lister<SchedulingPolicy>) {
        let Some(object) = lister.get("", name) else {
            self.live.remove(name);
            self.applied.lock().remove(name);
            self.verdicts.lock().remove(name);
            self.queue.forget(&name.to_owned());
            return;
        };
        let generation = object.metadata.generation;
        if object.spec.mode == Mode::Off {
            self.live.remove(name);
            self.applied.lock().remove(name);
            let off = verdict(condition::READY, false, "Off", "spec.mode is Off");
            self.verdicts.lock().insert(name.to_owned(), vec![off]);
            self.write_status(&object).await;
            return;
        }
        match self.bring(&object).await {
            Ok(Some((prepared, digest))) => {
                let suspended = was_suspended(&object, &digest);
                let passed = format!("{} fixtures", object.spec.fixtures.len());
                let verdicts = vec![
                    verdict(condition::READY, !suspended, if suspended { "Suspended" } else { "Live" }, ""),
                    verdict(condition::COMPILED, true, "Compiled", ""),
                    verdict(condition::FIXTURES_PASSED, true, "Passed", passed),
                ];
                self.live.install(name, prepared, suspended);
                self.applied.lock().insert(name.to_owned(), Applied { generation, digest });
                self.verdicts.lock().insert(name.to_owned(), verdicts);
                self.queue.forget(&name.to_owned());
            }
            // Nothing new: its own status came back.
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

    /// Fetches, compiles and checks what the object names; `None` when that is live already.
    async fn bring(&self, object: &SchedulingPolicy) -> Result<Option<(Prepared, String)>, Failed> {
        let image = Reference::parse(&object.spec.component)
            .map_err(|error| Failed::new("InvalidComponent", error.to_string(), Stage::Fetch, false))?;
        let blob = self
            .config
            .blobs
            .fetch(&image)
            .await
            .map_err(|error| Failed::new("FailedFetch", error.to_string(), Stage::Fetch, true))?;
        let applied = Applied { generation: object.metadata.generation, digest: blob.digest.clone() };
        let name = object.metadata.name.as_deref().unwrap_or_default();
        if self.applied.lock().get(name) == Some(&applied) {
            return Ok(None);
        }
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
        Ok(Some((prepared, blob.digest)))
    }

    /// Tells of faults as they come, and writes counts now and then.
    async fn report(&self, lister: &Lister<SchedulingPolicy>) {
        let mut counted: HashMap<String, u64> = HashMap::new();
        loop {
            tokio::select! {
                () = self.live.heard.notified() => {
                    for struck in self.live.take_struck() {
                        self.tell(&struck, lister).await;
                    }
                }
                () = self.config.env.sleep(limits::STATUS_EVERY) => {
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
        status.conditions = conditions(&status.conditions, &verdicts, object.metadata.generation, &self.config.env);
        match self.live.slot(name) {
            None => {
                status.digest = None;
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

/// The object was suspended in this form: a restart does not give it another three tries.
fn was_suspended(object: &SchedulingPolicy, digest: &str) -> bool {
    let Some(status) = &object.status else { return false };
    status.digest.as_deref() == Some(digest)
        && status.conditions.iter().any(|found| {
            found.type_ == condition::SUSPENDED
                && found.status == "True"
                && found.observed_generation == object.metadata.generation
        })
}

fn conditions(old: &[Condition], verdicts: &[Verdict], generation: Option<i64>, env: &Env) -> Vec<Condition> {
    let now = || {
        let since = env.now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Time(sampan_api::k8s::jiff::Timestamp::from_second(since.as_secs() as i64).unwrap_or_default())
    };
    let mut made: Vec<Condition> = verdicts
        .iter()
        .map(|verdict| {
            let status = if verdict.holds { "True" } else { "False" };
            let same = old.iter().find(|old| old.type_ == verdict.kind && old.status == status);
            Condition {
                type_: verdict.kind.to_owned(),
                status: status.to_owned(),
                reason: verdict.reason.to_owned(),
                message: verdict.message.clone(),
                observed_generation: generation,
                last_transition_time: same.map_or_else(now, |same| same.last_transition_time.clone()),
            }
        })
        .collect();
    // A suspension of this very generation stays on record.
    let kept = old.iter().filter(|old| {
        old.type_ == condition::SUSPENDED
            && old.observed_generation == generation
            && made.iter().all(|new| new.type_ != old.type_)
    });
    let kept: Vec<Condition> = kept.cloned().collect();
    made.extend(kept);
    made.sort_by(|a, b| a.type_.cmp(&b.type_));
    made
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Fetch,
    Compile,
    Check,
}

/// Why an object was not brought to life.
struct Failed {
    reason: &'static str,
    message: String,
    stage: Stage,
    /// It may go better by itself.
    retry: bool,
}

impl Failed {
    fn new(reason: &'static str, message: String, stage: Stage, retry: bool) -> Self {
        Self { reason, message, stage, retry }
    }

    /// What was live before stays live: then it is still ready, in its old form.
    fn verdicts(&self, old_is_live: bool) -> Vec<Verdict> {
        let text =
            if old_is_live { format!("the old form stays live: {}", self.message) } else { self.message.clone() };
        let mut all = vec![verdict(condition::READY, old_is_live, self.reason, text)];
        if self.stage == Stage::Compile {
            all.push(verdict(condition::COMPILED, false, self.reason, self.message.clone()));
        }
        if self.stage == Stage::Check {
            all.push(verdict(condition::COMPILED, true, "Compiled", ""));
            all.push(verdict(condition::FIXTURES_PASSED, false, self.reason, self.message.clone()));
        }
        all
    }
}
