//! Each hostile guest is contained: it ends as it must, and nobody else notices.

#![allow(dead_code, reason = "each test binary uses its part of the support module")]

mod support;

use sampan_wasm_runtime::*;
use std::sync::Arc;
use std::time::Duration;
use support::modules::Module;
use support::*;

#[tokio::test]
async fn ends_have_their_codes() {
    let runtime = runtime();
    let cases: &[(&[&str], i32, ExitReason, &str)] = &[
        (&["print", "hello"], 0, ExitReason::Completed, ""),
        (&["fail"], 1, ExitReason::Error, ""),
        (&["trap"], 134, ExitReason::Error, "unreachable"),
        (&["panic"], 134, ExitReason::Error, "unreachable"),
        (&["recurse"], 139, ExitReason::Error, "call stack exhausted"),
        (&["grow-memory"], 137, ExitReason::OomKilled, "memory limit"),
    ];
    for (args, code, reason, message) in cases {
        let (exit, log, usage) = run(&runtime, mebibytes(32), args).await;
        assert_eq!((exit.code, exit.reason), (*code, *reason), "{args:?}: {exit:?} {log}");
        assert!(exit.message.contains(message), "{args:?}: {exit:?}");
        assert_eq!(usage.memory_bytes, 0, "{args:?}: memory is given back");
        assert!(usage.memory_peak_bytes <= 32 << 20, "{args:?}");
    }
    let metrics = runtime.metrics();
    assert_eq!((metrics.traps, metrics.ooms), (3, 1));
}

#[tokio::test]
async fn output_arrives_and_a_panic_says_why() {
    let runtime = runtime();
    assert_eq!(run(&runtime, mebibytes(32), &["print", "hello"]).await.1, "hello\n");
    assert!(run(&runtime, mebibytes(32), &["panic"]).await.1.contains("on purpose"));
}

#[tokio::test]
async fn one_that_loops_or_sleeps_or_floods_is_killed_while_others_run() {
    let runtime = runtime();
    let artifact = load(&runtime, Role::Command, &FIXTURES).await;
    for args in [&["loop"][..], &["sleep"], &["flood"], &["fill", "16"]] {
        let container = runtime.container(mebibytes(64));
        let log = Arc::new(Log::default());
        let mut it = spec(args, &log);
        it.stdout = Arc::new(Closed);
        let handle = runtime.start_command(&artifact, &container, it).expect("started");
        // A neighbour starts and ends beside it.
        assert_eq!(run(&runtime, mebibytes(32), &["print", "x"]).await.0.code, 0);
        if args == ["flood"] {
            eventually("the flood is dropped and counted", || container.usage().log_bytes_dropped > 0).await;
        }
        assert!(handle.try_exit().is_none(), "{args:?} goes on");
        handle.kill();
        let exit = tokio::time::timeout(Duration::from_secs(5), handle.wait()).await.expect("killed at once");
        assert_eq!((exit.code, exit.reason), (137, ExitReason::Error), "{args:?}");
        assert_eq!(container.usage().memory_bytes, 0, "{args:?}");
    }
}

#[tokio::test]
async fn what_is_not_built_makes_no_resource() {
    let runtime = runtime();
    for (kind, said) in [("udp-socket", "Err("), ("resolve-addresses", "Err("), ("directories", "0 directories")] {
        let (exit, log, _) = run(&runtime, mebibytes(32), &["hold", kind, "1"]).await;
        assert!(exit.code == 0 && log.starts_with(said), "{kind}: {exit:?} {log}");
    }
}

#[tokio::test]
async fn handles_are_bounded() {
    let runtime = runtime();
    let (exit, _, _) = run(&runtime, mebibytes(64), &["many-handles"]).await;
    assert_eq!((exit.code, exit.reason), (134, ExitReason::Error), "{exit:?}");
}

#[tokio::test]
async fn memory_is_one_sum_and_a_growth_past_it_is_no_minus_one() {
    let runtime = runtime();
    let (exit, log, _) = run(&runtime, mebibytes(64), &["grow-once", "10"]).await;
    assert_eq!(exit.code, 0);
    assert!(!log.contains("-1") && !log.contains(&usize::MAX.to_string()), "{log}");
    let (exit, log, usage) = run(&runtime, mebibytes(8), &["grow-once", "1000"]).await;
    assert_eq!((exit.code, exit.reason, log.as_str()), (137, ExitReason::OomKilled, ""));
    assert!(usage.oom);
}

