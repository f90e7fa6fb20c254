//! A service's latency and answers beside each hostile neighbour, against its own alone, and the memory that is left when
//! the neighbour has ended. `SAMPAN_TIER=nightly` measures each of them; else the burners' latency is measured and beside
//! the others the answers and the memory count. In a test binary of its own, with the allocator of the product.

#![allow(dead_code, reason = "each test binary uses its part of the support module")]

mod support;

use bytes::Bytes;
use sampan_env::{Env, FreedMemory};
use sampan_wasm_runtime::*;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use support::modules::{Module, nested_loops};
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

unsafe extern "C" {
    /// Of mimalloc's own interface, as the product calls it.
    safe fn mi_collect(force: bool);
}

/// One for all tests, as a process has one.
static RUNTIME: std::sync::LazyLock<Runtime> = std::sync::LazyLock::new(|| {
    let cache = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("artefacts");
    let env = Env::system().with_memory(FreedMemory::new(|| mi_collect(true)));
    Runtime::new(config(&cache), env).expect("a runtime")
});

/// One neighbour at a time: they share the machine's cores, and the memory is the process's.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

const PAIRS: usize = 5;
const SERIES: usize = 3;
const RATIO_MAX: f64 = 2.0;
const REQUESTS_PER_SECOND: u32 = 200;
const REQUESTS: u32 = 300;
/// The memory that may be left of a neighbour, and the time after its end from which on it holds.
const LEFT_BYTES_MAX: u64 = 32 << 20;
const LEFT_AFTER: Duration = Duration::from_secs(2);
/// The niceness of the neighbours' clients: they stand for other machines.
const CLIENTS_NICE: i32 = 10;

/// The 99th percentile of requests sent at a fixed rate, counted from when each was due. On a thread of its own: what the
/// neighbours' clients do must not count.
async fn p99(address: SocketAddr) -> Duration {
    let (tell, told) = tokio::sync::oneshot::channel();
    let measure = sampan_env::thread("measure", None, move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        tell.send(runtime.block_on(latency(address))).expect("it is waited for");
    });
    let latency = told.await.expect("each request is answered with 200");
    measure.expect("a thread").join().expect("no panic");
    latency
}

async fn latency(address: SocketAddr) -> Duration {
    let env = Env::system();
    let mut stream = TcpStream::connect(address).await.expect("connected");
    stream.set_nodelay(true).expect("no delay");
    let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let start = env.instant();
    let mut latencies = Vec::new();
    let mut buffer = vec![0; 4096];
    for n in 0..REQUESTS {
        let due = start + Duration::from_secs(1) / REQUESTS_PER_SECOND * n;
        tokio::time::sleep_until(due).await;
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut text = String::new();
        // hello's answer is chunked: it ends with an empty chunk.
        while !text.ends_with("0\r\n\r\n") {
            let read = stream.read(&mut buffer).await.expect("answered");
            assert!(read > 0, "closed after {text}");
            text.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        latencies.push(env.instant() - due);
    }
    latencies.sort();
    latencies[latencies.len() * 99 / 100]
}

/// What the neighbours are made of.
struct Guests {
    burner: Artifact,
    fixtures: Artifact,
    service: Artifact,
    /// A command of many empty memories that never ends.
    memories: Artifact,
}

/// Ends its guests and clients when it is stopped.
#[derive(Default)]
struct Neighbour {
    commands: Vec<CommandHandle>,
    services: Vec<ServiceHandle>,
    clients: Vec<tokio::task::AbortHandle>,
    runtimes: Vec<Runtime>,
}

/// Threads for the neighbours' clients.
fn clients() -> &'static Handle {
    static CLIENTS: std::sync::LazyLock<Handle> = std::sync::LazyLock::new(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let handle = runtime.handle().clone();
        // It ends with the process.
        let run = move || {
            rustix::process::nice(CLIENTS_NICE).expect("nicer is always allowed");
            runtime.block_on(std::future::pending::<()>());
        };
        sampan_env::thread("clients", None, run).expect("a thread");
        handle
    });
    &CLIENTS
}

/// The process's resident memory, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("proc(5)");
    let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("a line of it");
    line.split_whitespace().nth(1).and_then(|text| text.parse::<u64>().ok()).expect("kibibytes") << 10
}

impl Neighbour {
    /// Also what it has in addition.
    fn and(mut self, other: Self) -> Self {
        self.commands.extend(other.commands);
        self.services.extend(other.services);
        self.clients.extend(other.clients);
        self.runtimes.extend(other.runtimes);
        self
    }

    async fn stop(self) {
        for client in self.clients {
            client.abort();
        }
        for command in self.commands {
            command.kill();
            command.wait().await;
        }
        for service in self.services {
            service.kill();
            service.wait().await;
        }
        for runtime in self.runtimes {
            // What is being compiled ends with the runtime's threads.
            runtime.shutdown(Duration::ZERO).await;
        }
    }
}

