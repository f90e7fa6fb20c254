//! The agent: registers, follows the pods of its node, and gives each a worker.

use crate::address::{AddressBlocks, Addresses};
use crate::kubelet_api;
use crate::ledger::{Ledger, LedgerEntry, LedgerError};
use crate::limits::{DRAIN, PODS_MAX};
use crate::observed::Observed;
use crate::projected::Volumes;
use crate::register::{NodeFacts, heartbeat, register};
use crate::runtime::{PodCapacity, PodRuntime};
use crate::supervise::supervise;
use crate::volumes;
use crate::worker::{PodFeed, Shared};
use sampan_api::k8s::api::core::v1::Pod;
use sampan_client::{ApiService, Change, Client, EventRecorder, InformerSpec, Informers};
use sampan_env::{Env, Tasks};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// The parts that an agent is made of.
pub struct AgentConfig {
    /// Name of the node's Node object.
    pub node_name: String,
    /// Speaks as `system:node:<node_name>`.
    pub client: Client,
    /// Runs the pods' containers.
    pub runtime: Arc<dyn PodRuntime>,
    /// The folder of the ledger.
    pub ledger: PathBuf,
    /// The source of the node's blocks of the pods' range.
    pub pod_blocks: Box<dyn AddressBlocks>,
    /// The machine's own address, as `status.hostIP` has it.
    pub host_ip: String,
    /// As `/version` says it.
    pub version: String,
}

