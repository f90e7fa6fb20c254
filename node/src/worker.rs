//! One pod's worker: it plans, acts, waits for what happens, and has it written down (`report`).

#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use crate::address::{AddressLease, Addresses};
use crate::ledger::Ledger;
use crate::limits::{DELETION_GRACE_DEFAULT, STATUS_RETRY};
use crate::logs::ContainerLogs;
use crate::observed::{ContainerName, Observed};
use crate::plan::{Action, RestartPolicy, Wanted, plan};
use crate::projected::Volumes;
use crate::runtime::{PodRuntime, PodSandbox, Running};
use crate::step::Done;
use futures::future::{AbortHandle, BoxFuture};
use futures::stream::{FuturesUnordered, StreamExt};
use parking_lot::Mutex;
use sampan_api::k8s::api::core::v1::Pod;
use sampan_api::time::{Seconds, later};
use sampan_client::{Client, EventRecorder, EventType};
use sampan_env::{CancellationToken, Env};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::watch;

/// State that all workers of a node share.
pub struct Shared {
    /// Clock and randomness.
    pub env: Env,
    /// Speaks as the node.
    pub client: Client,
    /// Runs the containers.
    pub runtime: Arc<dyn PodRuntime>,
    /// Records events of pods, as a kubelet.
    pub events: EventRecorder,
    /// The node's pod addresses.
    pub addresses: Addresses,
    /// The record that survives the process.
    pub ledger: Ledger,
    /// The machine's own address.
    pub host_ip: String,
    /// The volumes of its pods.
    pub volumes: Volumes,
    /// Logs by pod (namespace, name) and container.
    pub logs: Mutex<HashMap<(String, String), PodLogs>>,
}

/// The logs of one pod's containers.
#[derive(Default)]
pub struct PodLogs {
    /// The UID of the pod whose logs they are: names come again.
    pub uid: String,
    /// By the container's name.
    pub containers: HashMap<String, ContainerLogs>,
}

/// The pod as the agent last heard of it; `None`: it is gone from the API.
pub type PodFeed = watch::Receiver<Option<Arc<Pod>>>;

/// The containers of one pod that run. It outlives a worker that failed, so that what ran can be ended.
#[derive(Clone, Default)]
pub(crate) struct RunningContainers {
    inner: Arc<Mutex<HashMap<ContainerName, Arc<dyn Running>>>>,
}

impl RunningContainers {
    pub(crate) fn get(&self, name: &ContainerName) -> Option<Arc<dyn Running>> {
        self.inner.lock().get(name).cloned()
    }

    pub(crate) fn insert(&self, name: ContainerName, running: Arc<dyn Running>) {
        self.inner.lock().insert(name, running);
    }

    pub(crate) fn remove(&self, name: &ContainerName) {
        self.inner.lock().remove(name);
    }

    /// Tells all of them to end now, without waiting for it.
    pub(crate) fn kill(&self) {
        for running in self.inner.lock().values() {
            running.kill();
        }
    }

    /// Ends all of them, and waits until none runs.
    pub(crate) async fn end(&self) {
        self.kill();
        let ending: Vec<_> = self.inner.lock().drain().collect();
        for (_, running) in ending {
            running.wait().await;
        }
    }
}

/// One pod's worker.
pub struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) pod: Arc<Pod>,
    pub(crate) uid: String,
    pub(crate) observed: Observed,
    pub(crate) running: RunningContainers,
    /// The pod's address, given back when the worker is dropped.
    address: Option<AddressLease>,
    /// Work under way: starts, and runs whose end is waited for.
    pub(crate) work: FuturesUnordered<BoxFuture<'static, Done>>,
    /// Handles by which starts under way are given up.
    pub(crate) starting: HashMap<ContainerName, AbortHandle>,
    pub(crate) published: Value,
    pub(crate) dirty: bool,
    /// The ledger lacks what is observed.
    pub(crate) unsaved: bool,
    /// The API took the pod's deletion. It may keep the object for others' finalizers; the feed says when it is gone.
    removed: bool,
}