fn command(runtime: &Runtime, artifact: &Artifact, limits: ContainerLimits, args: &[&str]) -> CommandHandle {
    let mut it = spec(args, &Arc::default());
    it.stdout = Arc::new(Closed);
    runtime.start_command(artifact, &runtime.container(limits), it).expect("started")
}

/// A service of `mebibytes`, and `clients` connections of which each sends `text` again and again.
fn asked(runtime: &Runtime, guests: &Guests, limits: ContainerLimits, clients: usize, text: &'static str) -> Neighbour {
    let ip = pod_ip();
    let it = ServiceSpec::new(SocketAddr::from((ip, 0)), ip, Arc::new(Closed), Arc::new(Closed));
    let container = runtime.container(limits).in_namespace("hostile");
    let service = runtime.start_service(&guests.service, &container, it).expect("listening");
    let address = service.local_addr();
    let clients = (0..clients).map(|_| hammer(address, text)).collect();
    Neighbour { services: vec![service], clients, ..Neighbour::default() }
}

#[allow(clippy::disallowed_methods, reason = "a client of the test, ended with its neighbour")]
fn hammer(address: SocketAddr, text: &'static str) -> tokio::task::AbortHandle {
    let client = clients().spawn(async move {
        loop {
            let Ok(mut stream) = TcpStream::connect(address).await else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            drop(stream.write_all(text.as_bytes()).await);
            let mut rest = Vec::new();
            drop(tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await);
        }
    });
    client.abort_handle()
}

const GET_SLEEP: &str = "GET /sleep HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
const GET_FIELDS: &str = "GET /fields HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
const GET_REQUESTS: &str = "GET /requests HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
const GET_FILL: &str = "GET /fill HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
const HALF: &str = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf";

/// The part of the latency beside a neighbour in the fast tier.
#[derive(PartialEq)]
enum Fast {
    /// As in the nightly tier.
    Latency,
    /// It is printed.
    Answers,
}

/// Measures hello beside the neighbour that `start` makes.
async fn check(name: &str, fast: Fast, start: fn(&Runtime, &Guests) -> Neighbour) {
    let _turn = TURN.lock().await;
    let runtime = RUNTIME.clone();
    let hello = load(&runtime, Role::Service, &HELLO).await;
    // Its first memory has room for the adapter of preview 1; its loop never ends.
    let mut memories = vec![[0, 0]; limits::MEMORIES_PER_STORE_MAX - 1];
    memories[0] = [0, 1];
    let memories = Module { memories, body: vec![0x03, 0x40, 0x0c, 0x00, 0x0b], ..Module::default() };
    let guests = Guests {
        burner: load(&runtime, Role::Command, &BURNER).await,
        fixtures: load(&runtime, Role::Command, &FIXTURES).await,
        service: load(&runtime, Role::Service, &HOSTILE_SERVICE).await,
        memories: load(&runtime, Role::Command, &Bytes::from(memories.encode())).await,
    };
    let ip = pod_ip();
    let log = Arc::new(Log::default());
    let spec_of = ServiceSpec::new(SocketAddr::from((ip, 0)), ip, log.clone(), log);
    let hello = runtime.start_service(&hello, &runtime.container(mebibytes(64)), spec_of).expect("listening");
    // What the first run of it makes and keeps is the runtime's own.
    let (_, _) = beside(name, &runtime, &hello, &guests, start).await;
    let nightly = std::env::var("SAMPAN_TIER").is_ok_and(|tier| tier == "nightly");
    if nightly || fast == Fast::Latency {
        in_time(name, &runtime, &hello, &guests, start).await;
    }
    hello.kill();
    hello.wait().await;
}

/// Hello's p99 alone and beside a neighbour, which leaves nothing behind.
async fn beside(
    name: &str,
    runtime: &Runtime,
    hello: &ServiceHandle,
    guests: &Guests,
    start: fn(&Runtime, &Guests) -> Neighbour,
) -> (Duration, Duration) {
    let alone = p99(hello.local_addr()).await;
    let before = resident();
    let neighbour = start(runtime, guests);
    let beside = p99(hello.local_addr()).await;
    let most = resident();
    neighbour.stop().await;
    let end = Env::system().instant() + LEFT_AFTER;
    let mut left = resident().saturating_sub(before);
    while left > LEFT_BYTES_MAX && Env::system().instant() < end {
        tokio::time::sleep(Duration::from_millis(20)).await;
        left = resident().saturating_sub(before);
    }
    println!(
        "{name}: p99 alone {alone:?}, beside {beside:?}; {} MiB more beside, {} MiB after",
        most.saturating_sub(before) >> 20,
        left >> 20
    );
    assert!(left <= LEFT_BYTES_MAX, "{name}: {left} bytes are left after {LEFT_AFTER:?}");
    (alone, beside)
}

