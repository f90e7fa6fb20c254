//! What the tests share: the hostile guests, a runtime, a log that remembers.

#[path = "../../../plugins/embed/guests.rs"]
mod guests;
pub mod modules;

use bytes::Bytes;
use guests::{Guest, build};
use parking_lot::Mutex;
use sampan_env::Env;
use sampan_wasm_runtime::*;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

fn guest(package: &'static str, file: &'static str) -> Bytes {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let guest = Guest { package, file, features: "" };
    let path = build(&workspace, guest, &mut |note| println!("{note}")).unwrap_or_else(|error| panic!("{error}"));
    Bytes::from(std::fs::read(path).expect("the built guest"))
}

pub static FIXTURES: LazyLock<Bytes> = LazyLock::new(|| guest("sampan-fixtures", "sampan-fixtures"));
pub static HELLO: LazyLock<Bytes> = LazyLock::new(|| guest("example-hello", "example_hello"));
pub static BURNER: LazyLock<Bytes> = LazyLock::new(|| guest("example-cpu-burner", "example-cpu-burner"));
pub static HOSTILE_SERVICE: LazyLock<Bytes> =
    LazyLock::new(|| guest("sampan-hostile-service", "sampan_hostile_service"));
pub static WORKER: LazyLock<Bytes> = LazyLock::new(|| guest("example-worker", "example-worker"));

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn config(cache: &Path) -> RuntimeConfig {
    let mut config = RuntimeConfig::new(cache);
    config.compiler = Compiler::Child { program: env!("CARGO_BIN_EXE_sampan-compiler").into() };
    // Where `pod_ip` takes addresses from.
    config.egress.cluster = vec![Cidr::new(Ipv4Addr::new(127, 64, 0, 0), 11)];
    config
}

/// A runtime whose cache outlives the test, so that each guest is compiled once.
pub fn runtime() -> Runtime {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("artefacts");
    Runtime::new(config(&cache), Env::system()).expect("a runtime")
}

pub async fn load(runtime: &Runtime, role: Role, bytes: &Bytes) -> Artifact {
    runtime.load(role, &digest_of(bytes), || async { Ok(bytes.clone()) }).await.expect("an artefact")
}

/// A log that keeps everything.
#[derive(Default)]
pub struct Log(Mutex<Vec<u8>>);

impl Log {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock()).into_owned()
    }
}

impl LogSink for Log {
    fn write(&self, bytes: &[u8]) -> bool {
        self.0.lock().extend_from_slice(bytes);
        true
    }
}

/// A log that takes nothing.
pub struct Closed;

impl LogSink for Closed {
    fn write(&self, _bytes: &[u8]) -> bool {
        false
    }
}

/// An address of its own for each pod of this process; processes differ by the second octet pair.
pub fn pod_ip() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let pid = std::process::id().to_le_bytes();
    Ipv4Addr::new(127, 64 | (pid[1] & 15), pid[0], NEXT.fetch_add(1, Ordering::Relaxed))
}

pub fn spec(args: &[&str], log: &Arc<Log>) -> CommandSpec {
    CommandSpec {
        args: std::iter::once("guest").chain(args.iter().copied()).map(str::to_owned).collect(),
        env: Vec::new(),
        working_dir: None,
        stdout: log.clone(),
        stderr: log.clone(),
        pod_ip: pod_ip(),
    }
}

/// Runs a fixture to its end.
pub async fn run(runtime: &Runtime, limits: ContainerLimits, args: &[&str]) -> (Exit, String, Usage) {
    run_component(runtime, &FIXTURES, limits, args).await
}

/// Runs a command to its end.
pub async fn run_component(
    runtime: &Runtime,
    component: &Bytes,
    limits: ContainerLimits,
    args: &[&str],
) -> (Exit, String, Usage) {
    let artifact = load(runtime, Role::Command, component).await;
    let container = runtime.container(limits);
    let log = Arc::new(Log::default());
    let handle = runtime.start_command(&artifact, &container, spec(args, &log)).expect("started");
    let exit = tokio::time::timeout(PATIENCE, handle.wait()).await.expect("it ends");
    (exit, log.text(), container.usage())
}

pub fn mebibytes(n: u64) -> ContainerLimits {
    ContainerLimits { memory_bytes: Some(n << 20), ..ContainerLimits::default() }
}

/// Waits until something has come about.
pub async fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let waits = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waits).await.unwrap_or_else(|_| panic!("in vain: {what}"));
}
