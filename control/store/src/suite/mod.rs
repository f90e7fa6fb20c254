//! The contract as a table of cases, each run on a fresh log of the engine at hand.
//!
//! An engine's test is one call of [`run`] under a paused clock (`#[tokio::test(start_paused = true)]`): time moves only
//! when a case advances it, also while a database's own threads work.

mod compaction;
mod leases;
mod reads;
mod sinks;
mod writes;

use crate::entry::{Event, EventKind, LeaseId, Writer};
use crate::error::Error;
use crate::store::Store;
use crate::txn::{Committed, Compare, Op, Txn};
use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use sampan_env::{Env, Tasks};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Makes fresh, empty logs.
#[async_trait]
pub trait Engine: Sync {
    async fn fresh(&self, env: Env, tasks: &Tasks) -> Arc<dyn Store>;
}

/// What a case works with.
pub struct World {
    pub store: Arc<dyn Store>,
    pub env: Env,
    pub tasks: Tasks,
}

type Case = fn(World) -> BoxFuture<'static, ()>;

/// Name and body of each case.
fn cases() -> Vec<(&'static str, Case)> {
    [writes::CASES, reads::CASES, sinks::CASES, leases::CASES, compaction::CASES].concat()
}

/// Runs every case; panics with the names of those that failed.
pub async fn run(engine: &dyn Engine) {
    let _held = hold_time();
    let (mut passed, mut failed) = (0, Vec::new());
    for (seed, (name, case)) in cases().into_iter().enumerate() {
        let env = Env::simulated(seed as u64, SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        let tasks = Tasks::new("store suite");
        let store = engine.fresh(env.clone(), &tasks).await;
        let world = World { store: store.clone(), env, tasks: tasks.clone() };
        println!("case: {name}");
        match AssertUnwindSafe(case(world)).catch_unwind().await {
            Ok(()) => passed += 1,
            Err(_) => failed.push(name),
        }
        store.close().await;
    }
    println!("store suite: {passed} cases passed, {} failed", failed.len());
    assert!(failed.is_empty(), "failed: {failed:?}");
}

/// Keeps paused time from advancing by itself while a database's thread works: tokio advances only when nothing blocks.
pub fn hold_time() -> Held {
    let (release, held) = std::sync::mpsc::channel::<()>();
    // Ends once the sender is dropped.
    let task = tokio::task::spawn_blocking(move || held.recv().is_ok());
    Held { _release: release, _task: task }
}

/// See [`hold_time`].
pub struct Held {
    _release: std::sync::mpsc::Sender<()>,
    _task: tokio::task::JoinHandle<bool>,
}

impl World {
    async fn txn(&self, compares: Vec<Compare>, ops: Vec<Op>) -> Result<Committed, Error> {
        self.store.txn(Txn { compares, ops, writer: writer("suite") }).await
    }

    /// Writes and returns the revision.
    async fn put(&self, key: &str, value: &'static str) -> u64 {
        self.txn(vec![], vec![Op::put(key, value)]).await.expect("a plain put succeeds").revision
    }

    async fn put_leased(&self, key: &str, lease: LeaseId) -> Result<Committed, Error> {
        let value = Bytes::from_static(b"leased");
        self.txn(vec![], vec![Op::Put { key: key.into(), value, payload: None, lease: Some(lease) }]).await
    }

    async fn delete(&self, key: &str) -> u64 {
        self.txn(vec![], vec![Op::delete(key)]).await.expect("a plain delete succeeds").revision
    }

    /// The value at a revision, as text.
    async fn value(&self, key: &str, at: Option<u64>) -> Option<String> {
        let entry = self.store.get(key, at).await.expect("readable");
        entry.map(|entry| String::from_utf8(entry.value.to_vec()).expect("cases write text"))
    }
}

fn writer(verb: &str) -> Writer {
    Writer {
        user: "jane".into(),
        verb: verb.into(),
        user_agent: "suite/1".into(),
        request_id: "6ba7b810-9dad-11d1-80b4-00c04fd430c8".into(),
    }
}

/// An event as `+/key@revision.index=value`, `-` for a deletion.
fn show(events: &[Event]) -> Vec<String> {
    let show = |event: &Event| {
        let sign = match event.kind {
            EventKind::Put => '+',
            EventKind::Delete => '-',
        };
        let (key, value) = (&event.entry.key, String::from_utf8_lossy(&event.entry.value));
        format!("{sign}{key}@{}.{}={value}", event.revision(), event.index)
    };
    events.iter().map(show).collect()
}
