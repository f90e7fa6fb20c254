//! From a pod's binding to its running, image and component at hand.

use anyhow::{Context, ensure};
use futures::stream::StreamExt;
use sampan_api::RecordEvent;
use sampan_api::k8s::api::core::v1::Pod;
use sampan_client::{Client, WatchParams};
use sampan_env::Tasks;
use sampan_tests::measure::{Measure, connect, percentile};
use sampan_tests::{Sampan, now};
use serde_json::json;
use std::collections::HashMap;
use std::time::{Duration, Instant};

const PODS: usize = 100;
const PODS_PER_SECOND: u32 = 20;
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

pub async fn run(tasks: &Tasks) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let sampan = Sampan::up(folder.path(), &[]);
    let client = connect(&sampan, tasks)?;
    started(tasks, &client, "warm", 2, None).await?;
    deleted(&client, "warm", 2).await?;
    let mut times = started(tasks, &client, "paced", PODS, Some(Duration::from_secs(1) / PODS_PER_SECOND)).await?;
    deleted(&client, "paced", PODS).await?;
    times.sort();
    println!(
        "bound to running, {PODS_PER_SECOND} pods/s, as a watcher sees it: p50 {:.1} ms, p99 {:.1} ms",
        percentile(&times, 50).as_secs_f64() * 1e3,
        percentile(&times, 99).as_secs_f64() * 1e3,
    );
    let measure = Measure::begin(sampan.pid())?;
    let mut times = started(tasks, &client, "burst", PODS, None).await?;
    let cost = measure.end(PODS)?;
    times.sort();
    println!(
        "pods made, scheduled, started on one node, {PODS} at once: {cost}; bound to running p50 {:.1} ms, p99 {:.1} ms",
        percentile(&times, 50).as_secs_f64() * 1e3,
        percentile(&times, 99).as_secs_f64() * 1e3,
    );
    Ok(())
}

/// Makes pods and returns for each the time from the event that binds it to the one that says Running.
async fn started(
    tasks: &Tasks,
    client: &Client,
    prefix: &str,
    count: usize,
    pace: Option<Duration>,
) -> anyhow::Result<Vec<Duration>> {
    let pods = client.namespaced::<Pod>("default");
    let mut events = pods.watch(&WatchParams::default()).await?;
    let seen = tasks.spawn(async move {
        let mut bound: HashMap<String, Instant> = HashMap::new();
        let mut times = Vec::new();
        while times.len() < count {
            let event = tokio::time::timeout(PATIENCE, events.next()).await.context("no pod for a long time")?;
            let (RecordEvent::Added(record) | RecordEvent::Modified(record)) = event.context("the watch ended")??
            else {
                continue;
            };
            let at = now();
            let pod = record.typed::<Pod>()?;
            let name = record.key.name.to_string();
            let running = pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running");
            if pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some()) {
                let since = *bound.entry(name.clone()).or_insert(at);
                if running {
                    bound.remove(&name);
                    times.push(at.duration_since(since));
                }
            }
        }
        anyhow::Ok(times)
    });
    for n in 0..count {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": format!("{prefix}-{n}")},
            "spec": {"terminationGracePeriodSeconds": 0, "containers": [{
                "name": "c", "image": "sampan/hello:v1", "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}},
            }]},
        }))?;
        pods.create(&pod).await?;
        if let Some(pace) = pace {
            tokio::time::sleep(pace).await;
        }
    }
    seen.await?
}

/// Deletes them, and waits until the node has let go of the last.
async fn deleted(client: &Client, prefix: &str, count: usize) -> anyhow::Result<()> {
    let pods = client.namespaced::<Pod>("default");
    for n in 0..count {
        pods.delete(&format!("{prefix}-{n}"), &sampan_client::DeleteParams::default()).await?;
    }
    let end = now() + PATIENCE;
    while !pods.list_records(&sampan_client::ListParams::default()).await?.items.is_empty() {
        ensure!(now() < end, "pods were not gone after {} s", PATIENCE.as_secs());
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}
