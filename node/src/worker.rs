//! One pod's worker: it plans, acts, waits for what happens, and has it written down (`report`).

use crate::address::Addresses;
use crate::container::{self, ContainerPlan};
use crate::image::{self, ERR_IMAGE_PULL, IMAGE_PULL_BACK_OFF};
use crate::ledger::Ledger;
use crate::limits::{DELETION_GRACE_DEFAULT, START_BACKOFF_FIRST, START_BACKOFF_MAX, STATUS_RETRY};
use crate::logs::{ContainerLogs, RunLog};
use crate::observed::{CONTAINER_CREATING, ContainerState, Observed, Terminated};
use crate::plan::{Action, RestartPolicy, Wanted, plan, quick_ends_after};
use crate::runtime::{ContainerExit, ImageError, Launch, LaunchError, PodRuntime, PulledImage, Running};
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use parking_lot::Mutex;
use sampan_api::k8s::api::core::v1::Pod;
use sampan_client::{Client, EventRecorder, EventType};
use sampan_env::{CancellationToken, Env};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::watch;

/// What all workers of a node share.
pub struct Shared {
    pub env: Env,
    pub client: Client,
    pub runtime: Arc<dyn PodRuntime>,
    pub events: EventRecorder,
    pub addresses: Addresses,
    pub ledger: Ledger,
    pub host_ip: String,
    /// Logs by pod (namespace, name) and container.
    pub logs: Mutex<HashMap<(String, String), PodLogs>>,
}

#[derive(Default)]
pub struct PodLogs {
    pub uid: String,
    pub containers: HashMap<String, ContainerLogs>,
}

/// What the agent last heard of the pod; `None`: it is gone from the API.
pub type PodFeed = watch::Receiver<Option<Arc<Pod>>>;

enum Done {
    Pulled { container: usize, plan: Box<ContainerPlan>, result: Result<PulledImage, ImageError> },
    Launched { container: usize, log: Arc<RunLog>, result: Result<Arc<dyn Running>, LaunchError> },
    Ended { container: usize, exit: ContainerExit },
}

pub struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) pod: Arc<Pod>,
    pub(crate) uid: String,
    pub(crate) observed: Observed,
    pub(crate) running: HashMap<usize, Arc<dyn Running>>,
    work: FuturesUnordered<BoxFuture<'static, Done>>,
    pub(crate) published: Value,
    pub(crate) dirty: bool,
    /// The ledger lacks what is observed.
    pub(crate) unsaved: bool,
    /// The API took the pod's deletion. It may keep the object for others' finalizers; the feed says when it is gone.
    removed: bool,
}

impl Worker {
    /// `before`: what the ledger knew of this pod when the process started.
    pub fn new(shared: Arc<Shared>, pod: Arc<Pod>, before: Option<Observed>) -> Self {
        let now = shared.env.now();
        let names = pod.spec.iter().flat_map(|spec| &spec.containers).map(|one| one.name.as_str());
        let observed = before.map_or_else(|| Observed::new(names, now), |before| before.after_restart(now));
        Self {
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            shared,
            pod,
            observed,
            running: HashMap::new(),
            work: FuturesUnordered::new(),
            published: Value::Null,
            dirty: true,
            unsaved: false,
            removed: false,
        }
    }