#[tokio::test]
async fn a_guest_sees_what_its_spec_declares() {
    let runtime = runtime();
    let artifact = load(&runtime, Role::Command, &FIXTURES).await;
    let log = Arc::new(Log::default());
    let mut it = spec(&["env"], &log);
    it.env = vec![("POD_NAME".into(), "web-0".into())];
    let container = runtime.container(mebibytes(32));
    runtime.start_command(&artifact, &container, it).expect("started").wait().await;
    assert_eq!(log.text(), "POD_NAME=web-0\n");
    let (exit, log, _) = run(&runtime, mebibytes(32), &["files"]).await;
    assert!(exit.code == 0 && log.starts_with("Err("), "{log}");
}

#[tokio::test]
async fn termination_is_heard_ignored_or_not_imported() {
    let runtime = runtime();
    let worker = load(&runtime, Role::Command, &WORKER).await;
    let burner = load(&runtime, Role::Command, &BURNER).await;
    let fixtures = load(&runtime, Role::Command, &FIXTURES).await;
    assert!(worker.worlds().termination && !burner.worlds().termination);
    let hour = Duration::from_secs(3600);
    let short = Duration::from_millis(200);
    for (artifact, args, grace, code) in
        [(&worker, &[][..], hour, 0), (&burner, &[], hour, 143), (&fixtures, &["ignore-termination"], short, 137)]
    {
        let log = Arc::new(Log::default());
        let container = runtime.container(mebibytes(32));
        let handle = runtime.start_command(artifact, &container, spec(args, &log)).expect("started");
        handle.terminate(grace);
        let exit = tokio::time::timeout(PATIENCE, handle.wait()).await.expect("it ends");
        assert_eq!(exit.code, code, "{artifact:?}: {exit:?} {}", log.text());
    }
}

#[tokio::test]
async fn a_runtime_that_shuts_down_ends_its_guests() {
    let runtime = runtime();
    let artifact = load(&runtime, Role::Command, &FIXTURES).await;
    let log = Arc::new(Log::default());
    let container = runtime.container(mebibytes(32));
    let handle = runtime.start_command(&artifact, &container, spec(&["sleep"], &log)).expect("started");
    runtime.shutdown(PATIENCE).await;
    assert_eq!(handle.wait().await.code, 137);
}

#[tokio::test]
async fn pods_talk_to_each_other_and_not_to_the_host() {
    let runtime = runtime();
    let artifact = load(&runtime, Role::Command, &FIXTURES).await;
    let host = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener of the host");
    let host_port = host.local_addr().expect("its address").port();

    let server_log = Arc::new(Log::default());
    let server = spec(&["echo", "0.0.0.0:9000"], &server_log);
    let server_ip = server.pod_ip;
    let container = runtime.container(mebibytes(32));
    let server = runtime.start_command(&artifact, &container, server).expect("started");
    eventually("it listens", || server_log.text().contains("listening")).await;
    assert!(server_log.text().contains(&format!("{server_ip}:9000")), "{}", server_log.text());

    for (address, expected) in [
        // Inside a pod, localhost is the pod: the host's listener is not there.
        (format!("127.0.0.1:{host_port}"), "refused: ConnectionRefused"),
        (format!("127.0.0.2:{host_port}"), "refused: PermissionDenied"),
        ("169.254.169.254:80".to_owned(), "refused: PermissionDenied"),
        // Of a lookup that failed std says no more than that.
        ("example.com:80".to_owned(), "refused: Uncategorized"),
        (format!("{server_ip}:9000"), "connected from "),
    ] {
        let log = Arc::new(Log::default());
        let it = spec(&["connect", &address], &log);
        let own = it.pod_ip;
        let container = runtime.container(mebibytes(32));
        let exit = runtime.start_command(&artifact, &container, it).expect("started").wait().await;
        let log = log.text();
        assert!(exit.code == 0 && log.starts_with(expected), "{address}: {log}");
        if expected.starts_with("connected") {
            assert!(log.contains(&own.to_string()), "bound its own address: {log}");
            server.wait().await;
            assert!(server_log.text().contains(&format!("accepted {own}")), "{}", server_log.text());
        }
    }
}

