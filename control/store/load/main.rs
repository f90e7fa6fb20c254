//! The child of the fault tests: writers that say on stdout what was acknowledged, until they are done, killed, or the disk
//! fails them.
//!
//! Lines: `open`, `ack <revision> <key> <value>`, `full` and `read` (a read while the disk is full), `fatal`, and at the end
//! `done <batches> <checkpoints> <disk_full>`.

use sampan_env::{Env, Tasks};
use sampan_store::sqlite::{Options, SqliteStore};
use sampan_store::{Error, Op, Store, Txn, Writer};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Exit code of the child when a sync failed.
const EXIT_FATAL: i32 = 70;
/// Keys of one writer.
const KEYS: u64 = 20;

fn say(line: &str) {
    // One write a line, so that a kill cuts none in two; a parent that is gone needs no answer.
    let line = format!("{line}\n");
    if std::io::stdout().lock().write_all(line.as_bytes()).and_then(|()| std::io::stdout().flush()).is_err() {
        std::process::exit(1);
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [database, writers, puts, bytes] = &arguments[..] else {
        eprintln!("usage: sampan-store-load DATABASE WRITERS PUTS VALUE_BYTES");
        return ExitCode::from(2);
    };
    let number = |text: &str| text.parse::<u64>().expect("a number");
    let (writers, puts, bytes) = (number(writers), number(puts), number(bytes) as usize);
    let tasks = Tasks::new("load");
    let mut options = Options::new(Env::system(), &tasks);
    options.on_fatal = Some(Arc::new(|what| {
        say(&format!("fatal {what}"));
        std::process::exit(EXIT_FATAL);
    }));
    let store = match SqliteStore::open(Path::new(database), options).await {
        Ok(store) => Arc::new(store),
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    say("open");
    let running: Vec<_> = (0..writers).map(|writer| tasks.spawn(write(store.clone(), writer, puts, bytes))).collect();
    for writer in running {
        writer.await.expect("a writer ends");
    }
    let end = store.statistics();
    store.close().await;
    say(&format!("done {} {} {}", end.batches, end.checkpoints, end.disk_full));
    ExitCode::SUCCESS
}

/// Puts over its own keys, with a key that all share in every fourth transaction, and a deletion in every tenth.
async fn write(store: Arc<SqliteStore>, number: u64, puts: u64, bytes: usize) {
    for n in 0..puts {
        let key = format!("/load/{number}/{}", n % KEYS);
        let value = format!("{number}-{n}-{}", "x".repeat(bytes));
        let mut ops = vec![Op::put(key.clone(), value.clone())];
        if n % 4 == 0 {
            ops.push(Op::put("/load/shared", value.clone()));
        }
        if n % 10 == 9 {
            ops.push(Op::delete(format!("/load/{number}/{}", (n + 1) % KEYS)));
        }
        let writer = Writer { user: format!("writer-{number}"), verb: "update".into(), ..Writer::default() };
        let txn = Txn { compares: vec![], ops, writer };
        loop {
            match store.txn(txn.clone()).await {
                Ok(done) => {
                    say(&format!("ack {} {key} {number}-{n}", done.revision));
                    break;
                }
                Err(Error::DiskFull) => {
                    say("full");
                    if store.get("/load/shared", None).await.is_ok() && store.statistics().disk_full {
                        say("read");
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Err(error) => {
                    eprintln!("{error}");
                    return;
                }
            }
        }
    }
}
