//! The contract suite on each engine.

use async_trait::async_trait;
use sampan_env::{Env, Tasks};
use sampan_store::Store;
use sampan_store::memory::MemoryStore;
use sampan_store::sqlite::{Options, SqliteStore};
use sampan_store::suite::{Engine, run};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;

/// Logs in files of one directory.
struct Sqlite {
    directory: TempDir,
    count: AtomicUsize,
}

#[async_trait]
impl Engine for Sqlite {
    async fn fresh(&self, env: Env, tasks: &Tasks) -> Arc<dyn Store> {
        let name = format!("{}.db", self.count.fetch_add(1, Ordering::Relaxed));
        let store = SqliteStore::open(&self.directory.path().join(name), Options::new(env, tasks)).await;
        Arc::new(store.expect("a fresh log opens"))
    }
}

#[tokio::test(start_paused = true)]
async fn sqlite() {
    run(&Sqlite { directory: tempfile::tempdir().expect("a directory"), count: AtomicUsize::new(0) }).await;
}

struct Memory;

#[async_trait]
impl Engine for Memory {
    async fn fresh(&self, env: Env, tasks: &Tasks) -> Arc<dyn Store> {
        Arc::new(MemoryStore::new(env, tasks))
    }
}

#[tokio::test(start_paused = true)]
async fn memory() {
    run(&Memory).await;
}
