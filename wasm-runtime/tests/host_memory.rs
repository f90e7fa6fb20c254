//! What guests make the host hold is theirs: each kind of host resource is charged to its container, ends it past its
//! limit, and leaves nothing behind. In a test binary of its own: the process's memory is measured.

#![allow(dead_code, reason = "each test binary uses its part of the support module")]

mod support;

use sampan_wasm_runtime::*;
use std::sync::Arc;
use std::time::Duration;
use support::*;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

/// One test at a time: they measure the whole process.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

const LIMIT: u64 = 16 << 20;
/// What the process may grow by beside the container's limit.
const SLACK: u64 = 1 << 20;

/// Kinds that a guest can make without bound, each of which ends it.
const ENDLESS: [&str; 27] = [
    "pollable",
    "past-pollable",
    "stdin",
    "stdout",
    "stderr",
    "stream-pollable",
    "network",
    "fields",
    "fields-large",
    "fields-from-list",
    "fields-many",
    "fields-emptied",
    "fields-clone",
    "headers-of-request",
    "headers-of-response",
    "request",
    "request-headers",
    "request-path",
    "request-authority",
    "request-method",
    "request-body",
    "request-trailers",
    "response",
    "response-headers",
    "response-body",
    "request-options",
    "error",
];

/// The process's resident memory in bytes: now, or the most since the last call of [`forget_peak`].
fn resident(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("proc(5)");
    let line = status.lines().find(|line| line.starts_with(field)).unwrap_or_else(|| panic!("no {field}"));
    line.split_whitespace().nth(1).and_then(|text| text.parse::<u64>().ok()).expect("kibibytes") << 10
}

/// Gives back what the allocator keeps of earlier guests, and forgets the peak.
fn forget_peak() {
    // SAFETY: it takes no pointer and may be called at any time.
    unsafe { libc::malloc_trim(0) };
    std::fs::write("/proc/self/clear_refs", "5").expect("proc(5)");
}

async fn end_of(runtime: &Runtime, args: &[&str]) -> (Exit, String, Usage) {
    run(runtime, ContainerLimits { memory_bytes: Some(LIMIT), ..ContainerLimits::default() }, args).await
}

/// Few handles fit in a store, so that the cheap kinds meet that bound first: both are ends.
fn ended_well(kind: &str, exit: &Exit, usage: &Usage) {
    let oom = exit.code == 137 && exit.reason == ExitReason::OomKilled;
    let full = exit.code == 134 && usage.memory_peak_bytes > limits::COMPONENT_HANDLES_MAX as u64 * 256;
    assert!(oom || full, "{kind}: {exit:?} {usage:?}");
    assert!(usage.memory_peak_bytes <= LIMIT, "{kind}: {usage:?}");
    assert_eq!(usage.memory_bytes, 0, "{kind}: {usage:?}");
}

#[tokio::test]
async fn each_kind_of_host_resource_is_the_containers() {
    let _turn = TURN.lock().await;
    let runtime = runtime();
    // What a first run makes and keeps: the artefact, threads, the allocator's own.
    end_of(&runtime, &["hold", "fields-large", "100000"]).await;
    for kind in ENDLESS {
        forget_peak();
        let before = resident("VmRSS");
        let (exit, log, usage) = end_of(&runtime, &["hold", kind, "100000"]).await;
        let grown = resident("VmHWM").saturating_sub(before);
        println!("{kind}: {grown} bytes, {} charged at most", usage.memory_peak_bytes);
        assert!(!log.contains("made"), "{kind}: {log}");
        ended_well(kind, &exit, &usage);
        assert!(grown <= LIMIT + SLACK, "{kind}: the process grew by {grown} bytes, {usage:?}");
    }
}

#[tokio::test]
async fn what_one_call_asks_for_is_refused_before_it_is_allocated() {
    let _turn = TURN.lock().await;
    let runtime = runtime();
    end_of(&runtime, &["hold", "fields", "1"]).await;
    for kind in ["huge-argument", "huge-random", "huge-insecure-random", "huge-zeroes"] {
        forget_peak();
        let before = resident("VmRSS");
        let (exit, log, _) = end_of(&runtime, &["hold", kind, "1"]).await;
        let grown = resident("VmHWM").saturating_sub(before);
        assert_eq!((exit.code, exit.reason), (134, ExitReason::Error), "{kind}: {exit:?} {log}");
        assert!(grown <= LIMIT + SLACK, "{kind}: the process grew by {grown} bytes");
    }
}

