//! Services: a fresh instance for each request, and what happens when one misbehaves.

#![allow(dead_code, reason = "each test binary uses its part of the support module")]

mod support;

use hyper_util::rt::{TokioExecutor, TokioIo};
use sampan_wasm_runtime::*;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

struct Answer {
    status: u16,
    body: String,
}

/// One request on a connection of its own.
async fn get(address: SocketAddr, path: &str) -> Answer {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("answered");
    let status = text.get(9..12).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("{text}"));
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    Answer { status, body }
}

fn service(log: &Arc<Log>) -> ServiceSpec {
    let ip = pod_ip();
    ServiceSpec::new(SocketAddr::from((ip, 0)), ip, log.clone(), log.clone())
}

async fn start(
    runtime: &Runtime,
    bytes: &bytes::Bytes,
    limits: ContainerLimits,
    spec: ServiceSpec,
) -> (ServiceHandle, Container) {
    let artifact = load(runtime, Role::Service, bytes).await;
    let container = runtime.container(limits);
    (runtime.start_service(&artifact, &container, spec).expect("listening"), container)
}

#[tokio::test]
async fn hello_says_who_it_is_and_keeps_no_memory() {
    let runtime = runtime();
    let log = Arc::new(Log::default());
    let mut spec = service(&log);
    spec.env = vec![("POD_NAME".into(), "hello-1".into())];
    let (service, container) = start(&runtime, &HELLO, mebibytes(32), spec).await;
    for _ in 0..20 {
        let answer = get(service.local_addr(), "/here?x=1").await;
        assert_eq!(
            (answer.status, answer.body.contains("Hello from hello-1 at /here?x=1")),
            (200, true),
            "{}",
            answer.body
        );
    }
    eventually("its connections are closed", || container.usage().memory_bytes == 0).await;
    let usage = container.usage();
    assert_eq!((usage.requests, usage.request_errors), (20, 0));
    assert!(usage.memory_peak_bytes > 1 << 20 && usage.cpu_nanos > 0);
}

#[tokio::test]
async fn a_burst_queues_and_does_not_kill_a_healthy_service() {
    let runtime = runtime();
    // Room for three instances.
    let (service, container) = start(&runtime, &HELLO, mebibytes(4), service(&Arc::default())).await;
    let address = service.local_addr();
    let requests = (0..200).map(|n| async move { get(address, &format!("/{n}")).await.status });
    let statuses = futures::future::join_all(requests).await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    assert!(!container.usage().oom && service.try_exit().is_none());
    assert!(container.usage().memory_peak_bytes <= 4 << 20);
}

#[tokio::test]
async fn the_first_burst_of_slow_requests_kills_nobody() {
    let runtime = runtime();
    // Room for three instances, and no request has ended yet that says what one needs.
    let (service, container) = start(&runtime, &HOSTILE_SERVICE, mebibytes(4), service(&Arc::default())).await;
    let address = service.local_addr();
    let statuses = futures::future::join_all((0..12).map(|_| async { get(address, "/slow").await.status })).await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    assert!(!container.usage().oom && service.try_exit().is_none());
}

#[tokio::test]
async fn a_connection_that_says_nothing_or_half_a_word_is_closed() {
    let runtime = runtime();
    let mut spec = service(&Arc::default());
    spec.header_deadline = Duration::from_millis(200);
    let (service, _) = start(&runtime, &HOSTILE_SERVICE, mebibytes(32), spec).await;
    // Nothing; half of HTTP/2's preface; all of it and no request; half of a request.
    for said in ["", "PRI * HTTP/2.0\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HTTP/1.1\r\n"] {
        let mut stream = TcpStream::connect(service.local_addr()).await.expect("connected");
        stream.write_all(said.as_bytes()).await.expect("sent");
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "{said:?}");
    }
    // One that asked is served past that time.
    assert_eq!(get(service.local_addr(), "/slow").await.status, 200);
}

#[tokio::test]
async fn a_misbehaving_request_is_its_own_business() {
    let runtime = runtime();
    let mut spec = service(&Arc::default());
    spec.request_timeout = Duration::from_millis(500);
    let (service, container) = start(&runtime, &HOSTILE_SERVICE, mebibytes(32), spec).await;
    let address = service.local_addr();
    for (path, status) in [("/trap", 500), ("/silent", 500), ("/loop", 504), ("/sleep", 504), ("/ok", 200)] {
        let answer = get(address, path).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
    }
    // What one request leaves in memory the next does not see.
    for _ in 0..2 {
        assert!(get(address, "/count").await.body.contains("request 1 of this instance"));
    }
    assert_eq!(container.usage().request_errors, 4);
    assert_eq!(runtime.metrics().traps, 1);
    assert!(service.try_exit().is_none());
    eventually("its connections are closed", || container.usage().memory_bytes == 0).await;
}

