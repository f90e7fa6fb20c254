//! Hostile input to the compiler, and what becomes of the cache.

#![allow(dead_code, reason = "each test binary uses its part of the support module")]

mod support;

use bytes::Bytes;
use sampan_env::Env;
use sampan_wasm_runtime::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use support::modules::{Module, nested_loops};
use support::*;

async fn refused(runtime: &Runtime, bytes: Vec<u8>) -> Error {
    let bytes = Bytes::from(bytes);
    let loaded = runtime.load(Role::Command, &digest_of(&bytes), || async { Ok(bytes.clone()) }).await;
    loaded.expect_err("refused")
}

fn bounded(dir: &Path, compile_bounds: CompileBounds) -> Runtime {
    let mut config = config(dir);
    config.compile_bounds = compile_bounds;
    Runtime::new(config, Env::system()).expect("a runtime")
}

#[tokio::test]
async fn bombs_are_killed_by_their_cpu_time_or_the_address_space_and_remembered() {
    let dir = tempfile::tempdir().expect("a directory");
    let bounds = CompileBounds { cpu: Duration::from_secs(1), ..CompileBounds::default() };
    let runtime = bounded(dir.path(), bounds);
    // The child has used CPU time before: only the job's own counts.
    load(&runtime, Role::Command, &BURNER).await;
    let before = runtime.metrics().compiles;
    let bomb = Bytes::from(nested_loops(20_000));
    let digest = digest_of(&bomb);
    let first = runtime.load(Role::Command, &digest, || async { Ok(bomb.clone()) }).await.expect_err("killed");
    assert!(matches!(&first, Error::CompileKilled { why } if why.contains("1 s of CPU time")), "{first}");
    // The second time nobody asks for the bytes.
    let again = runtime.load(Role::Command, &digest, || async { Err("fetched again".into()) }).await;
    assert!(matches!(again, Err(Error::CompileKilled { .. })));
    assert_eq!((runtime.metrics().compiles - before, runtime.metrics().bad_digests), (1, 1));

    let dir = tempfile::tempdir().expect("a directory");
    let bounds = CompileBounds { address_space_bytes: 600 << 20, ..CompileBounds::default() };
    let runtime = bounded(dir.path(), bounds);
    let error = refused(&runtime, Module { functions: limits::FUNCTIONS_MAX, ..Module::default() }.encode()).await;
    assert!(matches!(&error, Error::CompileKilled { why } if why.contains("MiB")), "{error}");
    // The next job has a new child.
    assert_eq!(run(&runtime, mebibytes(32), &["print", "x"]).await.0.code, 0);
}

/// A bomb of its own each, which never compiles within these bounds.
async fn bomb(runtime: &Runtime, number: usize) -> Error {
    let bomb = Bytes::from(nested_loops(20_000 + number));
    let claim = CompileClaim { owner: "bomber".into(), ..CompileClaim::default() };
    let loaded = runtime.load_workload(&digest_of(&bomb), false, claim, || async { Ok(bomb.clone()) }).await;
    loaded.expect_err("it never compiles")
}

#[tokio::test]
async fn what_compiles_in_a_moment_does_not_wait_for_bombs() {
    let dir = tempfile::tempdir().expect("a directory");
    let bounds = CompileBounds { cpu: Duration::from_secs(4), ..CompileBounds::default() };
    let runtime = bounded(dir.path(), bounds);
    let ended = std::cell::Cell::new(0);
    let bombs = futures::future::join_all((0..3).map(|number| {
        let (runtime, ended) = (&runtime, &ended);
        async move {
            let error = bomb(runtime, number).await;
            ended.set(ended.get() + 1);
            error
        }
    }));
    let tenant = async {
        while runtime.metrics().compiles < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let told = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
        let tell = told.clone();
        let waiting = std::sync::Arc::new(move || {
            tell.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        });
        let claim = CompileClaim { owner: "tenant".into(), waiting };
        let digest = digest_of(&BURNER);
        let began = Env::system().instant();
        let loaded = runtime.load_workload(&digest, false, claim, || async { Ok(BURNER.clone()) }).await;
        assert!(loaded.is_ok(), "{loaded:?}");
        let (size, waited) = (BURNER.len() >> 10, Env::system().instant() - began);
        println!("{size} KiB behind three bombs of {} KiB: {waited:?}", nested_loops(20_000).len() >> 10);
        (ended.get(), told.load(std::sync::atomic::Ordering::Relaxed))
    };
    let (errors, (ended_before, told)) = futures::future::join(bombs, tenant).await;
    assert_eq!((ended_before, told), (0, 1), "it was told that it waits, and waited for no bomb's end");
    for error in errors {
        assert!(matches!(&error, Error::CompileKilled { why } if why.contains("4 s of CPU time")), "{error}");
    }
    assert_eq!(runtime.metrics().bad_digests, 3);
}

