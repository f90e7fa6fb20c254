//! The cluster's database: opened, or why not.

use crate::config::Config;
use crate::data_dir::DataDir;
use anyhow::Context;
use sampan_env::{Env, Tasks};
use sampan_store::RangeResult;
use sampan_store::sqlite::{Options, SqliteStore};
use std::sync::Arc;

/// The process's exit code when a sync has failed (sysexits' EX_IOERR).
const EXIT_DISK: i32 = 74;

/// The store, and what its opening read.
pub async fn open(data_dir: &DataDir, env: &Env, tasks: &Tasks) -> anyhow::Result<(Arc<SqliteStore>, RangeResult)> {
    let mut options = Options::new(env.clone(), tasks);
    options.lock = Some(data_dir.lock());
    options.on_fatal = Some(Arc::new(|why| {
        // It is no longer known what is durable. Only a new start, which reads the file, can tell.
        eprintln!("sampan: the database could not be synced: {why}; ending at once, start again when the disk is well");
        std::process::exit(EXIT_DISK);
    }));
    match SqliteStore::open_with_state(&data_dir.database(), options).await {
        Ok((store, state)) => Ok((Arc::new(store), state)),
        Err(sampan_store::Error::InUse { .. }) => Err(in_use(&data_dir.root)),
        Err(error) => Err(error).with_context(|| format!("the database {}", data_dir.database().display())),
    }
}

/// Of a port that is taken: who runs this cluster already is told of that, for another port would not help. Nothing is made.
pub fn if_in_use(config: &Config, error: anyhow::Error) -> anyhow::Error {
    let lock = std::fs::File::open(DataDir { root: config.data_dir.clone() }.lock());
    match lock.map(|lock| lock.try_lock()) {
        Ok(Err(std::fs::TryLockError::WouldBlock)) => in_use(&config.data_dir),
        _ => error,
    }
}

fn in_use(root: &std::path::Path) -> anyhow::Error {
    let root = root.display();
    anyhow::anyhow!("another sampan is using {root}; stop it first, or choose another directory with --data-dir")
}
