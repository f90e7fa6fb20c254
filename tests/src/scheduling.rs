//! Pods onto nodes that only exist as objects, and what that costs.

use crate::measure::{Cost, Measure, connections, each, thread_cpu};
use crate::{Sampan, now};
use anyhow::ensure;
use sampan_api::k8s::api::coordination::v1::Lease;
use sampan_api::k8s::api::core::v1::{Node, Pod, ServiceAccount};
use sampan_client::{Client, ListParams, Patch};
use sampan_env::Tasks;
use serde_json::{Value, json};
use std::time::Duration;

/// As many creators as the load that other schedulers were measured with.
const CREATORS: usize = 16;
/// As kubelets renew their leases.
const HEARTBEAT: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(120);
/// The one that the scheduler's synchronous part runs on.
const THREAD: &str = "scheduler";
const POLL: Duration = Duration::from_millis(20);

fn of<K: serde::de::DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap_or_else(|error| panic!("an object of this bench: {error}"))
}

fn node(name: &str) -> Node {
    of(json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}}}))
}

fn pod(name: &str) -> Pod {
    of(json!({
        "metadata": {"name": name},
        "spec": {"containers": [
            {"name": "c", "image": "sampan/hello:v1", "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}},
        ]},
    }))
}

fn lease(name: &str) -> Lease {
    of(json!({"metadata": {"name": name}, "spec": {"holderIdentity": name, "leaseDurationSeconds": 40}}))
}

/// Makes `count` ready nodes `node-0`, ..., each with its lease, and the account of the pods, which no controller makes here.
pub async fn nodes(clients: &[Client], count: usize) -> anyhow::Result<()> {
    let account: ServiceAccount = of(json!({"metadata": {"name": "default"}}));
    clients[0].namespaced::<ServiceAccount>("default").create(&account).await?;
    each(clients, count, |client, n| async move {
        let name = format!("node-{n}");
        client.all::<Node>().create(&node(&name)).await?;
        // New nodes are tainted not-ready; the controller that would take it away does not run here.
        client.all::<Node>().patch(&name, &Patch::Merge(json!({"spec": {"taints": null}}))).await?;
        let resources = json!({"cpu": "32", "memory": "128Gi", "pods": "110"});
        let status = json!({"status": {
            "capacity": resources, "allocatable": resources,
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
        }});
        client.all::<Node>().patch_status(&name, &Patch::Merge(status)).await?;
        client.namespaced::<Lease>("kube-node-lease").create(&lease(&name)).await?;
        Ok(())
    })
    .await
}

/// Renews the leases of all nodes, spread over each period, until it is dropped.
pub async fn heartbeats(client: Client, count: usize) -> anyhow::Result<()> {
    let leases = client.namespaced::<Lease>("kube-node-lease");
    let mut tick = tokio::time::interval(HEARTBEAT / u32::try_from(count)?);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    for n in (0..count).cycle() {
        tick.tick().await;
        let time = sampan_api::time::rfc3339_micro(sampan_env::Env::system().now());
        leases.patch(&format!("node-{n}"), &Patch::Merge(json!({"spec": {"renewTime": time}}))).await?;
    }
    Ok(())
}

/// Makes `count` pods and waits until each is bound. `scheduled`: false only makes them.
pub async fn pods(clients: &[Client], pid: u32, prefix: &str, count: usize, scheduled: bool) -> anyhow::Result<Cost> {
    let measure = Measure::begin(pid)?;
    each(clients, count, |client, n| async move {
        client.namespaced::<Pod>("default").create(&pod(&format!("{prefix}-{n}"))).await.map(drop)
    })
    .await?;
    let pods = clients[0].namespaced::<Pod>("default");
    let unbound = ListParams { limit: Some(1), ..ListParams::fields("spec.nodeName=") };
    while scheduled && !pods.list_records(&unbound).await?.items.is_empty() {
        ensure!(now().duration_since(measure.began) < PATIENCE, "pods were not bound in {} s", PATIENCE.as_secs());
        tokio::time::sleep(POLL).await;
    }
    measure.end(count)
}

/// What scheduling costs, beside what making the pods costs.
#[derive(Clone, Copy, Debug)]
pub struct Scheduling {
    pub nodes: usize,
    pub made: Cost,
    pub scheduled: Cost,
    /// The scheduler's own: what it hears of pods and nodes, the queue, the cycle, the policies.
    pub scheduler_us: f64,
    /// All that a pod costs the process more because it is scheduled: with the API server's and the store's part in the
    /// binding, the event and the decision record.
    pub all_us: f64,
}

impl std::fmt::Display for Scheduling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { nodes, made, scheduled, scheduler_us, all_us } = self;
        write!(
            f,
            "pods made and scheduled, {nodes} nodes with heartbeats: {scheduled}; only made {made}: scheduling one costs \
             {scheduler_us:.0} us of the scheduler's CPU, {all_us:.0} us with its binding, event and decision record"
        )
    }
}

/// Makes pods on a server without a scheduler, and as many on one with it. `tasks` own the load.
pub async fn of_the_scheduler(tasks: &Tasks, node_count: usize, pod_count: usize) -> anyhow::Result<Scheduling> {
    let mut costs = Vec::new();
    let mut own = Duration::ZERO;
    for components in ["apiserver", "apiserver,scheduler"] {
        let folder = tempfile::tempdir()?;
        let sampan = Sampan::up(folder.path(), &["--components", components]);
        let clients = connections(&sampan, tasks, CREATORS)?;
        nodes(&clients, node_count).await?;
        let beats = tasks.spawn(heartbeats(clients[0].clone(), node_count));
        let scheduled = components.contains("scheduler");
        // The first pods warm what is compiled and cached lazily; the figure is of a cluster that runs.
        pods(&clients, sampan.pid(), "warm", pod_count / 10, scheduled).await?;
        let before = thread_cpu(sampan.pid(), THREAD)?;
        costs.push(pods(&clients, sampan.pid(), "pod", pod_count, scheduled).await?);
        own = thread_cpu(sampan.pid(), THREAD)?.saturating_sub(before);
        ensure!(!scheduled || !own.is_zero(), "there is no thread of the name {THREAD}");
        ensure!(!beats.is_finished(), "the heartbeats ended: {:?}", beats.await);
        beats.abort();
    }
    let [made, scheduled] = costs[..] else { unreachable!("two measurements") };
    let scheduler_us = own.as_micros() as f64 / pod_count as f64;
    Ok(Scheduling { nodes: node_count, made, scheduled, scheduler_us, all_us: scheduled.cpu_us - made.cpu_us })
}
