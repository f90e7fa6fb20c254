//! `cargo xtask`: everything that is done to this repository, by one command each.

mod clients;
mod command;
mod conformance;
mod envtest;
mod kubernetes;
mod ratchet;
mod source;
mod test;
mod tidy;
mod tools;

use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// All that must pass: format, lints, tidy, unit and end-to-end tests. Installs what they need
    Test {
        /// ci, or nightly for the long oracles too
        #[arg(long, default_value = "ci", value_parser = ["ci", "nightly"])]
        tier: String,
    },
    /// The rules of the house that the compiler does not know
    Tidy {
        /// Lower the counts of bench/tidy.toml that can be lowered
        #[arg(long)]
        bless: bool,
    },
    /// Build or install the outside programs that the tests use
    Tools,
    /// Run Kubernetes' own conformance suite, a verdict for each test
    Conformance(conformance::Options),
    /// Print the figures, against peers that run in the same call
    Bench {
        #[arg(trailing_var_arg = true)]
        arguments: Vec<String>,
    },
}

fn main() -> anyhow::Result<()> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().map(PathBuf::from).unwrap_or_default();
    match Cli::parse().task {
        Task::Test { tier } => test::run(&root, &tier),
        Task::Tidy { bless } => {
            tidy::run(&root, if bless { ratchet::Counting::Lower } else { ratchet::Counting::Compare })
        }
        Task::Tools => tools::prepare(&root).and_then(|tools| {
            tools::interpreted(&root, &tools)?;
            clients::prepare(&root, &tools)?;
            envtest::prepare(&root, &tools)?;
            kubernetes::servers(&tools)
        }),
        Task::Conformance(options) => conformance::run(&root, &options),
        Task::Bench { arguments } => bench(&root, &arguments),
    }
}

/// `arguments`: the parts to run, all by default. The peer is built only for the part that wants it.
fn bench(root: &Path, arguments: &[String]) -> anyhow::Result<()> {
    let tools = tools::prepare(root)?;
    // As the tests build: of single packages the dependencies have other features, and all would be built once more.
    command::run(root, "cargo", &["build", "--release", "--workspace", "--bins", "--tests"])?;
    let mut words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let peer;
    if arguments.is_empty() || arguments.iter().any(|one| one == "http") {
        peer = tools::wasmtime(root, &tools)?;
        words.extend(["--wasmtime", &peer]);
    }
    command::run(root, &root.join("target/release/bench").to_string_lossy(), &words)
}
