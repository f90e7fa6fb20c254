//! From a create's request to each of many watchers.

use anyhow::{Context, ensure};
use futures::stream::StreamExt;
use sampan_api::RecordEvent;
use sampan_api::k8s::api::core::v1::ConfigMap;
use sampan_client::WatchParams;
use sampan_env::Tasks;
use sampan_tests::measure::{Measure, configmap, connections, percentile};
use sampan_tests::{Sampan, now};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

const WATCHERS: usize = 100;
const CREATES: usize = 400;
const CREATES_PER_SECOND: u32 = 20;
const SERIES: usize = 3;
const PATIENCE: Duration = Duration::from_secs(30);

pub async fn run(tasks: &Tasks) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let sampan = Sampan::up(folder.path(), &["--components", "apiserver,scheduler"]);
    let clients = connections(&sampan, tasks, WATCHERS + 1)?;
    for series in 0..SERIES {
        let sent: Arc<Mutex<HashMap<String, Instant>>> = Arc::default();
        let measure = Measure::begin(sampan.pid())?;
        let mut watchers = Vec::new();
        for client in &clients[..WATCHERS] {
            let mut stream = client.namespaced::<ConfigMap>("default").watch(&WatchParams::default()).await?;
            let prefix = format!("seen-{series}-");
            watchers.push(tasks.spawn(async move {
                let mut seen = Vec::with_capacity(CREATES);
                while seen.len() < CREATES {
                    let Some(event) = stream.next().await else { break };
                    let at = now();
                    if let RecordEvent::Added(record) = event?
                        && record.key.name.starts_with(&prefix)
                    {
                        seen.push((record.key.name.to_string(), at));
                    }
                }
                anyhow::Ok(seen)
            }));
        }
        let maps = clients[WATCHERS].namespaced::<ConfigMap>("default");
        let start = now();
        for n in 0..CREATES {
            let due = start + Duration::from_secs(1) / CREATES_PER_SECOND * u32::try_from(n)?;
            tokio::time::sleep_until(due.into()).await;
            let name = format!("seen-{series}-{n}");
            sent.lock().await.insert(name.clone(), now());
            maps.create(&configmap(&name)).await?;
        }
        let mut latencies = Vec::new();
        for watcher in watchers {
            let seen = tokio::time::timeout(PATIENCE, watcher).await.context("a watcher missed an event")???;
            let sent = sent.lock().await;
            latencies.extend(seen.iter().map(|(name, at)| at.duration_since(sent[name])));
        }
        ensure!(latencies.len() == WATCHERS * CREATES, "{} of {} events", latencies.len(), WATCHERS * CREATES);
        latencies.sort();
        let cost = measure.end(WATCHERS * CREATES)?;
        println!(
            "create sent to seen by each of {WATCHERS} watchers, {CREATES_PER_SECOND}/s: p50 {:.1} ms, p99 {:.1} ms, {:.0} us of the server's CPU an event",
            percentile(&latencies, 50).as_secs_f64() * 1e3,
            percentile(&latencies, 99).as_secs_f64() * 1e3,
            cost.cpu_us,
        );
    }
    Ok(())
}
