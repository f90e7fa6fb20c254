//! The `sampan` binary: it reads its flags, wires the rooms together, and ends them in order.

mod addresses;
mod allocator;
mod authorizers;
mod backends;
mod cluster;
mod config;
mod context;
mod data_dir;
mod database;
mod deferred;
mod envtest;
mod first_start;
mod followed;
mod health;
mod idle;
mod image;
mod issuer;
mod metrics;
mod nodes;
mod process;
mod ranges;
mod registry;
mod report;
mod reset;
mod rules;
mod scheduling;
mod shell;
mod tell;
mod up;

use clap::{Parser, Subcommand};
use report::{Form, Report};
use sampan_env::{Env, FreedMemory, Tasks};
use std::process::ExitCode;
use std::time::Duration;

/// Kubernetes' API over WebAssembly: pods and scheduling policies are components
#[derive(Parser)]
#[command(name = "sampan", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start everything in one process, apply files, and wait until they are ready
    Up(up::UpFlags),
    /// Write kube-apiserver, etcd and kubectl for tests of operators into a folder (KUBEBUILDER_ASSETS)
    Envtest(envtest::EnvtestFlags),
    /// Components of the embedded store
    #[command(subcommand)]
    Image(image::ImageCommand),
    /// Delete a cluster that does not run: its objects, images and keys, and its context
    Reset(reset::ResetFlags),
    #[command(flatten)]
    Client(sampan_cli::commands::Command),
    /// Print what makes a shell complete commands, and names of the cluster's objects
    Completion(shell::CompletionFlags),
    /// Print a manual page, for `man -l -`
    Man(shell::ManFlags),
}

/// What the process is for.
enum Work {
    Command(Box<Command>),
    /// Under another program's name.
    As(envtest::Role, Vec<std::ffi::OsString>),
}

/// This program, as `sampan version` shows it.
const BUILD: sampan_cli::status::Build = sampan_cli::status::Build {
    version: env!("CARGO_PKG_VERSION"),
    commit: match option_env!("SAMPAN_COMMIT") {
        Some(commit) => commit,
        None => "unknown",
    },
    kubernetes: cluster::VERSION,
};

fn log(filter: &str) {
    let filter =
        tracing_subscriber::EnvFilter::try_new(filter).unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    // A terminal that was closed takes no lines: that is no reason to end in the middle of something.
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    log.log_internal_errors(false).init();
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
    let mut arguments = std::env::args_os();
    let role = arguments.next().and_then(|program| envtest::Role::of(std::path::Path::new(&program)));
    if role.is_none() && shell::completed() {
        return ExitCode::SUCCESS;
    }
    let cli = match role {
        Some(role) => Work::As(role, arguments.collect()),
        None => match Cli::try_parse() {
            Ok(cli) => Work::Command(Box::new(cli.command)),
            Err(error) => return misread(&error),
        },
    };
    let up = match &cli {
        Work::Command(command) => match &**command {
            Command::Up(flags) => Some(flags),
            _ => None,
        },
        Work::As(..) => None,
    };
    let form = up.map_or(Form::Text, |flags| flags.output);
    let filter = up.map_or_else(|| "warn".to_owned(), |flags| flags.server.log.clone());
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
        match cli {
            Work::As(role, arguments) => envtest::run(role, arguments, &env).await,
            Work::Command(command) => run(*command, &env).await,
        }
    });
    // Threads that still block (in a read that nobody waits for) do not hold the exit up.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            Report::new(form, &env).error(&sampan_cli::session::told(&error));
            ExitCode::FAILURE
        }
    }
}

/// Says of a command line that cannot be read what is wrong with it, in the form that it asks for. Help is no mistake.
fn misread(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() || up::form_asked(std::env::args_os()) == Form::Text {
        error.exit();
    }
    let text = error.to_string();
    let message = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
    Report::new(Form::Json, &Env::system()).error(message);
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(u8::MAX))
}

async fn run(command: Command, env: &Env) -> anyhow::Result<()> {
    match command {
        Command::Up(flags) => up::up(flags, env).await,
        Command::Envtest(flags) => envtest::write(&flags),
        Command::Image(command) => image::run(&command),
        Command::Reset(flags) => reset::run(&flags, env).await,
        Command::Completion(flags) => shell::completion(&flags),
        Command::Man(flags) => shell::man(&flags),
        Command::Client(command) => {
            let tasks = Tasks::new("cli");
            sampan_cli::commands::run(command, BUILD, env, &tasks).await
        }
    }
}
