//! Load on a running server, and what it costs the server.

use crate::{Sampan, now};
use anyhow::{Context, bail};
use sampan_api::k8s::api::core::v1::ConfigMap;
use sampan_client::{Client, Kubeconfig};
use sampan_env::{Env, Tasks};
use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// What each ConfigMap of the load holds, bytes.
const VALUE_BYTES: usize = 1_024;

/// A client over TLS, as the kubeconfig says. `tasks` own its connection.
pub fn connect(sampan: &Sampan, tasks: &Tasks) -> anyhow::Result<Client> {
    let config = Kubeconfig::load_file(&sampan.kubeconfig)?.remote_config(None)?;
    Ok(Client::remote(config, "sampan-bench", &Env::system(), tasks)?)
}

/// Clients that each have a connection of their own, as clients of other processes would.
pub fn connections(sampan: &Sampan, tasks: &Tasks, count: usize) -> anyhow::Result<Vec<Client>> {
    (0..count).map(|_| connect(sampan, tasks)).collect()
}

/// Memory that a process holds now.
pub fn resident_kib(pid: u32) -> anyhow::Result<u64> {
    Ok(Memory::of(pid)?.resident_kib)
}

/// Memory that a process holds, by who pays for it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// All pages, those of files that other processes map too among them.
    pub resident_kib: u64,
    /// Its own pages, and of each that is shared its part: those of several processes add up to what the machine has lost.
    pub proportional_kib: u64,
    /// Pages that stand in no file.
    pub own_kib: u64,
}

impl Memory {
    /// Of a process that runs. Errors: where it does not.
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        let field = |name: &str| -> anyhow::Result<u64> {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| name.to_owned())?;
            Ok(line.trim().trim_end_matches(" kB").trim().parse()?)
        };
        Ok(Self { resident_kib: field("Rss:")?, proportional_kib: field("Pss:")?, own_kib: field("Pss_Anon:")? })
    }
}

/// User and system time of a process. Linux counts it in hundredths of a second.
fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit_once(')').context("stat")?.1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok(Duration::from_millis(ticks * 10))
}

/// CPU time of the threads of one name.
pub fn thread_cpu(pid: u32, name: &str) -> anyhow::Result<Duration> {
    let mut sum = Duration::ZERO;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let task = task?.path();
        if std::fs::read_to_string(task.join("comm"))?.trim() == name {
            // Nanoseconds on a core, nanoseconds waiting for one, time slices.
            let text = std::fs::read_to_string(task.join("schedstat"))?;
            sum += Duration::from_nanos(text.split(' ').next().context("schedstat")?.parse()?);
        }
    }
    Ok(sum)
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

/// The value below which `percent` of sorted times lie.
pub fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

pub fn configmap(name: &str) -> ConfigMap {
    let mut map = ConfigMap::default();
    map.metadata.name = Some(name.to_owned());
    map.data = Some([("value".to_owned(), "x".repeat(VALUE_BYTES))].into());
    map
}

/// Creates `count` ConfigMaps `<prefix>-0`, ..., on each connection one after the other.
pub async fn creates(clients: &[Client], pid: u32, prefix: &str, count: usize) -> anyhow::Result<Cost> {
    let measure = Measure::begin(pid)?;
    each(clients, count, |client, n| {
        let maps = client.namespaced::<ConfigMap>("default");
        let map = configmap(&format!("{prefix}-{n}"));
        async move { maps.create(&map).await.map(drop) }
    })
    .await?;
    measure.end(count)
}

/// Reads ConfigMaps of `<prefix>-0` to `<prefix>-<keys - 1>` in turn.
pub async fn gets(clients: &[Client], pid: u32, prefix: &str, keys: usize, count: usize) -> anyhow::Result<Cost> {
    let measure = Measure::begin(pid)?;
    each(clients, count, |client, n| {
        let maps = client.namespaced::<ConfigMap>("default");
        async move { maps.get_record(&format!("{prefix}-{}", n % keys)).await.map(drop) }
    })
    .await?;
    measure.end(count)
}

/// Does something `count` times, on all connections at once and on each one after the other.
pub async fn each<F, Fut>(clients: &[Client], count: usize, one: F) -> anyhow::Result<()>
where
    F: Fn(Client, usize) -> Fut,
    Fut: Future<Output = Result<(), sampan_client::Error>>,
{
    let next = AtomicUsize::new(0);
    let workers = clients.iter().map(|client| {
        let (next, one) = (&next, &one);
        async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= count {
                    return Ok::<(), sampan_client::Error>(());
                }
                one(client.clone(), n).await?;
            }
        }
    });
    futures::future::try_join_all(workers).await?;
    Ok(())
}

/// What the server's `/metrics` says, without labels.
pub async fn counters(client: &Client) -> anyhow::Result<HashMap<String, f64>> {
    let text = client.request_bytes(http::Request::get("/metrics").body(bytes::Bytes::new())?).await?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.contains('{'));
    Ok(lines
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
        .collect())
}

/// A look at a process's syncs of files.
pub struct Syncs {
    strace: Child,
    report: tempfile::NamedTempFile,
}

/// Begins to count the syncs of all threads of a process, with `strace`.
pub fn stored_syncs(pid: u32) -> anyhow::Result<Syncs> {
    let report = tempfile::NamedTempFile::new()?;
    let mut command = Command::new("strace");
    command.args(["-f", "-e", "trace=fdatasync,fsync,sync_file_range,sync"]).arg("-o").arg(report.path());
    let mut strace = command.arg("-p").arg(pid.to_string()).stderr(Stdio::piped()).spawn().context("strace")?;
    let stderr = strace.stderr.take().context("strace's words")?;
    let mut lines = BufReader::new(stderr).lines();
    let first = lines.next().context("strace said nothing")??;
    if !first.contains("attached") {
        bail!("strace: {first}");
    }
    // It goes on to say which threads it found; nobody needs to know.
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    Ok(Syncs { strace, report })
}

impl Syncs {
    /// How many there were.
    pub fn end(mut self) -> anyhow::Result<u32> {
        let pid = i32::try_from(self.strace.id()).ok().and_then(rustix::process::Pid::from_raw).context("a process")?;
        rustix::process::kill_process(pid, rustix::process::Signal::INT)?;
        self.strace.wait()?;
        let text = std::fs::read_to_string(self.report.path())?;
        let calls = text.lines().filter(|line| line.contains("sync") && !line.contains("resumed>"));
        Ok(u32::try_from(calls.count())?)
    }
}
