//! Watches `SchedulingPolicy` objects, installs what they name, and writes what became of it into their status.

use crate::built_in::built_in_policies;
use crate::limits;
use crate::live::Live;
use crate::prepare::{PrepareError, Prepared, begin, check_fixture, fixtures};
use crate::starting::Starting;
use parking_lot::Mutex;
use sampan_api::RecordKey;
use sampan_api::scheduling::{Mode, SchedulingPolicy, SchedulingPolicySpec, SchedulingPolicyStatus, condition};
use sampan_client::{
    Backoff, BlobSource, Change, Client, EventRecorder, EventType, Informer, Informers, Lister, WorkQueue, reference,
};
use sampan_env::{Env, Tasks};
use sampan_policy_host::{
    Failed, Installer, Stage, Strike, Verdict, Verdicts, Work, allowance, conditions, is_suspended, verdict,
    was_suspended,
};
use sampan_reconcile::{Conflict, Error, Reconcile, Requeue, Runtime as Workers, owner, update_status};
use sampan_wasm_runtime::Runtime;
use sampan_wasm_runtime::policy::PolicyComponent;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::time::Instant;

/// What the controller works with. The client's identity needs to read, create and update the objects and their status.
pub struct PolicyControllerConfig {
    /// Writes built-in objects and every object's status.
    pub client: Client,
    /// Reads the objects.
    pub informers: Informers,
    /// Compiles and runs components.
    pub runtime: Runtime,
    /// Where components come from.
    pub blobs: Arc<dyn BlobSource>,
    /// Tells of failures and faults.
    pub events: EventRecorder,
    /// Time.
    pub env: Env,
    /// What the controller's work ends with.
    pub tasks: Tasks,
}

/// What an object was last installed from, or could not be.
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

/// What is known of one object.
#[derive(Clone, Debug, Default)]
struct Known {
    applied: Option<Applied>,
    /// When its image was looked at last: its tag may name another one later.
    fetched: Option<Instant>,
    /// What its conditions say.
    verdicts: Verdicts,
    /// Calls that its status has.
    told: Option<u64>,
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

/// How an installation ended well.
enum Installed {
    /// Checked, of this digest.
    New(Box<Prepared>, String),
    /// The same image and spec as before.
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
        let backoff = Backoff { base: limits::RETRY_BASE, max: limits::RETRY_MAX };
        let mut workers: Workers =
            Workers::with_backoff("scheduling-policy", &env, &tasks, backoff).timeout(limits::RECONCILE_TIMEOUT);
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
        self.0.starting.looked_at(&key.name);
        self.0.look_ready();
        outcome
    }
}

