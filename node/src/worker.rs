//! One pod's worker: it plans, acts, waits for what happens, and writes the pod's status.

use crate::address::Addresses;
use crate::container;
use crate::ledger::{Ledger, LedgerEntry};
use crate::limits::{START_BACKOFF_FIRST, START_BACKOFF_MAX, STATUS_RETRY};
use crate::logs::{ContainerLogs, RunLog};
use crate::observed::{CONTAINER_CREATING, ContainerState, Observed, Terminated};
use crate::plan::{Action, RestartPolicy, Wanted, plan, quick_ends_after};
use crate::runtime::{ContainerExit, Launch, LaunchError, PodRuntime, Running};
use crate::status::{StatusInput, status};
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use parking_lot::Mutex;
use sampan_api::k8s::api::core::v1::Pod;
use sampan_client::{Client, DeleteParams, EventRecorder, EventType, Patch};
use sampan_env::{CancellationToken, Env};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::Ipv4Addr;
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
    Launched { container: usize, result: Result<Launched, Trouble> },
    Ended { container: usize, exit: ContainerExit },
}

struct Launched {
    running: Arc<dyn Running>,
    image_id: String,
}

/// Why a start did not come about.
struct Trouble {
    reason: String,
    message: String,
}

pub struct Worker {
    shared: Arc<Shared>,
    pod: Arc<Pod>,
    uid: String,
    observed: Observed,
    running: HashMap<usize, Arc<dyn Running>>,
    work: FuturesUnordered<BoxFuture<'static, Done>>,
    published: Value,
    dirty: bool,
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
        }
    }

    fn restart_policy(&self) -> RestartPolicy {
        let policy = self.pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref());
        RestartPolicy::parse(policy.unwrap_or_default())
    }

    fn wanted(&self) -> Wanted {
        let metadata = &self.pod.metadata;
        let grace = metadata.deletion_timestamp.as_ref().map(|_| {
            Duration::from_secs(u64::try_from(metadata.deletion_grace_period_seconds.unwrap_or(30)).unwrap_or(0))
        });
        Wanted { restart_policy: self.restart_policy(), deletion_grace: grace }
    }

    /// Runs until the pod is gone or the node ends.
    pub async fn run(mut self, mut feed: PodFeed, end: CancellationToken) {
        self.take_address();
        loop {
            let (mut remove, mut wake) = (false, None::<SystemTime>);
            for action in plan(&self.wanted(), &self.observed, self.shared.env.now()) {
                match action {
                    Action::Start { container } => self.start(container).await,
                    Action::BackOff { container, until, delay } => {
                        self.back_off(container, until, delay);
                        wake = Some(wake.map_or(until, |wake| wake.min(until)));
                    }
                    Action::Stop { container, grace } => self.stop(container, grace),
                    Action::WakeAt(at) => wake = Some(wake.map_or(at, |wake| wake.min(at))),
                    Action::Remove => remove = true,
                }
            }
            let written = self.publish().await;
            if remove && written && self.remove().await {
                break;
            }
            let now = self.shared.env.now();
            let retry = (!written || remove).then(|| now + STATUS_RETRY);
            let wake = wake.into_iter().chain(retry).min();
            let pause = wake.map(|at| at.duration_since(now).unwrap_or_default());
            tokio::select! {
                () = end.cancelled() => return self.end(),
                changed = feed.changed() => {
                    let latest = feed.borrow_and_update().clone();
                    match latest {
                        Some(pod) if changed.is_ok() => self.take_pod(pod),
                        // Removed by force: nothing is owed to it any more.
                        _ => break,
                    }
                }
                Some(done) = self.work.next(), if !self.work.is_empty() => self.note(done).await,
                () = sleep(pause), if pause.is_some() => {}
            }
        }
        self.forget().await;
    }

    fn take_pod(&mut self, pod: Arc<Pod>) {
        self.pod = pod;
    }

    fn take_address(&mut self) {
        let addresses = &self.shared.addresses;
        let kept = self.observed.ip.filter(|ip| addresses.take_again(*ip));
        self.observed.ip = kept.or_else(|| addresses.take());
    }

    fn event(&self, kind: EventType, reason: &str, message: impl Into<String>) {
        self.shared.events.event(sampan_client::reference(self.pod.as_ref()), kind, reason, message);
    }

    /// `name_namespace(uid)`, as a kubelet names pods in its messages.
    fn pod_name(&self) -> String {
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
        if one.last.is_some() && one.failed_starts == 0 {
            one.restart_count += 1;
        }
        one.state = ContainerState::Starting { since: now };
        one.container_id = format!("wasm://{}", self.shared.env.uuid().replace('-', ""));
        self.dirty = true;
        // Before the guest runs, the ledger knows: after a crash it counts as having run.
        self.save().await;
        let log = RunLog::new(&self.shared.env);
        self.logs(|logs| logs.containers.entry(spec.name.clone()).or_default().next_run(log.clone()));
        let (shared, pod) = (self.shared.clone(), self.pod.clone());
        self.work.push(Box::pin(async move {
            let result = launch(&shared, &pod, planned, ip, log).await;
            Done::Launched { container: index, result }
        }));
    }

    fn logs(&self, change: impl FnOnce(&mut PodLogs)) {
        let metadata = &self.pod.metadata;
        let key = (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default());
        let mut all = self.shared.logs.lock();
        let logs = all.entry(key).or_default();
        if logs.uid != self.uid {
            *logs = PodLogs { uid: self.uid.clone(), ..PodLogs::default() };
        }
        change(logs);
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

    fn stop(&mut self, index: usize, grace: Duration) {
        let name = self.observed.containers[index].name.clone();
        match self.running.get(&index) {
            Some(running) => {
                running.terminate(grace);
                self.event(EventType::Normal, "Killing", format!("Stopping container {name}"));
                if let ContainerState::Running { started_at } = self.observed.containers[index].state {
                    self.observed.containers[index].state = ContainerState::Stopping { started_at };
                }
            }
            None => {
                // Still being made ready: given up.
                self.work.clear();
                for one in &mut self.observed.containers {
                    if matches!(one.state, ContainerState::Starting { .. }) {
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
            Done::Launched { container, result: Ok(launched) } => {
                let one = &mut self.observed.containers[container];
                one.image_id = launched.image_id;
                one.failed_starts = 0;
                one.state = ContainerState::Running { started_at: now };
                self.work.push(ended(container, launched.running.clone()));
                self.running.insert(container, launched.running);
            }
            Done::Launched { container, result: Err(trouble) } => {
                self.wait_again(container, &trouble.reason, trouble.message);
            }
            Done::Ended { container, exit } => {
                self.running.remove(&container);
                let one = &mut self.observed.containers[container];
                let started_at = match one.state {
                    ContainerState::Running { started_at } | ContainerState::Stopping { started_at } => started_at,
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
        self.save().await;
    }

    /// Writes the status if it changed. False: it could not be written and is to be tried again.
    async fn publish(&mut self) -> bool {
        if !self.dirty {
            return true;
        }
        let status = status(&StatusInput {
            pod: &self.pod,
            observed: &self.observed,
            restart_policy: self.restart_policy(),
            host_ip: &self.shared.host_ip,
            now: self.shared.env.now(),
        });
        if status == self.published {
            self.dirty = false;
            return true;
        }
        let patch = Patch::Strategic(json!({"metadata": {"uid": self.uid}, "status": status}));
        let metadata = &self.pod.metadata;
        let pods = self.shared.client.namespaced::<Pod>(metadata.namespace.as_deref().unwrap_or_default());
        match pods.patch_status(metadata.name.as_deref().unwrap_or_default(), &patch).await {
            Ok(pod) => {
                // Conditions keep the times that this node just wrote.
                self.pod = Arc::new(pod);
                self.published = status;
                self.dirty = false;
                true
            }
            // Gone, or another pod of that name: the feed will say so.
            Err(error) if error.is_not_found() || error.is_conflict() => {
                self.dirty = false;
                true
            }
            Err(error) => {
                tracing::warn!(pod = %self.pod_name(), %error, "the status could not be written");
                false
            }
        }
    }

    /// Takes the object out of the API. True when it is gone.
    async fn remove(&mut self) -> bool {
        let metadata = &self.pod.metadata;
        let pods = self.shared.client.namespaced::<Pod>(metadata.namespace.as_deref().unwrap_or_default());
        let params =
            DeleteParams { grace_period_seconds: Some(0), uid: Some(self.uid.clone()), ..DeleteParams::default() };
        match pods.delete(metadata.name.as_deref().unwrap_or_default(), &params).await {
            Ok(_) => true,
            Err(error) if error.is_not_found() || error.is_conflict() => true,
            Err(error) => {
                tracing::warn!(pod = %self.pod_name(), %error, "the pod could not be removed");
                false
            }
        }
    }

    async fn save(&mut self) {
        let entry = LedgerEntry {
            uid: self.uid.clone(),
            namespace: self.pod.metadata.namespace.clone().unwrap_or_default(),
            name: self.pod.metadata.name.clone().unwrap_or_default(),
            observed: self.observed.clone(),
        };
        let ledger = self.shared.ledger.clone();
        match tokio::task::spawn_blocking(move || ledger.save(&entry)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "what runs could not be recorded"),
            Err(error) => tracing::error!(%error, "the ledger's writer ended"),
        }
    }

    /// The node ends: what runs ends with it and is run again at the next start. The ledger stays.
    fn end(self) {
        for running in self.running.values() {
            running.kill();
        }
    }

    /// The pod is gone.
    async fn forget(self) {
        for running in self.running.values() {
            running.kill();
            running.wait().await;
        }
        if let Some(ip) = self.observed.ip {
            self.shared.addresses.give_back(ip);
        }
        let metadata = &self.pod.metadata;
        let key = (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default());
        {
            let mut logs = self.shared.logs.lock();
            if logs.get(&key).is_some_and(|logs| logs.uid == self.uid) {
                logs.remove(&key);
            }
        }
        let (ledger, uid) = (self.shared.ledger.clone(), self.uid.clone());
        match tokio::task::spawn_blocking(move || ledger.remove(&uid)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the ledger's entry stays"),
            Err(error) => tracing::error!(%error, "the ledger's writer ended"),
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

/// From the image to a running guest, with a kubelet's events on the way.
async fn launch(
    shared: &Shared,
    pod: &Pod,
    planned: container::ContainerPlan,
    pod_ip: Ipv4Addr,
    log: Arc<RunLog>,
) -> Result<Launched, Trouble> {
    let event = |kind: EventType, reason: &str, message: String| {
        shared.events.event(sampan_client::reference(pod), kind, reason, message);
    };
    let image = match shared.runtime.pull(&planned.image, &planned.pull_policy).await {
        Ok(image) => {
            let text = format!(
                "Container image {:?} already present on machine and can be accessed by the pod",
                planned.image
            );
            event(EventType::Normal, "Pulled", text);
            image
        }
        Err(error) => {
            let text = format!("Failed to pull image {:?}: {}", planned.image, error.message);
            event(EventType::Warning, "Failed", text);
            event(EventType::Warning, "Failed", format!("Error: {}", error.reason));
            return Err(Trouble { reason: error.reason.into(), message: error.message });
        }
    };
    event(EventType::Normal, "Created", "Container created".into());
    let image_id = image.id.clone();
    match shared.runtime.start(Launch { image, plan: planned, pod_ip, log }).await {
        Ok(running) => {
            event(EventType::Normal, "Started", "Container started".into());
            Ok(Launched { running, image_id })
        }
        Err(LaunchError::Bind(message)) => {
            event(EventType::Warning, "FailedBind", message.clone());
            Err(Trouble { reason: "FailedBind".into(), message })
        }
        Err(LaunchError::Failed(message)) => {
            event(EventType::Warning, "Failed", format!("Error: {message}"));
            Err(Trouble { reason: "RunContainerError".into(), message })
        }
    }
}

/// Whole seconds as Go prints a duration: `10s`, `1m20s`, `5m0s`.
fn go_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 60 { format!("{seconds}s") } else { format!("{}m{}s", seconds / 60, seconds % 60) }
}