#[tokio::test]
async fn out_of_memory_in_a_request_ends_the_container() {
    let runtime = runtime();
    let (service, _) = start(&runtime, &HOSTILE_SERVICE, mebibytes(16), service(&Arc::default())).await;
    let mut stream = TcpStream::connect(service.local_addr()).await.expect("connected");
    stream.write_all(b"GET /grow HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
    let exit = tokio::time::timeout(PATIENCE, service.wait()).await.expect("it ends");
    assert_eq!((exit.code, exit.reason), (137, ExitReason::OomKilled), "{exit:?}");
    // Whoever hears of the end can start the next run: nobody listens there any more.
    std::net::TcpListener::bind(service.local_addr()).expect("the address is free");
}

#[tokio::test]
async fn a_terminated_service_finishes_what_it_began() {
    let runtime = runtime();
    let (service, _) = start(&runtime, &HOSTILE_SERVICE, mebibytes(32), service(&Arc::default())).await;
    let address = service.local_addr();
    let slow = tokio::task::LocalSet::new();
    let (answer, exit) = slow
        .run_until(async {
            let slow = tokio::task::spawn_local(get(address, "/slow"));
            // The request is inside before the termination.
            while runtime.metrics().requests == 0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            service.terminate(PATIENCE);
            (slow.await.expect("an answer"), service.wait().await)
        })
        .await;
    assert_eq!((answer.status, exit.code), (200, 143), "{exit:?}");
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn grace_is_not_for_ever() {
    let runtime = runtime();
    let (service, _) = start(&runtime, &HOSTILE_SERVICE, mebibytes(32), service(&Arc::default())).await;
    let mut stream = TcpStream::connect(service.local_addr()).await.expect("connected");
    stream.write_all(b"GET /sleep HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
    while runtime.metrics().requests == 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    service.terminate(Duration::from_millis(100));
    let exit = tokio::time::timeout(PATIENCE, service.wait()).await.expect("it ends");
    assert_eq!(exit.code, 137, "{exit:?}");
}

#[tokio::test]
async fn a_taken_port_and_a_missing_host_are_named() {
    let runtime = runtime();
    let (first, _) = start(&runtime, &HELLO, mebibytes(32), service(&Arc::default())).await;
    let artifact = load(&runtime, Role::Service, &HELLO).await;
    let mut spec = service(&Arc::default());
    spec.listen = first.local_addr();
    let refused = runtime.start_service(&artifact, &runtime.container(mebibytes(32)), spec);
    assert!(matches!(refused, Err(Error::Bind { .. })));

    let mut stream = TcpStream::connect(first.local_addr()).await.expect("connected");
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("answered");
    assert!(text.contains(" 400 "), "{text}");
}

/// All that comes of one request, to the connection's end.
async fn all_of(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut rest = Vec::new();
    // A connection that is cut off may end in a reset.
    let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("it ends");
    drop(ended);
    String::from_utf8_lossy(&rest).into_owned()
}

#[tokio::test]
async fn a_stream_lives_as_long_as_it_makes_progress() {
    let runtime = runtime();
    let mut spec = service(&Arc::default());
    spec.request_timeout = Duration::from_millis(700);
    let (service, container) = start(&runtime, &HOSTILE_SERVICE, mebibytes(32), spec).await;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    // Twelve pieces in twice the timeout.
    let whole = all_of(service.local_addr(), &get("/stream")).await;
    assert!(whole.ends_with("\r\n0\r\n\r\n"), "{}", whole.len());
    assert_eq!(container.usage().request_errors, 0);
    // One that stands still is cut off, and does not look whole.
    let cut = all_of(service.local_addr(), &get("/pause")).await;
    assert!(cut.contains("200 OK") && !cut.ends_with("0\r\n\r\n"), "{}", cut.len());
    assert_eq!(container.usage().request_errors, 1);
    eventually("it is over", || container.usage().memory_bytes == 0).await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off_and_holds_little() {
    let runtime = runtime();
    let mut spec = service(&Arc::default());
    spec.request_timeout = Duration::from_millis(700);
    let (service, container) = start(&runtime, &HOSTILE_SERVICE, mebibytes(32), spec).await;
    let mut lazy = Vec::new();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(service.local_addr()).await.expect("connected");
        stream.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
        lazy.push(stream);
    }
    eventually("they work", || container.usage().requests == 8).await;
    eventually("all are cut off", || container.usage().memory_bytes == 0).await;
    assert!(!container.usage().oom && service.try_exit().is_none());
    assert_eq!(get(service.local_addr(), "/ok").await.status, 200);
}

#[tokio::test]
async fn an_answer_that_was_said_but_is_not_taken_ends_its_connection() {
    let runtime = runtime();
    let mut spec = service(&Arc::default());
    spec.request_timeout = Duration::from_millis(700);
    let (service, container) = start(&runtime, &HOSTILE_SERVICE, mebibytes(32), spec).await;
    let stream = TcpStream::connect(service.local_addr()).await.expect("connected");
    // A client without room for any body: the shortest answer waits for it.
    let mut client = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    client.initial_stream_window_size(0);
    let (mut requests, connection) = client.handshake(TokioIo::new(stream)).await.expect("HTTP/2");
    let tasks = sampan_env::Tasks::new("test");
    let connection = tasks.spawn(connection);
    let request = http::Request::get(format!("http://{}/ok", service.local_addr()));
    let request = request.body(http_body_util::Empty::<bytes::Bytes>::new()).expect("a request");
    let answer = requests.send_request(request).await.expect("its head needs no room");
    assert_eq!((answer.status(), container.usage().request_errors), (http::StatusCode::OK, 0));
    let ended = tokio::time::timeout(PATIENCE, connection).await.expect("it is cut off");
    drop(ended);
    eventually("nothing is held for it", || container.usage().memory_bytes == 0).await;
    assert_eq!(get(service.local_addr(), "/ok").await.status, 200);
}

#[tokio::test]
async fn half_sent_requests_keep_nobody_out() {
    let runtime = runtime();
    // Room for a few instances: each that a half-sent request held would be missed.
    let (service, container) = start(&runtime, &HOSTILE_SERVICE, mebibytes(16), service(&Arc::default())).await;
    let address = service.local_addr();
    let mut half = Vec::new();
    for n in 0..400 {
        let mut stream = TcpStream::connect(address).await.expect("connected");
        let text =
            if n % 2 == 0 { "GET / HT" } else { "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf" };
        stream.write_all(text.as_bytes()).await.expect("sent");
        half.push(stream);
        if n % 40 == 0 {
            let answer = tokio::time::timeout(Duration::from_secs(10), get(address, "/ok")).await.expect("in time");
            assert_eq!(answer.status, 200, "beside {n} half-sent requests");
        }
    }
    assert!(!container.usage().oom);
}

#[tokio::test]
async fn a_body_arrives_whole_whether_it_was_read_ahead_or_not() {
    let runtime = runtime();
    let log = Arc::new(Log::default());
    let (service, _) = start(&runtime, &HOSTILE_SERVICE, mebibytes(32), service(&log)).await;
    for len in [0, 1, 60_000, 1 << 20] {
        let head = format!("POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len}\r\n\r\n");
        let text = all_of(service.local_addr(), &(head + &"b".repeat(len))).await;
        assert!(text.starts_with("HTTP/1.1 200"), "{len}: {text}");
        assert!(log.text().ends_with(&format!("{len} bytes\n")), "{len}: {}", log.text());
    }
}

#[tokio::test]
async fn what_requests_make_the_host_hold_ends_the_service() {
    let runtime = runtime();
    for path in ["/fields", "/requests"] {
        let (service, container) = start(&runtime, &HOSTILE_SERVICE, mebibytes(16), service(&Arc::default())).await;
        let address = service.local_addr();
        let text = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        let mut streams = Vec::new();
        for _ in 0..4 {
            let mut stream = TcpStream::connect(address).await.expect("connected");
            stream.write_all(text.as_bytes()).await.expect("sent");
            streams.push(stream);
        }
        let exit = tokio::time::timeout(PATIENCE, service.wait()).await.expect("it ends");
        assert_eq!((exit.code, exit.reason), (137, ExitReason::OomKilled), "{path}: {exit:?}");
        eventually("all is given back", || container.usage().memory_bytes == 0).await;
        assert!(container.usage().memory_peak_bytes <= 16 << 20, "{path}");
    }
}
