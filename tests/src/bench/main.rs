//! `cargo xtask bench`: the binary's figures on this machine, over TLS, with the load on the same cores.
//!
//! Absolute figures depend on the machine and on what else runs; the server's CPU per request and its syncs per batch do
//! so least, and are what to compare. A peer takes the same load in turn with ours, in the same call.

mod api;
mod http;
mod pods;
mod requests;
mod scheduling;
mod startup;
mod watching;

use clap::{Parser, ValueEnum};
use sampan_env::Tasks;
use std::path::PathBuf;
use std::time::Duration;

/// How long the tasks of a part have to end.
const DRAIN: Duration = Duration::from_secs(10);

#[derive(Parser)]
#[command(name = "bench", about = "Sampan's figures on this machine")]
struct Cli {
    /// Which parts to run; all by default
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// A `wasmtime` to compare HTTP components with, in turn
    #[arg(long)]
    wasmtime: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Part {
    Startup,
    Api,
    Requests,
    Watching,
    Scheduling,
    Pods,
    Http,
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let parts = if cli.parts.is_empty() { Part::value_variants() } else { &cli.parts };
    for part in parts {
        match part {
            Part::Startup => startup::run()?,
            Part::Api => on_runtime(async |tasks| api::run(tasks).await)?,
            Part::Requests => on_runtime(async |tasks| requests::run(tasks).await)?,
            Part::Watching => on_runtime(async |tasks| watching::run(tasks).await)?,
            Part::Scheduling => on_runtime(async |tasks| scheduling::run(tasks).await)?,
            Part::Pods => on_runtime(async |tasks| pods::run(tasks).await)?,
            Part::Http => on_runtime(async |tasks| http::run(tasks, cli.wasmtime.as_deref()).await)?,
        }
    }
    Ok(())
}

/// Runs a part on a runtime of its own, under one owner of all its tasks, which end with it.
fn on_runtime(part: impl AsyncFnOnce(&Tasks) -> anyhow::Result<()>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let tasks = Tasks::new("bench");
        let result = part(&tasks).await;
        tasks.drain(DRAIN).await?;
        result
    })
}