impl Worker {
    /// `before`: what the ledger knew of this pod when the process started. What runs stands in `running`, which the caller
    /// keeps too.
    pub(crate) fn new(
        shared: Arc<Shared>,
        pod: Arc<Pod>,
        before: Option<Observed>,
        running: RunningContainers,
    ) -> Self {
        let now = shared.env.now();
        let names = pod.spec.iter().flat_map(|spec| &spec.containers).map(|one| one.name.as_str());
        let observed = before.map_or_else(|| Observed::new(names, now), |before| before.after_restart(now));
        Self {
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            shared,
            pod,
            observed,
            running,
            address: None,
            work: FuturesUnordered::new(),
            starting: HashMap::new(),
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

    pub(crate) fn wanted(&self) -> Wanted<'_> {
        let (metadata, spec) = (&self.pod.metadata, self.pod.spec.as_ref());
        let grace =
            |seconds: Option<i64>| seconds.map_or(DELETION_GRACE_DEFAULT, |seconds| Seconds::new(seconds).duration());
        let containers = spec.into_iter().flat_map(|spec| &spec.containers);
        Wanted {
            restart_policy: self.restart_policy(),
            deletion_grace: metadata.deletion_timestamp.as_ref().map(|_| grace(metadata.deletion_grace_period_seconds)),
            termination_grace: grace(spec.and_then(|spec| spec.termination_grace_period_seconds)),
            images: containers.filter_map(|one| Some((one.name.as_str(), one.image.as_deref()?))).collect(),
        }
    }

    /// Runs until the pod is gone or the node ends. True: the pod is gone, and nothing is owed to it any more.
    pub(crate) async fn run(&mut self, feed: &mut PodFeed, end: &CancellationToken) -> bool {
        self.take_address();
        self.take_logs();
        loop {
            let (remove, due) = self.act();
            if remove {
                self.dirty = true;
                self.observed.settle(self.shared.env.now());
            }
            if self.unsaved {
                // Writes that failed are due again below.
                self.save().await.ok();
            }
            let written = self.publish().await;
            if remove && written {
                self.removed = self.remove().await;
            }
            let now = self.shared.env.now();
            let again = !written || self.unsaved || (remove && !self.removed);
            let retry = again.then(|| later(now, STATUS_RETRY));
            let wake = due.into_iter().chain(retry).min();
            let pause = wake.map(|at| at.duration_since(now).unwrap_or_default());
            tokio::select! {
                () = end.cancelled() => return false,
                changed = feed.changed() => {
                    if changed.is_err() {
                        // The feed has ended: the node ends, and the pod does not.
                        return false;
                    }
                    let latest = feed.borrow_and_update().clone();
                    match latest {
                        Some(pod) => self.take_pod(pod),
                        None => return true,
                    }
                }
                Some(done) = self.work.next(), if !self.work.is_empty() => self.note(done).await,
                () = sleep(pause), if pause.is_some() => {}
            }
        }
    }

    /// Does what is planned. Returns whether the pod's object is to be removed, and when there is something to do again.
    fn act(&mut self) -> (bool, Option<SystemTime>) {
        let (mut remove, mut due) = (false, None::<SystemTime>);
        for action in plan(&self.wanted(), &self.observed, self.shared.env.now()) {
            let at = match action {
                Action::Start { container } => {
                    self.start(&container);
                    None
                }
                Action::BackOff { container, until, delay } => {
                    self.back_off(&container, until, delay);
                    Some(until)
                }
                Action::ImageBackOff { container, until } => {
                    self.image_back_off(&container, until);
                    Some(until)
                }
                Action::Stop { container, grace, cause } => {
                    self.stop(&container, grace, cause);
                    None
                }
                Action::WakeAt(at) => Some(at),
                Action::Remove => {
                    remove = !self.removed;
                    None
                }
            };
            due = due.into_iter().chain(at).min();
        }
        (remove, due)
    }

    fn take_pod(&mut self, pod: Arc<Pod>) {
        let version = |pod: &Pod| pod.metadata.resource_version.as_ref().and_then(|text| text.parse::<u64>().ok());
        // A version that this worker wrote may be newer than the one that the feed has come to.
        if version(&pod) < version(&self.pod) {
            return;
        }
        self.pod = pod;
        let generation = self.published["observedGeneration"].as_i64();
        // That a change was seen is said, whatever came of it.
        self.dirty |= generation.is_some() && generation != self.pod.metadata.generation;
        if self.is_misstated() {
            // Another writer wrote this pod's status, as the control plane does for a node that it does not hear.
            self.published = Value::Null;
            self.dirty = true;
        }
    }

    /// Takes the address that the pod had, else any. None is free: it is tried again at the next start.
    pub(crate) fn take_address(&mut self) {
        if self.address.is_none() {
            let addresses = &self.shared.addresses;
            let kept = self.observed.ip.and_then(|ip| addresses.take_again(ip));
            self.address = kept.or_else(|| addresses.take());
            self.observed.ip = self.address.as_ref().map(AddressLease::ip);
        }
    }

    /// The pod as a whole, for the runtime. None: it has no address.
    pub(crate) fn sandbox(&self) -> Option<PodSandbox> {
        let metadata = &self.pod.metadata;
        Some(PodSandbox {
            uid: self.uid.clone(),
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
            ip: self.observed.ip?,
        })
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
}

async fn sleep(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}
