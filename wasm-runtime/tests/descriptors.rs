//! A process that may have few files open: the sockets of guests leave enough for services. In a test binary of its own: the
//! limit is the process's.

#![allow(dead_code, reason = "each test binary uses its part of the support module")]

mod support;

use rustix::process::{Resource, Rlimit, setrlimit};
use sampan_wasm_runtime::*;
use std::net::SocketAddr;
use std::sync::Arc;
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const FILES: u64 = 1024;
const REQUESTS: usize = 200;

/// The status line of an answer.
async fn status(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("answered");
    text.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn pods_that_hold_sockets_leave_services_theirs() {
    setrlimit(Resource::Nofile, Rlimit { current: Some(FILES), maximum: Some(FILES) }).expect("lowered");
    let runtime = runtime();
    let fixtures = load(&runtime, Role::Command, &FIXTURES).await;
    let hello = load(&runtime, Role::Service, &HELLO).await;
    let mut holders = Vec::new();
    for _ in 0..4 {
        let log = Arc::new(Log::default());
        let it = spec(&["hold", "tcp-held", "64"], &log);
        holders.push((runtime.start_command(&fixtures, &runtime.container(mebibytes(64)), it).expect("started"), log));
    }
    for (_, log) in &holders {
        eventually("it holds sockets", || log.text().contains("sockets")).await;
        assert!(!log.text().starts_with("0 "), "{}", log.text());
    }
    let ip = pod_ip();
    let log = Arc::new(Log::default());
    let it = ServiceSpec::new(SocketAddr::from((ip, 0)), ip, log.clone(), log);
    let hello = runtime.start_service(&hello, &runtime.container(mebibytes(64)), it).expect("listening");
    for _ in 0..REQUESTS {
        assert_eq!(status(hello.local_addr()).await, "HTTP/1.1 200 OK");
    }
    for (holder, log) in holders {
        println!("{}", log.text().trim());
        holder.kill();
        holder.wait().await;
    }
}
