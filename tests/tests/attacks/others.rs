//! Those who are not the attacker: their requests at a fixed rate over connections of their own, the nodes' leases, and
//! the memory of the server.

use crate::wire::{self, Stream, Target};
use sampan_tests::measure::{percentile, resident_kib};
use sampan_tests::{PATIENCE, now};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A request that is not answered by then has failed.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// How often the server's memory is looked at.
const MEMORY_EVERY: Duration = Duration::from_millis(50);

/// A request that is made again and again.
#[derive(Clone)]
pub struct Probe {
    pub name: &'static str,
    /// In turn.
    pub requests: Vec<Arc<[u8]>>,
    /// Over one connection, or each over a new one.
    pub kept: bool,
    pub every: Duration,
}

/// What came of one probe.
pub struct Seen {
    pub name: &'static str,
    /// From when each was due to the end of its answer, sorted.
    pub times: Vec<Duration>,
    /// Codes other than 200, and errors of the connection, each with how often it came.
    pub failures: BTreeMap<String, usize>,
}

impl Seen {
    pub fn percentile(&self, percent: usize) -> Duration {
        percentile(&self.times, percent)
    }
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |percent| self.percentile(percent).as_secs_f64() * 1e3;
        let (count, p50, p99, most) = (self.times.len(), ms(50), ms(99), ms(100));
        write!(f, "{}: {count}, p50 {p50:.1}, p99 {p99:.1}, max {most:.1} ms {:?}", self.name, self.failures)
    }
}

/// What all of them saw.
pub struct Outcome {
    pub seen: Vec<Seen>,
    /// When each renewal of a lease was told to a watch, beginning with the first state.
    pub renewals: Vec<Instant>,
    /// The most memory that the server held, KiB.
    pub memory_peak: u64,
}

/// Others at work, until [`Others::end`].
pub struct Others {
    stop: Arc<AtomicBool>,
    seen: JoinHandle<(Vec<Seen>, Vec<Instant>)>,
    memory: JoinHandle<u64>,
}

impl Others {
    /// `leases` is the request of a watch over leases. They have threads of their own, so that they wait for none of the
    /// attacker's. When this returns, each probe has had its first answer.
    pub fn begin(target: &Target, pid: u32, probes: Vec<Probe>, leases: Arc<[u8]>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (target, stopped, count) = (target.clone(), stop.clone(), probes.len());
        let (answered, answers) = mpsc::channel();
        let seen = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let asked = probes.iter().map(|probe| keep_asking(&target, probe, &stopped, answered.clone()));
                let asked = futures::future::join_all(asked);
                let mut renewals = Vec::new();
                let seen = tokio::select! {
                    seen = asked => seen,
                    ended = renewed(&target, &leases, &mut renewals) => panic!("the watch over leases ended: {ended:?}"),
                };
                (seen, renewals)
            })
        });
        let stopped = stop.clone();
        let memory = std::thread::spawn(move || {
            let mut peak = 0;
            while !stopped.load(Ordering::Relaxed) {
                peak = peak.max(resident_kib(pid).expect("it runs"));
                std::thread::sleep(MEMORY_EVERY);
            }
            peak
        });
        for _ in 0..count {
            answers.recv_timeout(PATIENCE).expect("each probe is answered before the attack");
        }
        Self { stop, seen, memory }
    }

    pub fn end(self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        let (seen, renewals) = self.seen.join().expect("they were watched");
        Outcome { seen, renewals, memory_peak: self.memory.join().expect("it was watched") }
    }
}

async fn keep_asking(target: &Target, probe: &Probe, stop: &AtomicBool, answered: mpsc::Sender<()>) -> Seen {
    let mut seen = Seen { name: probe.name, times: Vec::new(), failures: BTreeMap::new() };
    let mut kept = None;
    let began = now();
    for at in 0.. {
        let due = began + probe.every * at;
        tokio::time::sleep_until(due.into()).await;
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let request = &probe.requests[at as usize % probe.requests.len()];
        let outcome = tokio::time::timeout(ANSWER_MAX, once(target, request, &mut kept)).await;
        seen.times.push(now().duration_since(due));
        if at == 0 {
            // Nobody waits any more where the patience of who began it has ended, which is a failure there.
            answered.send(()).ok();
        }
        let failure = match outcome {
            Ok(Ok(200)) => None,
            Ok(Ok(code)) => Some(code.to_string()),
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("not answered".to_owned()),
        };
        if !probe.kept || failure.is_some() {
            kept = None;
        }
        if let Some(failure) = failure {
            *seen.failures.entry(failure).or_default() += 1;
        }
    }
    seen.times.sort();
    seen
}

async fn once(target: &Target, request: &[u8], kept: &mut Option<Stream>) -> io::Result<u16> {
    let stream = match kept {
        Some(stream) => stream,
        None => kept.insert(target.open().await?),
    };
    wire::ask(stream, request).await
}

/// Notes when each event of a watch over leases comes.
async fn renewed(target: &Target, watch: &[u8], renewals: &mut Vec<Instant>) -> io::Result<()> {
    let mut stream = target.open().await?;
    stream.write_all(watch).await?;
    stream.flush().await?;
    let mut bytes = Vec::with_capacity(64 * 1024);
    loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // An event is a line.
        let lines = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        renewals.extend(memchr::memmem::find_iter(&bytes[..lines], b"\"renewTime\":\"").map(|_| now()));
        bytes.drain(..lines);
    }
}
