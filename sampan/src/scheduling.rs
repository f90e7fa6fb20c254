//! The scheduler's wiring.

use sampan_client::{BlobSource, Client};
use sampan_env::{Env, Tasks};
use sampan_wasm_runtime::Runtime;
use std::sync::Arc;

pub fn start(client: Client, runtime: &Runtime, blobs: Arc<dyn BlobSource>, env: &Env, tasks: &Tasks) -> anyhow::Result<()> {
    Ok(())
}