/// Other work on the machine can spoil a series; it cannot make one.
async fn in_time(
    name: &str,
    runtime: &Runtime,
    hello: &ServiceHandle,
    guests: &Guests,
    start: fn(&Runtime, &Guests) -> Neighbour,
) {
    for series in 1..=SERIES {
        let mut ratios = Vec::new();
        for _ in 0..PAIRS {
            let (alone, beside) = beside(name, runtime, hello, guests, start).await;
            ratios.push(beside.as_secs_f64() / alone.as_secs_f64());
        }
        ratios.sort_by(f64::total_cmp);
        println!("{name}, series {series}: median ratio of {PAIRS} pairs {:.2}", ratios[PAIRS / 2]);
        if ratios[PAIRS / 2] < RATIO_MAX {
            return;
        }
    }
    panic!("beside {name} the p99 was more than {RATIO_MAX} times its own in each of {SERIES} series");
}

macro_rules! beside {
    ($($name:ident, $fast:ident: $start:expr;)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                check(stringify!($name), Fast::$fast, $start).await;
            }
        )*
    };
}

fn held(runtime: &Runtime, guests: &Guests, kind: &str, count: &str) -> Neighbour {
    let hold = || command(runtime, &guests.fixtures, mebibytes(16), &["hold", kind, count]);
    Neighbour { commands: (0..4).map(|_| hold()).collect(), ..Neighbour::default() }
}

beside! {
    two_throttled_burners, Latency: |runtime, guests| {
        let burner = |millis| {
            let limits = ContainerLimits { cpu_millis: Some(millis), ..mebibytes(32) };
            command(runtime, &guests.burner, limits, &[])
        };
        Neighbour { commands: vec![burner(100), burner(500)], ..Neighbour::default() }
    };
    requests_that_are_never_sent, Answers: |runtime, guests| held(runtime, guests, "request-body", "3000");
    large_fields, Answers: |runtime, guests| held(runtime, guests, "fields-large", "10000");
    a_flood_of_output, Answers: |runtime, guests| {
        let limits = ContainerLimits { cpu_millis: Some(500), ..mebibytes(32) };
        Neighbour { commands: vec![command(runtime, &guests.fixtures, limits, &["flood"])], ..Neighbour::default() }
    };
    eight_services_that_hold_each_instance, Answers: |runtime, guests| {
        let all = (0..8).map(|_| asked(runtime, guests, mebibytes(512), 160, GET_SLEEP));
        all.fold(Neighbour::default(), Neighbour::and)
    };
    a_small_service_that_holds_fields, Answers: |runtime, guests| {
        asked(runtime, guests, mebibytes(16), 4, GET_FIELDS)
    };
    a_service_that_holds_requests_in_128_instances, Answers: |runtime, guests| {
        asked(runtime, guests, mebibytes(512), 128, GET_REQUESTS)
    };
    two_requests_that_fill_their_memory, Answers: |runtime, guests| {
        let limits = ContainerLimits { cpu_millis: Some(1000), ..mebibytes(1200) };
        asked(runtime, guests, limits, 2, GET_FILL)
    };
    half_sent_requests, Answers: |runtime, guests| asked(runtime, guests, mebibytes(64), 1100, HALF);
    many_containers_of_empty_memories, Answers: |runtime, guests| {
        // Nearly nothing but its memories.
        let limits = ContainerLimits { cpu_millis: Some(1), ..mebibytes(32) };
        let idles = || command(runtime, &guests.memories, limits, &[]);
        Neighbour { commands: (0..400).map(|_| idles()).collect(), ..Neighbour::default() }
    };
    three_bombs_that_are_compiled, Answers: |_, _| {
        // Compilers of its own, which end with it.
        let compiles = self::runtime();
        let clients = (0..3).map(|number| bomb(compiles.clone(), number)).collect();
        Neighbour { clients, runtimes: vec![compiles], ..Neighbour::default() }
    };
}

/// Has a bomb of its own compiled again and again: each is another component.
#[allow(clippy::disallowed_methods, reason = "ended with its neighbour")]
fn bomb(runtime: Runtime, number: usize) -> tokio::task::AbortHandle {
    let client = clients().spawn(async move {
        for round in 0usize.. {
            let bomb = Bytes::from(nested_loops(20_000 + 3 * round + number));
            let claim = CompileClaim { owner: "bomber".into(), ..CompileClaim::default() };
            let loaded = runtime.load_workload(&digest_of(&bomb), false, claim, || async { Ok(bomb) }).await;
            assert!(loaded.is_err(), "it never compiles");
        }
    });
    client.abort_handle()
}