#[tokio::test]
async fn waiting_for_many_costs_what_it_takes() {
    let _turn = TURN.lock().await;
    let runtime = runtime();
    let fits = end_of(&runtime, &["hold", "polled", "10"]);
    assert!(tokio::time::timeout(Duration::from_millis(300), fits).await.is_err(), "it waits for ever");
    let (exit, _, usage) = run(
        &runtime,
        ContainerLimits { memory_bytes: Some(7 << 20), ..ContainerLimits::default() },
        &["hold", "polled", "4900"],
    )
    .await;
    assert_eq!((exit.code, exit.reason), (137, ExitReason::OomKilled), "{exit:?}");
    assert_eq!(usage.memory_bytes, 0);
}

#[tokio::test]
async fn connections_and_what_is_written_to_them_are_the_containers() {
    let _turn = TURN.lock().await;
    let runtime = runtime();
    let artifact = load(&runtime, Role::Command, &FIXTURES).await;
    let ip = pod_ip();
    // Accepts and reads the head of nothing.
    let listener = TcpListener::bind((ip, 0)).await.expect("listening");
    let address = listener.local_addr().expect("an address").to_string();
    let tasks = sampan_env::Tasks::new("test");
    tasks.spawn_until_cancelled(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut one = [0; 1];
            drop(stream.read(&mut one).await);
            held.push(stream);
        }
    });
    for kind in ["sent", "tcp-unread"] {
        let container = runtime.container(ContainerLimits { memory_bytes: Some(LIMIT), ..Default::default() });
        let log = Arc::new(Log::default());
        let it = spec(&["hold-at", kind, &address, "100000"], &log);
        let exit = runtime.start_command(&artifact, &container, it).expect("started").wait().await;
        assert_eq!((exit.code, exit.reason), (137, ExitReason::OomKilled), "{kind}: {exit:?} {}", log.text());
        eventually("its connections are gone", || container.usage().memory_bytes == 0).await;
        assert!(container.usage().memory_peak_bytes <= LIMIT, "{kind}");
    }
    tasks.drain(Duration::from_secs(5)).await.expect("all ended");
}

/// A log that keeps all that it is given.
struct Keeps(parking_lot::Mutex<u64>);

impl LogSink for Keeps {
    fn write(&self, bytes: &[u8]) -> bool {
        *self.0.lock() += bytes.len() as u64;
        true
    }

    fn held(&self) -> u64 {
        *self.0.lock()
    }
}

#[tokio::test]
async fn a_log_is_charged_for_as_long_as_its_container_lives() {
    let _turn = TURN.lock().await;
    let runtime = runtime();
    let artifact = load(&runtime, Role::Command, &FIXTURES).await;
    let container = runtime.container(ContainerLimits { memory_bytes: Some(LIMIT), ..Default::default() });
    let mut it = spec(&["flood"], &Arc::default());
    it.stdout = Arc::new(Keeps(parking_lot::Mutex::new(0)));
    let exit = runtime.start_command(&artifact, &container, it).expect("started").wait().await;
    assert_eq!((exit.code, exit.reason), (137, ExitReason::OomKilled), "{exit:?}");
}

#[tokio::test]
async fn a_large_environment_is_charged_to_each_store() {
    let _turn = TURN.lock().await;
    let runtime = runtime();
    let artifact = load(&runtime, Role::Command, &FIXTURES).await;
    let container = runtime.container(ContainerLimits { memory_bytes: Some(LIMIT), ..Default::default() });
    let mut it = spec(&["print", "x"], &Arc::default());
    it.env = vec![("BIG".into(), "x".repeat(9 << 20))];
    let exit = runtime.start_command(&artifact, &container, it).expect("started").wait().await;
    assert_eq!((exit.code, exit.reason), (137, ExitReason::OomKilled), "{exit:?}");
    assert_eq!(container.usage().memory_bytes, 0);
}

#[tokio::test]
async fn the_clock_of_a_guest_is_coarse() {
    let _turn = TURN.lock().await;
    let runtime = runtime();
    let (exit, log, _) = run(&runtime, mebibytes(32), &["clock"]).await;
    let least: u64 = log.trim().parse().unwrap_or_else(|_| panic!("{exit:?} {log}"));
    assert!(u128::from(least) >= limits::CLOCK_RESOLUTION.as_nanos(), "{least} ns");
}
