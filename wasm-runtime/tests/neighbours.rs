//! A service's latency and answers beside each hostile guest, against its own alone. `SAMPAN_TIER=nightly` measures each
//! of them; else the burners' latency is measured and beside the others only the answers count.

#![allow(dead_code, reason = "each test binary uses its part of the support module")]

mod support;

use sampan_env::Env;
use sampan_wasm_runtime::*;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PAIRS: usize = 5;
const SERIES: usize = 3;
const RATIO_MAX: f64 = 2.0;
const REQUESTS_PER_SECOND: u32 = 200;
const REQUESTS: u32 = 300;

/// The 99th percentile of requests sent at a fixed rate, counted from when each was due.
async fn p99(address: SocketAddr) -> Duration {
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

/// A neighbour that misbehaves for as long as it is kept.
struct Hostile {
    name: &'static str,
    start: fn(&Runtime, &Guests) -> Neighbour,
}

/// What the neighbours are made of.
struct Guests {
    burner: Artifact,
    fixtures: Artifact,
    service: Artifact,
}

/// Ends its guests and clients when it is stopped.
#[derive(Default)]
struct Neighbour {
    commands: Vec<CommandHandle>,
    services: Vec<ServiceHandle>,
    clients: Vec<tokio::task::AbortHandle>,
}

impl Neighbour {
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
    let client = tokio::spawn(async move {
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
const GET_FILL: &str = "GET /fill HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
const HALF: &str = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf";

const HOSTILE: [Hostile; 8] = [
    Hostile {
        name: "two throttled burners",
        start: |runtime, guests| {
            let burner = |millis| {
                let limits = ContainerLimits { cpu_millis: Some(millis), ..mebibytes(32) };
                command(runtime, &guests.burner, limits, &[])
            };
            Neighbour { commands: vec![burner(100), burner(500)], ..Neighbour::default() }
        },
    },
    Hostile {
        name: "endless requests that are never sent",
        start: |runtime, guests| Neighbour {
            commands: (0..4)
                .map(|_| command(runtime, &guests.fixtures, mebibytes(16), &["hold", "request-body", "3000"]))
                .collect(),
            ..Neighbour::default()
        },
    },
    Hostile {
        name: "endless fields",
        start: |runtime, guests| Neighbour {
            commands: (0..4)
                .map(|_| command(runtime, &guests.fixtures, mebibytes(16), &["hold", "fields-large", "10000"]))
                .collect(),
            ..Neighbour::default()
        },
    },
    Hostile {
        name: "a flood of output",
        start: |runtime, guests| {
            let limits = ContainerLimits { cpu_millis: Some(500), ..mebibytes(32) };
            Neighbour { commands: vec![command(runtime, &guests.fixtures, limits, &["flood"])], ..Neighbour::default() }
        },
    },
    Hostile {
        name: "eight services that sleep in each instance",
        start: |runtime, guests| {
            let all: Vec<_> = (0..8).map(|_| asked(runtime, guests, mebibytes(512), 160, GET_SLEEP)).collect();
            all.into_iter().fold(Neighbour::default(), |mut sum, one| {
                sum.services.extend(one.services);
                sum.clients.extend(one.clients);
                sum
            })
        },
    },
    Hostile {
        name: "a service that holds fields",
        start: |runtime, guests| asked(runtime, guests, mebibytes(16), 4, GET_FIELDS),
    },
    Hostile {
        name: "two requests that fill their memory",
        start: |runtime, guests| {
            let limits = ContainerLimits { cpu_millis: Some(1000), ..mebibytes(1200) };
            asked(runtime, guests, limits, 2, GET_FILL)
        },
    },
    Hostile { name: "half-sent requests", start: |runtime, guests| asked(runtime, guests, mebibytes(64), 300, HALF) },
];

#[tokio::test]
async fn a_service_answers_in_time_beside_each_hostile_neighbour() {
    let runtime = runtime();
    let service = load(&runtime, Role::Service, &HELLO).await;
    let guests = Guests {
        burner: load(&runtime, Role::Command, &BURNER).await,
        fixtures: load(&runtime, Role::Command, &FIXTURES).await,
        service: load(&runtime, Role::Service, &HOSTILE_SERVICE).await,
    };
    let ip = pod_ip();
    let log = Arc::new(Log::default());
    let spec_of = ServiceSpec::new(SocketAddr::from((ip, 0)), ip, log.clone(), log);
    let service = runtime.start_service(&service, &runtime.container(mebibytes(64)), spec_of).expect("listening");
    let nightly = std::env::var("SAMPAN_TIER").is_ok_and(|tier| tier == "nightly");
    for (index, hostile) in HOSTILE.iter().enumerate() {
        if index == 0 || nightly {
            in_time(&runtime, &service, &guests, hostile).await;
            continue;
        }
        let neighbour = (hostile.start)(&runtime, &guests);
        println!("beside {}: p99 {:?}", hostile.name, p99(service.local_addr()).await);
        neighbour.stop().await;
    }
}

/// Other work on the machine can spoil a series; it cannot make one.
async fn in_time(runtime: &Runtime, service: &ServiceHandle, guests: &Guests, hostile: &Hostile) {
    for series in 1..=SERIES {
        let mut ratios = Vec::new();
        for _ in 0..PAIRS {
            let alone = p99(service.local_addr()).await;
            let neighbour = (hostile.start)(runtime, guests);
            let beside = p99(service.local_addr()).await;
            neighbour.stop().await;
            println!("{}: p99 alone {alone:?}, beside {beside:?}", hostile.name);
            ratios.push(beside.as_secs_f64() / alone.as_secs_f64());
        }
        ratios.sort_by(f64::total_cmp);
        println!("{}, series {series}: median ratio of {PAIRS} pairs {:.2}", hostile.name, ratios[PAIRS / 2]);
        if ratios[PAIRS / 2] < RATIO_MAX {
            return;
        }
    }
    panic!("beside {} the p99 was more than {RATIO_MAX} times its own in each of {SERIES} series", hostile.name);
}
