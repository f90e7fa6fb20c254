//! The `sampan` binary: it reads its flags, wires the rooms together, and ends them in order.

mod addresses;
mod allocator;
mod cluster;
mod config;
mod data_dir;
mod deferred;
mod first_start;
mod health;
mod image;
mod metrics;
mod nodes;
mod process;
mod ranges;
mod rules;
mod scheduling;
mod tell;
mod up;

use clap::{Parser, Subcommand};
use sampan_env::{Env, FreedMemory, Tasks};
use std::process::ExitCode;
use std::time::Duration;

/// Kubernetes' API over WebAssembly: pods and scheduling policies are components
#[derive(Parser)]
#[command(name = "sampan", version = cluster::VERSION, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start everything in one process, apply files, and wait until they are ready
    Up(up::UpFlags),
    /// Components of the embedded store
    #[command(subcommand)]
    Image(image::ImageCommand),
    #[command(flatten)]
    Client(sampan_cli::commands::Command),
}

fn log(filter: &str) {
    let filter =
        tracing_subscriber::EnvFilter::try_new(filter).unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

/// A thread of the runtime looks for what has arrived after so many turns of tasks. With tokio's 61 a request waits for as
/// many turns of connections that always have something to do before anybody sees that it is there.
const EVENT_INTERVAL: u32 = 8;

/// The time that a thread which has done something that blocks waits for more of it; with it ends what its allocator keeps.
const BLOCKING_KEEP_ALIVE: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    // A compiler child is this same binary: it leaves from here.
    sampan_wasm_runtime::compile_child_main();
    process::prepare();
    allocator::prepare();
    let cli = Cli::parse();
    let filter = match &cli.command {
        Command::Up(flags) => flags.server.log.clone(),
        Command::Image(_) | Command::Client(_) => "warn".to_owned(),
    };
    log(&filter);
    let memory = FreedMemory::new(allocator::give_back);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let resting = memory.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .event_interval(EVENT_INTERVAL)
        .thread_keep_alive(BLOCKING_KEEP_ALIVE)
        .on_thread_park(move || resting.rests())
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("sampan: no runtime could be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let env = Env::system().with_memory(memory.clone());
    let rounds = Tasks::new("memory");
    let result = runtime.block_on(async {
        let threads = vec![(runtime.handle().clone(), workers)];
        rounds.spawn_until_cancelled(memory.run(env.clone(), rounds.clone(), threads));
        match cli.command {
            Command::Up(flags) => up::up(flags, &env).await,
            Command::Image(command) => image::run(&command),
            Command::Client(command) => {
                let tasks = Tasks::new("cli");
                sampan_cli::commands::run(command, &env, &tasks).await
            }
        }
    });
    // Threads that still block (in a read that nobody waits for) do not hold the exit up.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sampan: {error:#}");
            ExitCode::FAILURE
        }
    }
}
