//! Watches of the pods of many nodes: a pod concerns one of them, and costs what it costs with one.

use anyhow::{Context, ensure};
use futures::stream::StreamExt;
use sampan_api::RecordEvent;
use sampan_api::k8s::api::core::v1::{Pod, ServiceAccount};
use sampan_client::{Client, WatchParams};
use sampan_env::Tasks;
use sampan_tests::Sampan;
use sampan_tests::measure::{Cost, Measure, connections, each};
use serde_json::json;
use std::time::Duration;

const WATCHERS: [usize; 2] = [1, 5_000];
const WATCHES_A_CONNECTION: usize = 100;
const PODS: usize = 2_000;
const AT_ONCE: usize = 16;
const PATIENCE: Duration = Duration::from_secs(60);

pub async fn run(tasks: &Tasks) -> anyhow::Result<()> {
    for watchers in WATCHERS {
        let cost = with(tasks, watchers).await?;
        println!("pods made beside {watchers} watches of a node's pods each: {cost}");
    }
    Ok(())
}

async fn with(tasks: &Tasks, watchers: usize) -> anyhow::Result<Cost> {
    let folder = tempfile::tempdir()?;
    let sampan = Sampan::up(folder.path(), &["--components", "apiserver"]);
    let clients = connections(&sampan, tasks, AT_ONCE)?;
    let account: ServiceAccount = serde_json::from_value(json!({"metadata": {"name": "default"}}))?;
    clients[0].namespaced::<ServiceAccount>("default").create(&account).await?;
    let watching = connections(&sampan, tasks, watchers.div_ceil(WATCHES_A_CONNECTION))?;
    let mut seen = Vec::new();
    for n in 0..watchers {
        seen.push(tasks.spawn(count(watching[n / WATCHES_A_CONNECTION].clone(), n, expected(n, watchers))));
    }
    let measure = Measure::begin(sampan.pid())?;
    each(&clients, PODS, |client, n| async move {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": format!("p-{n}")},
            "spec": {"nodeName": format!("n-{}", n % watchers), "containers": [{"name": "c", "image": "i"}]},
        }))
        .map_err(|error| sampan_client::Error::Config(error.to_string()))?;
        client.namespaced::<Pod>("default").create(&pod).await.map(drop)
    })
    .await?;
    let cost = measure.end(PODS)?;
    for watcher in seen {
        tokio::time::timeout(PATIENCE, watcher).await.context("a watcher missed a pod")???;
    }
    Ok(cost)
}

/// How many of the pods are bound to node `n`.
fn expected(n: usize, nodes: usize) -> usize {
    (0..PODS).skip(n).step_by(nodes).count()
}

/// Watches the pods of node `n` until it has seen so many.
async fn count(client: Client, n: usize, pods: usize) -> anyhow::Result<()> {
    let params = WatchParams { field_selector: Some(format!("spec.nodeName=n-{n}")), ..WatchParams::default() };
    let mut events = client.all::<Pod>().watch(&params).await?;
    let mut added = 0;
    while added < pods {
        let event = events.next().await.context("the watch ended")?;
        added += usize::from(matches!(event?, RecordEvent::Added(_)));
    }
    ensure!(added == pods, "{added} pods of {pods}");
    Ok(())
}
