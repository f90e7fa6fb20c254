//! The disk fails: a sync, space, a byte; and what a batch costs it.

use crate::child::{Load, PROGRAM, check_acknowledged, verify_copy};
use sampan_env::{Env, Tasks};
use sampan_store::sqlite::{Options, SqliteStore};
use sampan_store::{Error, Op, Range, Store, Txn, Writer};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The child's exit code after a failed sync.
const EXIT_FATAL: i32 = 70;

fn directory() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let database = directory.path().join("sampan.db");
    (directory, database)
}

/// Builds the shim that stands between the child and its disk.
fn shim(directory: &Path) -> PathBuf {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/disk_shim.c");
    let library = directory.join("shim.so");
    let built =
        Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).args([source, "-ldl"]).status();
    assert!(built.is_ok_and(|status| status.success()), "the C compiler, cc, builds {source}");
    library
}

#[tokio::test]
async fn a_failed_sync_ends_the_process() {
    let (directory, database) = directory();
    let broken = directory.path().join("broken");
    let mut command = Command::new(PROGRAM);
    command.arg(&database).args(["8", "1000000", "300"]);
    command.env("LD_PRELOAD", shim(directory.path())).env("SHIM_EIO", &broken);
    let mut load = Load::start(&mut command);
    load.until_acknowledged(200);
    std::fs::write(&broken, "").expect("writable");
    load.until("fatal");
    let before = load.acknowledged.len();
    assert_eq!(load.end().code(), Some(EXIT_FATAL));
    assert_eq!(load.acknowledged.len(), before, "nothing is acknowledged after it");
    let last = load.acknowledged.last_key_value().map_or(0, |(revision, _)| *revision);
    verify_copy(&database, last).await;
    check_acknowledged(&database, &load.acknowledged).await;
}

#[tokio::test]
async fn a_full_disk_refuses_writes_until_there_is_room() {
    let (directory, database) = directory();
    let full = directory.path().join("full");
    let mut command = Command::new(PROGRAM);
    command.arg(&database).args(["8", "300", "300"]);
    command.env("LD_PRELOAD", shim(directory.path())).env("SHIM_ENOSPC", &full);
    let mut load = Load::start(&mut command);
    load.until_acknowledged(100);
    std::fs::write(&full, "").expect("writable");
    load.until("full");
    // Reads go on, the alarm is raised.
    load.until("read");
    std::fs::remove_file(&full).expect("writable");
    let (mut done, mut line) = (None, load.line());
    while let Some(words) = line {
        if words[0] == "done" {
            done = Some(words);
        }
        line = load.line();
    }
    assert!(load.end().success());
    assert_eq!(done.expect("it ends by itself")[3], "false", "the alarm is cleared");
    assert_eq!(load.acknowledged.len(), 8 * 300, "all was written in the end");
    verify_copy(&database, 8 * 300).await;
    check_acknowledged(&database, &load.acknowledged).await;
}

/// Syncs of a run of the child, by kind, and the words of its last line.
fn traced(puts: &str) -> (usize, usize, Vec<String>) {
    let (directory, database) = directory();
    let trace = directory.path().join("trace");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", "trace=fdatasync,fsync", "-o"]).arg(&trace).arg(PROGRAM);
    command.arg(&database).args(["16", puts, "1500"]);
    if Command::new("strace").arg("--version").output().is_err() {
        panic!("this test needs strace: apt-get install strace (cargo xtask test does it)");
    }
    let mut load = Load::start(&mut command);
    let mut last = Vec::new();
    while let Some(words) = load.line() {
        last = words;
    }
    assert!(load.end().success());
    let trace = std::fs::read_to_string(&trace).expect("strace wrote it");
    let calls = |name: &str| trace.lines().filter(|line| line.contains(name) && !line.contains("resumed>")).count();
    (calls(" fdatasync("), calls(" fsync("), last)
}

#[test]
fn a_batch_costs_one_sync_and_a_checkpoint_three() {
    // Opening and closing have syncs of their own: taken away by a run that writes nothing.
    let (idle_data, idle_full, _) = traced("0");
    let (data, full, done) = traced("500");
    let count = |word: &String| word.parse::<usize>().expect("a number");
    let (batches, checkpoints) = (count(&done[1]), count(&done[2]));
    let syncs = data + full - idle_data - idle_full;
    println!("{batches} batches, {checkpoints} checkpoints, {syncs} syncs");
    assert!(batches > 0 && batches < 16 * 500, "writers share batches: {batches}");
    assert!(checkpoints > 0, "the run is long enough for one");
    assert!(syncs <= batches + 3 * checkpoints, "{syncs} syncs for {batches} batches and {checkpoints} checkpoints");
    assert_eq!(full, idle_full, "SQLite is built to sync with fdatasync");
}

async fn open(database: &Path) -> Result<SqliteStore, Error> {
    SqliteStore::open(database, Options::new(Env::system(), &Tasks::new("disk"))).await
}

async fn put(store: &SqliteStore, key: &str, value: &str) {
    let txn = Txn { compares: vec![], ops: vec![Op::put(key, value.to_owned())], writer: Writer::default() };
    store.txn(txn).await.expect("a plain put succeeds");
}

/// Flips a bit in the middle of the only place where the text stands in the file.
fn flip(database: &Path, text: &str) {
    let mut file = std::fs::read(database).expect("readable");
    let places: Vec<usize> =
        file.windows(text.len()).enumerate().filter(|(_, bytes)| *bytes == text.as_bytes()).map(|(at, _)| at).collect();
    let [at] = places[..] else { panic!("{text} stands at {places:?}") };
    file[at + text.len() / 2] ^= 1;
    std::fs::write(database, file).expect("writable");
}

#[tokio::test]
async fn a_flipped_byte_of_the_current_state_stops_the_opening() {
    let (_directory, database) = directory();
    let store = open(&database).await.expect("fresh");
    put(&store, "/p/a", "a value that stays as it is").await;
    put(&store, "/p/b", "a value that is going to rot").await;
    store.close().await;
    flip(&database, "a value that is going to rot");
    let damaged = open(&database).await.map(|_| ()).expect_err("it is damaged");
    assert!(matches!(&damaged, Error::Damaged { what } if what.contains("row 2.0 (/p/b)")), "{damaged}");
    let seen = sampan_store::sqlite::verify_file(&database).await.expect("readable");
    assert_eq!(seen.problems, ["table log, row 2.0 (/p/b): its checksum does not match"]);
}

#[tokio::test]
async fn a_flipped_byte_of_history_is_found_and_never_served() {
    let (_directory, database) = directory();
    let store = open(&database).await.expect("fresh");
    put(&store, "/p/a", "a value that is going to rot").await;
    put(&store, "/p/a", "the current one").await;
    store.close().await;
    flip(&database, "a value that is going to rot");
    let store = open(&database).await.expect("the current state is sound");
    let what = "table log, row 1.0 (/p/a): its checksum does not match";
    let damaged = Err(Error::Damaged { what: what.into() });
    assert_eq!(store.get("/p/a", Some(1)).await.map(|_| ()), damaged);
    assert_eq!(store.range(Range::default(), Some(1)).await.map(|_| ()), damaged);
    assert_eq!(store.history("", 0, 2, 10).await.map(|_| ()), damaged);
    assert_eq!(store.get("/p/a", None).await.expect("sound").expect("exists").value, "the current one");
    assert_eq!(store.verify().await.expect("readable").problems, [what]);
    store.close().await;
}