    pub(crate) fn restart_policy(&self) -> RestartPolicy {
        let policy = self.pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref());
        RestartPolicy::parse(policy.unwrap_or_default())
    }

    pub(crate) fn wanted(&self) -> Wanted {
        let metadata = &self.pod.metadata;
        let grace = metadata.deletion_timestamp.as_ref().map(|_| {
            let seconds = metadata.deletion_grace_period_seconds;
            seconds.map_or(DELETION_GRACE_DEFAULT, |seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
        });
        Wanted { restart_policy: self.restart_policy(), deletion_grace: grace }
    }

    /// Runs until the pod is gone or the node ends.
    pub async fn run(mut self, mut feed: PodFeed, end: CancellationToken) {
        self.take_address();
        self.take_logs();
        loop {
            let (mut remove, mut wake) = (false, None::<SystemTime>);
            for action in plan(&self.wanted(), &self.observed, self.shared.env.now()) {
                match action {
                    Action::Start { container } => self.start(container).await,
                    Action::BackOff { container, until, delay } => {
                        self.back_off(container, until, delay);
                        wake = Some(wake.map_or(until, |wake| wake.min(until)));
                    }
                    Action::ImageBackOff { container, until } => {
                        self.image_back_off(container, until);
                        wake = Some(wake.map_or(until, |wake| wake.min(until)));
                    }
                    Action::Stop { container, grace } => self.stop(container, grace),
                    Action::WakeAt(at) => wake = Some(wake.map_or(at, |wake| wake.min(at))),
                    Action::Remove => remove = !self.removed,
                }
            }
            if remove {
                self.dirty = true;
                self.observed.settle(self.shared.env.now());
            }
            if self.unsaved {
                // What could not be written is due again below.
                self.save().await.ok();
            }
            let written = self.publish().await;
            if remove && written {
                self.removed = self.remove().await;
            }
            let now = self.shared.env.now();
            let again = !written || self.unsaved || (remove && !self.removed);
            let retry = again.then(|| now + STATUS_RETRY);
            let wake = wake.into_iter().chain(retry).min();
            let pause = wake.map(|at| at.duration_since(now).unwrap_or_default());
            tokio::select! {
                () = end.cancelled() => return self.end(),
                changed = feed.changed() => {
                    if changed.is_err() {
                        // Nobody tells of the pod any more: the node ends, and the pod does not.
                        return self.end();
                    }
                    let latest = feed.borrow_and_update().clone();
                    match latest {
                        Some(pod) => self.take_pod(pod),
                        // Gone from the API: nothing is owed to it any more.
                        None => break,
                    }
                }
                Some(done) = self.work.next(), if !self.work.is_empty() => self.note(done).await,
                () = sleep(pause), if pause.is_some() => {}
            }
        }
        self.forget().await;
    }

    fn take_pod(&mut self, pod: Arc<Pod>) {
        let version = |pod: &Pod| pod.metadata.resource_version.as_ref().and_then(|text| text.parse::<u64>().ok());
        // What this worker wrote may be newer than what the feed has come to.
        if version(&pod) < version(&self.pod) {
            return;
        }
        self.pod = pod;
        if self.is_misstated() {
            // Somebody else wrote this pod's status, as the control plane does for a node that it does not hear.
            self.published = Value::Null;
            self.dirty = true;
        }
    }

    fn take_address(&mut self) {
        let addresses = &self.shared.addresses;
        let kept = self.observed.ip.filter(|ip| addresses.take_again(*ip));
        self.observed.ip = kept.or_else(|| addresses.take());
    }

    pub(crate) fn event(&self, kind: EventType, reason: &str, message: impl Into<String>) {
        self.shared.events.event(sampan_client::reference(self.pod.as_ref()), kind, reason, message);
    }

    /// `name_namespace(uid)`, as a kubelet names pods in its messages.
    pub(crate) fn pod_name(&self) -> String {
        let metadata = &self.pod.metadata;
        let (name, namespace) = (metadata.name.as_deref(), metadata.namespace.as_deref());
        format!("{}_{}({})", name.unwrap_or_default(), namespace.unwrap_or_default(), self.uid)
    }

    async fn start(&mut self, index: usize) {
        let now = self.shared.env.now();
        let Some(spec) = self.pod.spec.as_ref().and_then(|spec| spec.containers.get(index)).cloned() else { return };
        let Some(ip) = self.observed.ip else {
            self.wait_again(index, "CreateContainerError", "no pod address is free on this node".into());
            return;
        };
        let planned = match container::plan(&self.pod, &spec, ip, &self.shared.host_ip) {
            Ok(planned) => planned,
            Err(refusal) => {
                self.event(EventType::Warning, "Failed", format!("Error: {}", refusal.message));
                self.wait_again(index, refusal.reason, refusal.message);
                return;
            }
        };
        let one = &mut self.observed.containers[index];
        if let Some(ended) = one.terminated().cloned() {
            one.last = Some(ended);
        }
        one.state = ContainerState::Pulling { since: now };
        self.dirty = true;
        let (shared, pod) = (self.shared.clone(), self.pod.clone());
        self.work.push(Box::pin(async move {
            let event = |kind: EventType, reason: &str, message: String| {
                shared.events.event(sampan_client::reference(pod.as_ref()), kind, reason, message);
            };
            let (image, policy) = (&planned.image, &planned.pull_policy);
            let result = image::ensure(shared.runtime.as_ref(), &shared.env, image, policy, &event).await;
            Done::Pulled { container: index, plan: Box::new(planned), result }
        }));
    }

    /// Its image is there: it is started, once the ledger knows.
    async fn launch(&mut self, index: usize, image: PulledImage, plan: ContainerPlan) {
        let Some(pod_ip) = self.observed.ip else { return };
        let one = &mut self.observed.containers[index];
        one.image_id.clone_from(&image.id);
        one.state = ContainerState::Starting { since: self.shared.env.now() };
        one.container_id = format!("wasm://{}", self.shared.env.uuid().replace('-', ""));
        one.restart_count += u32::from(one.last.is_some());
        // Before the guest runs, the ledger knows: after a crash it counts as having run.
        if let Err(error) = self.save().await {
            self.event(EventType::Warning, "Failed", format!("Error: {error}"));
            self.not_launched(index, "CreateContainerError", error);
            return;
        }
        self.event(EventType::Normal, "Created", "Container created");
        let log = RunLog::new(&self.shared.env);
        let shared = self.shared.clone();
        self.work.push(Box::pin(async move {
            let result = shared.runtime.start(Launch { image, plan, pod_ip, log: log.clone() }).await;
            Done::Launched { container: index, log, result }
        }));
    }

    /// It was about to run, and did not: as if it had never been counted.
    fn not_launched(&mut self, index: usize, reason: &str, message: String) {
        let one = &mut self.observed.containers[index];
        one.restart_count -= u32::from(one.last.is_some());
        one.container_id = one.last.as_ref().map(|last| last.container_id.clone()).unwrap_or_default();
        self.wait_again(index, reason, message);
    }

    pub(crate) fn logs_key(&self) -> (String, String) {
        let metadata = &self.pod.metadata;
        (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
    }

    /// From here on the logs under the pod's name are those of this pod.
    fn take_logs(&self) {
        let logs = PodLogs { uid: self.uid.clone(), ..PodLogs::default() };
        self.shared.logs.lock().insert(self.logs_key(), logs);
    }

    /// Changes the pod's logs, unless a successor of the same name has taken their place.
    pub(crate) fn logs(&self, change: impl FnOnce(&mut PodLogs)) {
        let mut all = self.shared.logs.lock();
        if let Some(logs) = all.get_mut(&self.logs_key()).filter(|logs| logs.uid == self.uid) {
            change(logs);
        }
    }

    /// Not started: it waits, longer each time, and is tried again.
    fn wait_again(&mut self, index: usize, reason: &str, message: String) {
        let now = self.shared.env.now();
        let one = &mut self.observed.containers[index];
        if let Some(ended) = one.terminated().cloned() {
            one.last = Some(ended);
        }
        let delay = START_BACKOFF_FIRST.saturating_mul(1 << one.failed_starts.min(16)).min(START_BACKOFF_MAX);
        one.failed_starts += 1;
        one.pull_failed_at = (reason == ERR_IMAGE_PULL).then_some(now);
        one.state = ContainerState::Waiting { reason: reason.to_owned(), message, until: Some(now + delay) };
        self.dirty = true;
    }

    fn back_off(&mut self, index: usize, until: SystemTime, delay: Duration) {
        let name = self.pod_name();
        let one = &mut self.observed.containers[index];
        one.last = one.terminated().cloned();
        let message = format!("back-off {} restarting failed container={} pod={name}", go_duration(delay), one.name);
        let event = format!("Back-off restarting failed container {} in pod {name}", one.name);
        one.state = ContainerState::Waiting { reason: "CrashLoopBackOff".into(), message, until: Some(until) };
        // The run to come is a restart, whether or not its start succeeds at once.
        one.failed_starts = 0;
        self.dirty = true;
        self.event(EventType::Warning, "BackOff", event);
    }

    fn image_back_off(&mut self, index: usize, until: SystemTime) {
        let spec = self.pod.spec.as_ref().and_then(|spec| spec.containers.get(index));
        let image = spec.and_then(|spec| spec.image.clone()).unwrap_or_default();
        let event = format!("Back-off pulling image {image:?}");
        let one = &mut self.observed.containers[index];
        let before = match &one.state {
            ContainerState::Waiting { reason, message, .. } => format!("{reason}: {message}"),
            _ => ERR_IMAGE_PULL.to_owned(),
        };
        let message = format!("{event}: {before}");
        one.state = ContainerState::Waiting { reason: IMAGE_PULL_BACK_OFF.into(), message, until: Some(until) };
        self.dirty = true;
        self.event(EventType::Normal, "BackOff", event);
        self.event(EventType::Warning, "Failed", format!("Error: {IMAGE_PULL_BACK_OFF}"));
    }

    fn stop(&mut self, index: usize, grace: Duration) {
        let until = Some(self.shared.env.now() + grace);
        let name = self.observed.containers[index].name.clone();
        match self.running.get(&index) {
            Some(running) => {
                running.terminate(grace);
                match self.observed.containers[index].state {
                    ContainerState::Running { started_at } => {
                        self.event(EventType::Normal, "Killing", format!("Stopping container {name}"));
                        self.observed.containers[index].state = ContainerState::Stopping { started_at, until };
                    }
                    ContainerState::Stopping { started_at, .. } => {
                        self.observed.containers[index].state = ContainerState::Stopping { started_at, until };
                    }
                    _ => {}
                }
            }
            None => {
                // Still being made ready: given up.
                self.work.clear();
                for one in &mut self.observed.containers {
                    if one.is_starting() {
                        let reason = CONTAINER_CREATING.to_owned();
                        one.state = ContainerState::Waiting { reason, message: String::new(), until: None };
                    }
                }
                let waiting = self.running.iter().map(|(index, running)| ended(*index, running.clone()));
                self.work.extend(waiting);
            }
        }
    }

    async fn note(&mut self, done: Done) {
        let now = self.shared.env.now();
        self.dirty = true;
        match done {
            Done::Pulled { container, plan, result: Ok(image) } => return self.launch(container, image, *plan).await,
            Done::Pulled { container, result: Err(error), .. } => {
                self.wait_again(container, error.reason, error.message);
            }
            Done::Launched { container, log, result: Ok(running) } => {
                let one = &mut self.observed.containers[container];
                one.failed_starts = 0;
                one.state = ContainerState::Running { started_at: now };
                let name = one.name.clone();
                self.work.push(ended(container, running.clone()));
                self.running.insert(container, running);
                self.logs(|logs| logs.containers.entry(name).or_default().next_run(log));
                self.event(EventType::Normal, "Started", "Container started");
            }
            Done::Launched { container, result: Err(error), .. } => self.failed_launch(container, error),
            Done::Ended { container, exit } => {
                self.running.remove(&container);
                let one = &mut self.observed.containers[container];
                let started_at = match one.state {
                    ContainerState::Running { started_at } | ContainerState::Stopping { started_at, .. } => started_at,
                    _ => now,
                };
                let terminated = Terminated {
                    exit_code: exit.code,
                    reason: exit.reason,
                    message: exit.message,
                    started_at,
                    finished_at: now,
                    container_id: one.container_id.clone(),
                };
                one.quick_ends = quick_ends_after(one.quick_ends, &terminated);
                one.state = ContainerState::Terminated(terminated);
                let name = one.name.clone();
                self.logs(|logs| {
                    if let Some(log) = logs.containers.get(&name).and_then(|logs| logs.current.as_ref()) {
                        log.finish();
                    }
                });
            }
        }
        self.unsaved = true;
    }

    fn failed_launch(&mut self, index: usize, error: LaunchError) {
        match error {
            LaunchError::Bind(message) => {
                self.event(EventType::Warning, "FailedBind", message.clone());
                self.not_launched(index, "FailedBind", message);
            }
            LaunchError::Unavailable(message) => {
                self.event(EventType::Warning, "Failed", format!("Error: {message}"));
                self.not_launched(index, "CreateContainerError", message);
            }
            LaunchError::Failed(message) => {
                self.event(EventType::Warning, "Failed", format!("Error: {message}"));
                let now = self.shared.env.now();
                let one = &mut self.observed.containers[index];
                // Without an ID: there is nothing of this run to be read.
                one.container_id.clear();
                let exit = ContainerExit::from(sampan_wasm_runtime::Exit::not_started(message));
                let ended = Terminated {
                    exit_code: exit.code,
                    reason: exit.reason,
                    message: exit.message,
                    started_at: now,
                    finished_at: now,
                    container_id: String::new(),
                };
                one.quick_ends = quick_ends_after(one.quick_ends, &ended);
                one.failed_starts = 0;
                one.state = ContainerState::Terminated(ended);
            }
        }
    }

    /// The node ends: what runs ends with it and is run again at the next start. The ledger stays.
    fn end(self) {
        for running in self.running.values() {
            running.kill();
        }
    }
}

fn ended(container: usize, running: Arc<dyn Running>) -> BoxFuture<'static, Done> {
    Box::pin(async move { Done::Ended { container, exit: running.wait().await } })
}

async fn sleep(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}

/// Whole seconds as Go prints a duration: `10s`, `1m20s`, `5m0s`.
fn go_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 60 { format!("{seconds}s") } else { format!("{}m{}s", seconds / 60, seconds % 60) }
}