#[tokio::test]
async fn a_component_that_starves_again_and_again_is_its_own_fault_at_last() {
    let dir = tempfile::tempdir().expect("a directory");
    let deadline = Duration::from_millis(700);
    let runtime = bounded(dir.path(), CompileBounds { cpu: Duration::from_secs(1), deadline, ..Default::default() });
    let bomb = Bytes::from(nested_loops(20_000));
    let digest = digest_of(&bomb);
    for _ in 0..100 {
        match runtime.load(Role::Command, &digest, || async { Ok(bomb.clone()) }).await.expect_err("never") {
            Error::CompileStarved { .. } => {}
            Error::CompileKilled { why } => {
                assert!(why.contains("1 s of CPU time"), "{why}");
                assert_eq!(runtime.metrics().bad_digests, 1);
                return;
            }
            other => panic!("{other}"),
        }
    }
    panic!("tried again and again");
}

#[tokio::test]
async fn a_busy_machine_is_not_the_components_fault() {
    let dir = tempfile::tempdir().expect("a directory");
    let bounds = CompileBounds { deadline: Duration::from_millis(1), ..CompileBounds::default() };
    let runtime = bounded(dir.path(), bounds);
    let digest = digest_of(&BURNER);
    for _ in 0..2 {
        let error = runtime.load(Role::Command, &digest, || async { Ok(BURNER.clone()) }).await.expect_err("late");
        assert!(matches!(&error, Error::CompileStarved { why, .. } if why.contains("in 0.001 s")), "{error}");
    }
    assert_eq!((runtime.metrics().compiles, runtime.metrics().bad_digests), (2, 0));
}

#[tokio::test]
async fn what_is_no_component_is_refused_with_its_reason() {
    let runtime = runtime();
    for (bytes, expected) in [
        (b"\x1f\x8b\x08\0".to_vec(), "Linux container image"),
        (b"hello".to_vec(), "not WebAssembly"),
        (FIXTURES[..FIXTURES.len() / 2].to_vec(), "damaged"),
        (b"\0asm\x0d\0\x01\0".to_vec(), "exports no wasi:cli/run"),
        (HELLO.to_vec(), "exports no wasi:cli/run; it exports wasi:http/incoming-handler"),
    ] {
        let error = refused(&runtime, bytes).await.to_string();
        assert!(error.contains(expected), "{error}");
    }
    let digest = digest_of(b"other");
    let mismatch = runtime.load(Role::Command, &digest, || async { Ok(FIXTURES.clone()) }).await;
    assert!(matches!(mismatch, Err(Error::DigestMismatch { .. })));
    let lost = runtime.load(Role::Command, &digest, || async { Err("no such blob".into()) }).await;
    assert!(matches!(lost, Err(Error::Fetch(_))), "a mismatch is not remembered");
}

#[tokio::test]
async fn a_module_of_preview_1_is_adapted() {
    let runtime = runtime();
    let bytes = Bytes::from(Module::default().encode());
    let artifact = runtime
        .load_workload(&digest_of(&bytes), false, CompileClaim::default(), || async { Ok(bytes.clone()) })
        .await
        .expect("adapted");
    assert_eq!(artifact.role(), Role::Command);
    let container = runtime.container(mebibytes(32));
    let handle = runtime.start_command(&artifact, &container, spec(&[], &Default::default())).expect("started");
    assert_eq!(handle.wait().await.code, 0);
}

fn cached(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for engine in fs::read_dir(dir).expect("the cache").flatten() {
        found.extend(fs::read_dir(engine.path()).expect("an engine's").flatten().map(|entry| entry.path()));
    }
    found.retain(|path| path.extension().is_some_and(|extension| extension == "cwasm"));
    found
}

#[tokio::test]
async fn the_cache_is_used_and_a_tampered_one_is_not() {
    let dir = tempfile::tempdir().expect("a directory");
    let counts = |runtime: &Runtime| (runtime.metrics().compiles, runtime.metrics().cache_hits);
    let fresh = || Runtime::new(config(dir.path()), Env::system()).expect("a runtime");

    let first = fresh();
    load(&first, Role::Command, &BURNER).await;
    assert_eq!(counts(&first), (1, 0));

    let second = fresh();
    let none = second.load(Role::Command, &digest_of(&BURNER), || async { Err("not wanted".to_owned()) }).await;
    assert!(none.is_ok());
    assert_eq!(counts(&second), (0, 1));

    let files = cached(dir.path());
    assert_eq!(files.len(), 1);
    let mut content = fs::read(&files[0]).expect("the artefact");
    let middle = content.len() / 2;
    content[middle] ^= 1;
    // As another file under the same name: the running engines keep theirs mapped.
    fs::remove_file(&files[0]).expect("removed");
    fs::write(&files[0], content).expect("tampered with");

    let third = fresh();
    load(&third, Role::Command, &BURNER).await;
    assert_eq!(counts(&third), (1, 0));
}

#[tokio::test]
async fn many_loads_of_one_digest_compile_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let runtime = Runtime::new(config(dir.path()), Env::system()).expect("a runtime");
    let loads = (0..8).map(|_| load(&runtime, Role::Command, &BURNER));
    futures::future::join_all(loads).await;
    assert_eq!(runtime.metrics().compiles, 1);
}