#[tokio::test]
async fn tables_are_bounded_and_charged() {
    let runtime = runtime();
    // Grows its table by 10,000 elements until it is told -1, and traps then.
    let body = vec![
        0x03, 0x40, 0xd0, 0x70, 0x41, 0x90, 0xce, 0x00, 0xfc, 0x0f, 0x00, 0x41, 0x7f, 0x47, 0x0d, 0x00, 0x0b, 0x00,
    ];
    let module = bytes::Bytes::from(Module { body, table: true, ..Module::default() }.encode());
    let (exit, _, usage) = run_component(&runtime, &module, mebibytes(64), &[]).await;
    assert_eq!(exit.code, 134, "{exit:?}");
    assert!(usage.memory_peak_bytes > 7 << 20 && usage.memory_peak_bytes < 12 << 20, "{usage:?}");
    let (exit, _, usage) = run_component(&runtime, &module, mebibytes(4), &[]).await;
    assert_eq!((exit.code, exit.reason), (137, ExitReason::OomKilled), "{exit:?}");
    assert_eq!(usage.memory_bytes, 0);
}

#[tokio::test]
async fn memories_are_counted_together_and_64_bit_ones_are_refused() {
    let runtime = runtime();
    let many = bytes::Bytes::from(Module { memories: vec![[0, 80]; 8], ..Module::default() }.encode());
    let (exit, _, _) = run_component(&runtime, &many, mebibytes(32), &[]).await;
    assert_eq!((exit.code, exit.reason), (137, ExitReason::OomKilled), "{exit:?}");
    let wide = bytes::Bytes::from(Module { memories: vec![[4, 1]], ..Module::default() }.encode());
    let loaded = runtime.load(Role::Command, &digest_of(&wide), || async { Ok(wide.clone()) }).await;
    assert!(matches!(loaded, Err(Error::Compile { .. })), "{loaded:?}");
}

#[tokio::test]
async fn files_are_read_and_nothing_else_is_done_to_them() {
    let runtime = runtime();
    let artifact = load(&runtime, Role::Command, &FIXTURES).await;
    let file = |text: &'static str| bytes::Bytes::from_static(text.as_bytes());
    let files = [("token".to_owned(), file("first")), ("ca.crt".to_owned(), file("pem"))];
    let volume = Arc::new(Volume::new(files.into()));
    let dir = "/var/run/secrets/kubernetes.io/serviceaccount";
    let check = async |args: &[&str], expected: &str| {
        let mount = Mount { path: dir.into(), volume: volume.clone() };
        let container = runtime.container(mebibytes(32)).with_files(vec![mount]);
        let log = Arc::new(Log::default());
        let handle = runtime.start_command(&artifact, &container, spec(args, &log)).expect("started");
        let exit = tokio::time::timeout(Duration::from_secs(5), handle.wait()).await.expect("it ends");
        assert_eq!((exit.code, log.text().trim_end()), (0, expected), "{args:?}");
        assert_eq!(container.usage().memory_bytes, 0, "{args:?}: memory is given back");
    };
    let at = |name: &str| format!("{dir}/{name}");
    check(&["read", &at("token")], "Ok(\"first\")").await;
    check(&["read", &at("none")], "Err(NotFound)").await;
    check(&["read", "/etc/passwd"], "Err(NotFound)").await;
    check(&["read", &at("../serviceaccount/token")], "Err(PermissionDenied)").await;
    check(&["list", dir], "Ok([\"ca.crt\", \"token\"])").await;
    check(&["write", &at("token")], "Err(ReadOnlyFilesystem)").await;
    check(&["write", &at("new")], "Err(ReadOnlyFilesystem)").await;
    volume.replace([("token".to_owned(), file("second"))].into());
    check(&["read", &at("token")], "Ok(\"second\")").await;
}
