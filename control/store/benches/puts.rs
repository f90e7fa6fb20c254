//! Durable puts: how many a second, what they cost, and how many share a sync. Prints a line for each number of writers,
//! then what opening that log takes.
//!
//! `cargo bench -p sampan-store` (a directory as the argument: the disk to measure; default: the system's temporary one).

use sampan_env::{Env, Tasks};
use sampan_store::sqlite::{Options, SqliteStore};
use sampan_store::{Op, Range, Store, Txn, Writer};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const VALUE_BYTES: usize = 1_500;
const OBJECTS: u64 = 10_000;

fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[tokio::main]
async fn main() {
    // cargo bench adds --bench.
    let directory = std::env::args().skip(1).find(|argument| !argument.starts_with("--")).map(PathBuf::from);
    let directory = directory.unwrap_or_else(std::env::temp_dir);
    let directory = tempfile::tempdir_in(directory).expect("a directory");
    let path = directory.path().join("sampan.db");
    let env = Env::system();
    let tasks = Tasks::new("bench");
    let start = env.instant();
    let store = Arc::new(SqliteStore::open(&path, Options::new(env.clone(), &tasks)).await.expect("opens"));
    println!("first opening: {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
    for (writers, puts) in [(1, 2_000), (16, 10_000), (64, 30_000), (256, 60_000)] {
        run(&env, &tasks, &store, writers, puts).await;
    }
    let start = env.instant();
    store.close().await;
    println!("closing: {:.1} ms", start.elapsed().as_secs_f64() * 1e3);

    let start = (env.instant(), cpu());
    let store = SqliteStore::open(&path, Options::new(env.clone(), &tasks)).await.expect("opens");
    let (keys, wall) = (store.statistics().keys, start.0.elapsed());
    println!(
        "opening {keys} objects: {:.1} ms, {:.1} ms CPU",
        wall.as_secs_f64() * 1e3,
        (cpu() - start.1).as_secs_f64() * 1e3
    );
    let start = env.instant();
    let all = store.range(Range::default(), None).await.expect("readable");
    println!("reading {} objects: {:.1} ms", all.entries.len(), start.elapsed().as_secs_f64() * 1e3);
    store.close().await;
}

/// Each writer puts, waits, puts again; keys are spread over `OBJECTS`.
async fn run(env: &Env, tasks: &Tasks, store: &Arc<SqliteStore>, writers: u64, puts: u64) {
    let before = store.statistics();
    let next = Arc::new(AtomicU64::new(0));
    let (start, cpu_start) = (env.instant(), cpu());
    let writers_run: Vec<_> = (0..writers)
        .map(|_| {
            let (store, next) = (store.clone(), next.clone());
            tasks.spawn(async move {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= puts {
                        break;
                    }
                    let key = format!("/registry/core/configmaps/bench/object-{:05}", n * 7919 % OBJECTS);
                    let writer = Writer {
                        user: "system:serviceaccount:default:bench".into(),
                        verb: "update".into(),
                        user_agent: "bench/v1.0 (linux/amd64)".into(),
                        request_id: "00000000-0000-4000-8000-000000000000".into(),
                    };
                    let txn = Txn { compares: vec![], ops: vec![Op::put(key, vec![b'x'; VALUE_BYTES])], writer };
                    store.txn(txn).await.expect("a plain put succeeds");
                }
            })
        })
        .collect();
    for writer in writers_run {
        writer.await.expect("a writer ends");
    }
    let (wall, cpu_used, after) = (start.elapsed(), cpu() - cpu_start, store.statistics());
    let (batches, checkpoints) = (after.batches - before.batches, after.checkpoints - before.checkpoints);
    println!(
        "{writers:>4} writers: {:>7.0} puts/s, {:>5.1} us CPU a put, {:>5.1} puts a batch, {batches} batches, {checkpoints} checkpoints, {} syncs at most",
        puts as f64 / wall.as_secs_f64(),
        cpu_used.as_secs_f64() * 1e6 / puts as f64,
        puts as f64 / batches as f64,
        batches + 3 * checkpoints,
    );
}
