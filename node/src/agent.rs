//! The agent: registers, follows the pods of its node, and gives each a worker.

use crate::address::Addresses;
use crate::kubelet_api;
use crate::ledger::{Ledger, LedgerEntry, LedgerError};
use crate::limits::DRAIN;
use crate::observed::Observed;
use crate::register::{NodeFacts, heartbeat, register};
use crate::runtime::PodRuntime;
use crate::worker::{PodFeed, Shared, Worker};
use sampan_api::k8s::api::core::v1::Pod;
use sampan_client::{ApiService, Change, Client, EventRecorder, InformerSpec, Informers};
use sampan_env::{Env, Tasks};
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// What an agent needs to know.
pub struct AgentConfig {
    pub node_name: String,
    /// Speaks as `system:node:<node_name>`.
    pub client: Client,
    pub runtime: Arc<dyn PodRuntime>,
    /// Where the ledger stands.
    pub ledger: PathBuf,
    /// The node's part of the pod range.
    pub pod_network: (Ipv4Addr, u8),
    pub host_ip: String,
    /// As `/version` says it.
    pub version: String,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the node could not register: {0}")]
    Register(#[from] sampan_client::Error),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("{0}/{1} leaves no pod addresses")]
    Network(Ipv4Addr, u8),
}

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
        let (network, prefix) = config.pod_network;
        let addresses = Addresses::new(network, prefix).ok_or(StartError::Network(network, prefix))?;
        let facts = NodeFacts::of_machine(
            &config.node_name,
            &config.host_ip,
            &config.version,
            &config.runtime.version(),
            config.runtime.pods_max(),
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
            logs: parking_lot::Mutex::default(),
        });
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
        let dispatcher = Dispatcher { shared: shared.clone(), tasks: tasks.clone(), before, workers: HashMap::new() };
        tasks.spawn_until_cancelled(dispatcher.run(feed));
        Ok(Self { shared, tasks })
    }

    /// The kubelet API of this node: what the API server reaches for logs.
    pub fn kubelet_api(&self) -> ApiService {
        kubelet_api::service(self.shared.clone(), self.tasks.clone())
    }

    /// Ends the workers and what runs in them; the ledger says what to run again.
    pub async fn drain(&self) {
        if let Err(error) = self.tasks.drain(DRAIN).await {
            tracing::warn!(%error, "the node did not end in time");
        }
    }
}

struct Dispatcher {
    shared: Arc<Shared>,
    tasks: Tasks,
    before: HashMap<String, LedgerEntry>,
    workers: HashMap<String, watch::Sender<Option<Arc<Pod>>>>,
}

impl Dispatcher {
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

    fn apply(&mut self, pod: &Arc<Pod>) {
        let Some(uid) = pod.metadata.uid.clone() else { return };
        if let Some(feed) = self.workers.get(&uid) {
            if feed.send(Some(pod.clone())).is_ok() {
                return;
            }
            // The worker has ended: its pod is on its way out of the API.
            self.workers.remove(&uid);
            return;
        }
        let before = self.before.remove(&uid).map(|entry| entry.observed);
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
        if before.is_none() && matches!(phase, "Succeeded" | "Failed") && pod.metadata.deletion_timestamp.is_none() {
            return; // It ended before this ledger began: nothing is to be run.
        }
        self.spawn(uid, pod.clone(), before);
    }

    fn spawn(&mut self, uid: String, pod: Arc<Pod>, before: Option<Observed>) {
        let (send, receive): (_, PodFeed) = watch::channel(Some(pod.clone()));
        self.workers.insert(uid, send);
        let worker = Worker::new(self.shared.clone(), pod, before);
        self.tasks.spawn(worker.run(receive, self.tasks.token().clone()));
    }

    fn gone(&mut self, uid: &str) {
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
