//! A service's latency beside two throttled burners, against its own alone.

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

#[tokio::test]
async fn throttled_burners_do_not_double_a_services_p99() {
    let runtime = runtime();
    let service = load(&runtime, Role::Service, &HELLO).await;
    let burner = load(&runtime, Role::Command, &BURNER).await;
    let ip = pod_ip();
    let log = Arc::new(Log::default());
    let spec_of = ServiceSpec::new(SocketAddr::from((ip, 0)), ip, log.clone(), log);
    let service = runtime.start_service(&service, &runtime.container(mebibytes(64)), spec_of).expect("listening");
    // Other work on the machine can spoil a series; it cannot make one.
    for series in 1..=SERIES {
        let median = median_ratio(&runtime, &service, &burner).await;
        println!("series {series}: median ratio of {PAIRS} pairs {median:.2}");
        if median < RATIO_MAX {
            return;
        }
    }
    panic!("beside two throttled burners the p99 was more than {RATIO_MAX} times its own in each of {SERIES} series");
}

async fn median_ratio(runtime: &Runtime, service: &ServiceHandle, burner: &Artifact) -> f64 {
    let mut ratios = Vec::new();
    for _ in 0..PAIRS {
        let alone = p99(service.local_addr()).await;
        let burners = [100, 500].map(|millis| {
            let limits = ContainerLimits { cpu_millis: Some(millis), ..mebibytes(32) };
            let log = Arc::new(Log::default());
            runtime.start_command(burner, &runtime.container(limits), spec(&[], &log)).expect("started")
        });
        let beside = p99(service.local_addr()).await;
        for burner in burners {
            burner.kill();
            burner.wait().await;
        }
        println!("p99 alone {alone:?}, beside burners {beside:?}");
        ratios.push(beside.as_secs_f64() / alone.as_secs_f64());
    }
    ratios.sort_by(f64::total_cmp);
    ratios[PAIRS / 2]
}
