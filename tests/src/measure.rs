//! Load on a running server, and what it costs the server.

use crate::{Sampan, now};
use anyhow::{Context, bail};
use futures::stream::{self, StreamExt};
use sampan_api::k8s::api::core::v1::ConfigMap;
use sampan_client::{Client, Kubeconfig};
use sampan_env::{Env, Tasks};
use serde_json::json;
use std::time::{Duration, Instant};

/// What each ConfigMap of the load holds, bytes.
const VALUE_BYTES: usize = 1_024;

/// A client over TLS, as the kubeconfig says.
pub fn connect(sampan: &Sampan) -> anyhow::Result<Client> {
    let config = Kubeconfig::load_file(&sampan.kubeconfig)?.remote_config(None)?;
    Ok(Client::remote(config, "sampan-bench", &Env::system(), &Tasks::new("bench"))?)
}

/// Memory that a process holds now.
pub fn resident_kib(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse()?)
}

/// User and system time of a process. Linux counts it in hundredths of a second.
fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit_once(')').context("stat")?.1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok(Duration::from_millis(ticks * 10))
}

/// A stretch of time in which a server is put to work.
pub struct Measure {
    pid: u32,
    pub began: Instant,
    cpu: Duration,
}

/// What one request took.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    pub per_second: f64,
    pub cpu_us: f64,
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.0}/s, {:.0} us of the server's CPU each", self.per_second, self.cpu_us)
    }
}

impl Measure {
    pub fn begin(pid: u32) -> anyhow::Result<Self> {
        Ok(Self { pid, began: now(), cpu: cpu(pid)? })
    }

    pub fn end(&self, count: usize) -> anyhow::Result<Cost> {
        let elapsed = now().duration_since(self.began).as_secs_f64();
        let spent = cpu(self.pid)?.saturating_sub(self.cpu).as_micros() as f64;
        Ok(Cost { per_second: count as f64 / elapsed, cpu_us: spent / count as f64 })
    }
}

/// Creates `count` ConfigMaps `<prefix>-0`, ..., `clients` at once.
pub async fn creates(client: &Client, pid: u32, prefix: &str, count: usize, clients: usize) -> anyhow::Result<Cost> {
    let maps = client.namespaced::<ConfigMap>("default");
    let value = "x".repeat(VALUE_BYTES);
    let measure = Measure::begin(pid)?;
    let made = stream::iter(0..count).map(|i| {
        let object: ConfigMap = serde_json::from_value(json!({
            "metadata": {"name": format!("{prefix}-{i}")}, "data": {"value": value},
        }))
        .unwrap_or_default();
        let maps = maps.clone();
        async move { maps.create(&object).await }
    });
    let failed = made.buffer_unordered(clients).filter(|result| std::future::ready(result.is_err())).count().await;
    if failed > 0 {
        bail!("{failed} of {count} creates failed");
    }
    measure.end(count)
}

/// Reads ConfigMaps of `<prefix>-0` to `<prefix>-<keys - 1>` in turn, `clients` at once.
pub async fn gets(
    client: &Client,
    pid: u32,
    prefix: &str,
    keys: usize,
    count: usize,
    clients: usize,
) -> anyhow::Result<Cost> {
    let maps = client.namespaced::<ConfigMap>("default");
    let measure = Measure::begin(pid)?;
    let read = stream::iter(0..count).map(|i| {
        let maps = maps.clone();
        async move { maps.get_record(&format!("{prefix}-{}", i % keys)).await }
    });
    let failed = read.buffer_unordered(clients).filter(|result| std::future::ready(result.is_err())).count().await;
    if failed > 0 {
        bail!("{failed} of {count} GETs failed");
    }
    measure.end(count)
}
