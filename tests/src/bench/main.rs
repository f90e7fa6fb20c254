//! `cargo xtask bench`: the binary's figures on this machine, over TLS, with the load on the same cores.
//!
//! Absolute figures depend on the machine and on what else runs; the server's CPU per request and its syncs per batch do
//! so least, and are what to compare. A peer takes the same load in turn with ours, in the same call.

mod http;
mod pods;
mod requests;
mod scheduling;
mod startup;
mod watching;

use clap::{Parser, ValueEnum};
use std::path::PathBuf;

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
            Part::Requests => on_runtime(requests::run())?,
            Part::Watching => on_runtime(watching::run())?,
            Part::Scheduling => on_runtime(scheduling::run())?,
            Part::Pods => on_runtime(pods::run())?,
            Part::Http => on_runtime(http::run(cli.wasmtime.as_deref()))?,
        }
    }
    Ok(())
}

fn on_runtime(future: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(future)
}