impl Shared {
    /// What ends does so here: it waits for no worker.
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
            self.write_status(&object).await?;
            return Ok(Requeue::Never);
        }
        let now = self.config.env.instant();
        let is_known = self.with(name, |known| {
            let fresh = known.fetched.is_some_and(|then| now.duration_since(then) < limits::REFETCH_EVERY);
            fresh && known.applied.as_ref().is_some_and(|applied| applied.is_of(&object))
        });
        let mut failed = None;
        if !is_known {
            match self.installer.in_time(self.install(&object)).await {
                Ok(Installed::New(prepared, digest)) => failed = self.go_live(&object, *prepared, &digest).err(),
                Ok(Installed::Same) => {}
                Ok(Installed::Superseded) => return Ok(Requeue::Never),
                Err(failure) => failed = Some(failure),
            }
        }
        if let Some(failed) = &failed {
            self.tell_failed(&object, failed);
        }
        self.write_status(&object).await?;
        match failed {
            Some(failed) if failed.retry => Err(Error::Invalid(format!("{}: {}", failed.reason, failed.message))),
            _ => Ok(Requeue::After(limits::STATUS_EVERY)),
        }
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
        self.with(name, |known| known.verdicts = verdicts);
    }

    /// Fetches, compiles and checks what the object names.
    async fn install(&self, object: &Arc<SchedulingPolicy>) -> Result<Installed, Failed> {
        let name = owner::name(&object.metadata);
        let refused = Applied::new(object, "");
        if self.with(name, |known| known.applied.as_ref() == Some(&refused)) {
            return Ok(Installed::Same);
        }
        // What failed for good in this form fails again.
        let tried = |failed: Failed, applied: &Applied| {
            if !failed.retry {
                self.with(name, |known| known.applied = Some(applied.clone()));
            }
            failed
        };
        self.tell_under_way(object).await;
        let component = self.installer.fetch(&object.spec.component).await.map_err(|failed| tried(failed, &refused))?;
        self.with(name, |known| known.fetched = Some(self.config.env.instant()));
        let applied = Applied::new(object, component.digest());
        if self.with(name, |known| known.applied.as_ref() == Some(&applied)) {
            return Ok(Installed::Same);
        }
        let checked = async {
            let allowance = allowance(object.spec.budget.as_ref())
                .map_err(|error| Failed::new("FailedCheck", error.to_string(), Stage::Fetch, false))?;
            self.live.has_room(name, component.digest(), allowance.memory).map_err(no_room)?;
            let compiled = self.installer.compile(&component).await?;
            self.check(object, compiled, allowance.memory).await
        };
        match checked.await.map_err(|failed| tried(failed, &applied))? {
            Some(prepared) => Ok(Installed::New(Box::new(prepared), applied.digest)),
            None => Ok(Installed::Superseded),
        }
    }

    /// Says that another form decides while this one is being installed.
    async fn tell_under_way(&self, object: &SchedulingPolicy) {
        let name = owner::name(&object.metadata);
        let Some(slot) = self.live.slot(name).filter(|slot| slot.generation != object.metadata.generation) else {
            return;
        };
        let number = |generation: Option<i64>| generation.unwrap_or_default();
        let message = format!(
            "generation {} decides; generation {} is being installed",
            number(slot.generation),
            number(object.metadata.generation)
        );
        self.with(name, |known| {
            let ready = known.verdicts.all.iter_mut().find(|one| one.kind == condition::READY);
            if let Some(ready) = ready {
                ready.message = message;
            }
        });
        if let Err(error) = self.write_status(object).await {
            tracing::debug!(%error, %name, "its status does not say yet that it is being installed");
        }
    }

    /// Runs the component's own part of the checks, a fixture a turn. `None`: the object is another by now.
    async fn check(
        &self,
        object: &Arc<SchedulingPolicy>,
        component: PolicyComponent,
        memory: u64,
    ) -> Result<Option<Prepared>, Failed> {
        let spec = Arc::new(object.spec.clone());
        let (prepared, mut work) = self
            .turn(memory, {
                let spec = Arc::clone(&spec);
                move || {
                    let mut work = Work::default();
                    begin(&component, &spec, &mut work).map(|prepared| (Arc::new(prepared), work))
                }
            })
            .await?;
        for at in 0..fixtures(&spec).len() {
            if !self.is_wanted(object) {
                return Ok(None);
            }
            let (prepared, spec) = (Arc::clone(&prepared), Arc::clone(&spec));
            work = self
                .turn(memory, move || {
                    let mut work = work;
                    check_fixture(&prepared, &fixtures(&spec)[at], &mut work).map(|()| work)
                })
                .await?;
        }
        Ok(Some(Arc::unwrap_or_clone(prepared)))
    }

    /// One step of a check, off the async threads since it runs the guest.
    async fn turn<T: Send + 'static>(
        &self,
        memory: u64,
        step: impl FnOnce() -> Result<T, PrepareError> + Send + 'static,
    ) -> Result<T, Failed> {
        let turn = self.live.turns().take(memory).await;
        let done = sampan_env::blocking(move || {
            let outcome = step();
            drop(turn);
            outcome
        });
        let outcome = done.await.map_err(|error| Failed::new("FailedCheck", error.to_string(), Stage::Check, true))?;
        outcome.map_err(|error| {
            let reason = if matches!(error, PrepareError::Fixture { .. }) { "FailedFixture" } else { "FailedCheck" };
            Failed::new(reason, error.to_string(), Stage::Check, false)
        })
    }

    /// Whether this is still what the object says.
    fn is_wanted(&self, object: &SchedulingPolicy) -> bool {
        let now = self.objects.get("", owner::name(&object.metadata));
        now.is_some_and(|now| Applied::new(&now, "").is_of(object) && now.spec.mode != Mode::Off)
    }

    fn go_live(&self, object: &SchedulingPolicy, prepared: Prepared, digest: &str) -> Result<(), Failed> {
        let name = owner::name(&object.metadata);
        let suspended = (!prepared.built_in && was_suspended(object, digest)).then(|| suspension(object));
        let mut verdicts = vec![
            verdict(condition::READY, suspended.is_none(), if suspended.is_some() { "Suspended" } else { "Live" }, ""),
            verdict(condition::COMPILED, true, "Compiled", ""),
            verdict(condition::FIXTURES_PASSED, true, "Passed", format!("{} fixtures", fixtures(&object.spec).len())),
        ];
        self.judge_profiles(&object.spec, &mut verdicts);
        {
            let _gate = self.gate.lock();
            if !self.is_wanted(object) {
                return Ok(());
            }
            self.live.install(name, prepared, object.metadata.generation, suspended).map_err(no_room)?;
        }
        self.with(name, |known| {
            known.applied = Some(Applied::new(object, digest));
            known.verdicts = Verdicts { generation: object.metadata.generation, all: verdicts };
        });
        Ok(())
    }

    /// A policy of profiles that are not there takes part in nothing.
    fn judge_profiles(&self, spec: &SchedulingPolicySpec, verdicts: &mut Vec<Verdict>) {
        if spec.profiles.is_empty() {
            return;
        }
        let there = self.live.profile_names();
        let missing: Vec<&str> =
            spec.profiles.iter().filter(|name| !there.contains(name)).map(String::as_str).collect();
        if missing.is_empty() {
            verdicts.push(verdict(condition::PROFILES_FOUND, true, "Found", ""));
            return;
        }
        let message = format!("no profile is named {}; there is {}", missing.join(", "), there.join(", "));
        if missing.len() == spec.profiles.len()
            && let Some(ready) = verdicts.iter_mut().find(|one| one.kind == condition::READY)
        {
            *ready = verdict(condition::READY, false, "NoProfile", message.clone());
        }
        verdicts.push(verdict(condition::PROFILES_FOUND, false, "NotFound", message));
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

    /// What decides now, and what became of the last form that was tried: `observedGeneration` is that form's.
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

/// Why an object was suspended, as its own condition has it.
fn suspension(object: &SchedulingPolicy) -> Arc<str> {
    let conditions = object.status.iter().flat_map(|status| &status.conditions);
    let found = conditions.into_iter().find(|one| one.type_ == condition::SUSPENDED);
    found.map_or_else(|| "suspended".into(), |one| one.message.as_str().into())
}

fn no_room(error: sampan_policy_host::TooMuchMemory) -> Failed {
    Failed::new("InsufficientMemory", error.to_string(), Stage::Fetch, true)
}