/// The reason why an agent could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the node could not register: {0}")]
    Register(#[from] sampan_client::Error),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// A node agent that runs.
pub struct Agent {
    shared: Arc<Shared>,
    tasks: Tasks,
}

impl Agent {
    /// Registers the node, writes its first status, and takes up the pods that are bound to it.
    pub async fn start(config: AgentConfig, env: &Env, tasks: &Tasks) -> Result<Self, StartError> {
        let tasks = tasks.child("node");
        let ledger = Ledger::open(&config.ledger)?;
        let before = ledger.load()?;
        let addresses = Addresses::new(config.pod_blocks);
        let facts = NodeFacts::of_machine(
            &config.node_name,
            &config.host_ip,
            &config.version,
            &config.runtime.version(),
            config.runtime.capacity().pods_max,
        );
        register(&config.client, &facts, env).await?;
        let events = EventRecorder::new(config.client.clone(), "kubelet", Some(&config.node_name), env, &tasks);
        let shared = Arc::new(Shared {
            env: env.clone(),
            client: config.client.clone(),
            runtime: config.runtime,
            events,
            addresses,
            ledger,
            host_ip: config.host_ip,
            volumes: Volumes::default(),
            logs: parking_lot::Mutex::default(),
        });
        tasks.spawn_until_cancelled(volumes::keep_fresh(shared.clone()));
        tasks.spawn_until_cancelled(heartbeat(config.client.clone(), facts, env.clone()));
        let informers = Informers::new(config.client, env, &tasks);
        let own = InformerSpec::of::<Pod>().fields(format!("spec.nodeName={}", config.node_name));
        let pods = informers.select(own)?;
        let (changes, feed) = mpsc::unbounded_channel();
        // Bounded by what the informer holds: one message a change, taken up at once by the dispatcher below.
        pods.add_handler(move |change: &Change| {
            if changes.send(change.clone()).is_err() {
                tracing::debug!("the node has ended");
            }
        });
        let dispatcher = Dispatcher::new(shared.clone(), tasks.clone(), before);
        tasks.spawn_until_cancelled(dispatcher.run(feed));
        Ok(Self { shared, tasks })
    }

    /// The kubelet API of this node: what the API server reaches for logs.
    pub fn kubelet_api(&self) -> ApiService {
        kubelet_api::service(self.shared.clone(), self.tasks.clone())
    }

    /// The number of pods that the node has room for, as its Node says.
    pub fn capacity(&self) -> PodCapacity {
        let of_runtime = self.shared.runtime.capacity();
        if of_runtime.pods_max <= PODS_MAX {
            of_runtime
        } else {
            PodCapacity { pods_max: PODS_MAX, bound_by: "pod addresses" }
        }
    }

    /// Ends the workers and what runs in them; the ledger says what to run again.
    pub async fn drain(&self) {
        if let Err(error) = self.tasks.drain(DRAIN).await {
            tracing::warn!(%error, "the node did not end in time");
        }
    }
}

/// Gives each pod its supervised worker, and tells it what changes.
pub(crate) struct Dispatcher {
    shared: Arc<Shared>,
    tasks: Tasks,
    before: HashMap<String, LedgerEntry>,
    workers: HashMap<String, watch::Sender<Option<Arc<Pod>>>>,
}

impl Dispatcher {
    /// `before`: what the ledger knew when the process started, by UID.
    pub(crate) fn new(shared: Arc<Shared>, tasks: Tasks, before: HashMap<String, LedgerEntry>) -> Self {
        Self { shared, tasks, before, workers: HashMap::new() }
    }

    async fn run(mut self, mut feed: mpsc::UnboundedReceiver<Change>) {
        while let Some(change) = feed.recv().await {
            match change {
                Change::Applied { new, .. } => match new.typed::<Pod>() {
                    Ok(pod) => self.apply(&pod),
                    Err(error) => tracing::error!(pod = %new.key, %error, "the pod cannot be read"),
                },
                Change::Deleted { last } => self.gone(&last.uid),
                Change::Synced => self.drop_absent(),
                Change::Lost => {}
            }
        }
    }

    pub(crate) fn apply(&mut self, pod: &Arc<Pod>) {
        let Some(uid) = pod.metadata.uid.clone() else { return };
        if let Some(feed) = self.workers.get(&uid) {
            if feed.send(Some(pod.clone())).is_ok() {
                return;
            }
            // Supervised workers end with their pods; nobody is told of this one any more.
            self.workers.remove(&uid);
        }
        let before = self.before.remove(&uid).map(|entry| entry.observed);
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
        if before.is_none() && matches!(phase, "Succeeded" | "Failed") && pod.metadata.deletion_timestamp.is_none() {
            return; // It ended before this ledger began: nothing is to be run.
        }
        let before = before.or_else(|| Observed::of_status(pod, self.shared.env.now()));
        self.spawn(uid, pod.clone(), before);
    }

    fn spawn(&mut self, uid: String, pod: Arc<Pod>, before: Option<Observed>) {
        let (send, receive): (_, PodFeed) = watch::channel(Some(pod.clone()));
        self.workers.insert(uid, send);
        let end = self.tasks.token().clone();
        self.tasks.spawn(supervise(self.shared.clone(), pod, before, receive, end));
    }

    /// Number of pods that have a worker.
    #[cfg(test)]
    pub(crate) fn pods(&self) -> usize {
        self.workers.len()
    }

    pub(crate) fn gone(&mut self, uid: &str) {
        if let Some(feed) = self.workers.remove(uid) {
            feed.send_replace(None);
        }
    }

    /// All pods are known: entries of the ledger without one belong to pods that went while the node was away.
    fn drop_absent(&mut self) {
        for (uid, _) in self.before.drain() {
            if let Err(error) = self.shared.ledger.remove(&uid) {
                tracing::warn!(%error, "an old entry of the ledger stays");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::World;
    use serde_json::json;
    use std::time::Duration;

    fn dispatcher(world: &World) -> Dispatcher {
        Dispatcher::new(world.shared.clone(), world.tasks.clone(), HashMap::new())
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_that_finalizers_hold_keeps_its_last_words_and_its_one_worker() {
        let world = World::new();
        let mut dispatcher = dispatcher(&world);
        let pod = world.pod(json!({}));
        dispatcher.apply(&pod);
        world.eventually("it runs", || world.phase() == "Running").await;
        let going = world.change(|pod| {
            pod["metadata"]["deletionTimestamp"] = "2027-01-15T08:00:30Z".into();
            pod["metadata"]["deletionGracePeriodSeconds"] = 30.into();
            pod["metadata"]["finalizers"] = json!(["example.com/hold"]);
        });
        dispatcher.apply(&going);
        world.eventually("it is told to end", || world.runtime.graces() == [Duration::from_secs(30)]).await;
        // The user loses patience.
        dispatcher.apply(&world.change(|pod| pod["metadata"]["deletionGracePeriodSeconds"] = 2.into()));
        let two = [Duration::from_secs(30), Duration::from_secs(2)];
        world.eventually("it is told to end sooner", || world.runtime.graces() == two).await;
        world.runtime.end(143, "Error");
        world.eventually("its deletion is asked for", || world.api().deletes == 1).await;
        assert_eq!(world.phase(), "Failed");
        let last_words = world.api().pod["status"].clone();
        for label in ["a", "b"] {
            dispatcher.apply(&world.change(|pod| pod["metadata"]["labels"] = json!({"seen": label})));
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        assert_eq!((world.api().deletes, world.runtime.starts()), (1, 1));
        assert_eq!(world.api().pod["status"], last_words);
        assert!(world.shared.ledger.load().expect("readable").contains_key("uid-1"));
        dispatcher.gone("uid-1");
        world.eventually("it is forgotten", || world.shared.ledger.load().is_ok_and(|all| all.is_empty())).await;
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_ledger_the_api_says_what_ran() {
        let terminated = json!({"terminated": {"exitCode": 0, "reason": "Completed"}});
        let running = json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}});
        let check = async |policy: &str, state: &serde_json::Value, phase: &str, starts: usize, restarts: i64| {
            let world = World::new();
            let status = json!({"phase": "Running", "podIP": "127.64.0.9", "containerStatuses": [
                {"name": "c", "image": "i", "imageID": "", "ready": true, "restartCount": 2, "state": state},
            ]});
            world.pod(json!({"restartPolicy": policy}));
            let pod = world.change(|pod| pod["status"] = status);
            let mut dispatcher = dispatcher(&world);
            dispatcher.apply(&pod);
            let settled = || world.phase() == phase && world.runtime.starts() == starts && world.api().statuses > 0;
            world.eventually(&format!("{policy} {state} is {phase}"), settled).await;
            let status = world.api().pod["status"].clone();
            let one = &status["containerStatuses"][0];
            assert_eq!(one["restartCount"].as_i64(), Some(restarts), "{policy} {one}");
            assert_eq!(status["podIP"], "127.64.0.9");
        };
        check("Never", &running, "Failed", 0, 2).await;
        check("Never", &terminated, "Succeeded", 0, 2).await;
        check("OnFailure", &terminated, "Succeeded", 0, 2).await;
        check("Always", &running, "Running", 1, 3).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_others_made_of_the_status_is_put_right() {
        let world = World::new();
        let mut dispatcher = dispatcher(&world);
        dispatcher.apply(&world.pod(json!({})));
        world.eventually("it runs", || world.phase() == "Running").await;
        let before = world.api().statuses;
        // As the node lifecycle controller does for a node that is silent.
        let changed = world.change(|pod| {
            for condition in pod["status"]["conditions"].as_array_mut().expect("conditions") {
                if condition["type"] == "Ready" {
                    condition["status"] = "False".into();
                }
            }
        });
        dispatcher.apply(&changed);
        world.eventually("it is ready again", || world.condition("Ready") == "True").await;
        assert_eq!(world.api().statuses, before + 1);
    }
}
