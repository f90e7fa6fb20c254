//! The contract suite on each engine.

use async_trait::async_trait;
use sampan_env::{Env, Tasks};
use sampan_store::Store;
use sampan_store::memory::MemoryStore;
use sampan_store::suite::{Engine, run};
use std::sync::Arc;

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
