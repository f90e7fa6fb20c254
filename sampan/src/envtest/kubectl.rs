//! `kubectl`: the commands of sampan's own that have kubectl's names. Its global flags may stand before the command.

use crate::BUILD;
use anyhow::Context;
use clap::Parser;
use sampan_env::{Env, Tasks};

/// The commands that `sampan` shares with kubectl; for the others use kubectl itself
#[derive(Parser)]
#[command(name = "kubectl")]
struct Kubectl {
    #[command(subcommand)]
    command: sampan_cli::commands::Command,
}

/// Runs one command.
pub async fn run(arguments: Vec<String>, env: &Env) -> anyhow::Result<()> {
    let cli = Kubectl::try_parse_from(std::iter::once("kubectl".to_owned()).chain(reordered(arguments)));
    let command = match cli {
        Ok(cli) => cli.command,
        Err(error) => error.exit(),
    };
    let tasks = Tasks::new("kubectl");
    sampan_cli::commands::run(command, BUILD, env, &tasks).await.context("kubectl")
}

/// Flags that stand before the command go behind it.
fn reordered(arguments: Vec<String>) -> Vec<String> {
    let mut before = Vec::new();
    let mut rest = arguments.into_iter().peekable();
    while let Some(flag) = rest.next_if(|one| one.starts_with('-') && !matches!(one.as_str(), "-h" | "--help")) {
        let needs_value = !flag.contains('=');
        before.push(flag);
        if needs_value {
            before.extend(rest.next());
        }
    }
    let mut all: Vec<String> = rest.next().into_iter().collect();
    all.extend(before);
    all.extend(rest);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_scaffolds_ask_is_understood() {
        for line in ["version --client", "version --client=true -o json", "logs web --tail=-1 --since=1h30m"] {
            assert!(Kubectl::try_parse_from(std::iter::once("kubectl").chain(line.split(' '))).is_ok(), "{line}");
        }
        assert!(Kubectl::try_parse_from(["kubectl", "logs", "web", "--tail=-2"]).is_err());
    }

    #[test]
    fn global_flags_may_come_first() {
        let check = |line: &str, expected: &str| {
            let words = line.split_whitespace().map(str::to_owned).collect();
            assert_eq!(reordered(words).join(" "), expected, "{line}");
        };
        check("--kubeconfig=a get pods", "get --kubeconfig=a pods");
        check("--kubeconfig a -n b get pods -o json", "get --kubeconfig a -n b pods -o json");
        check("get pods", "get pods");
        check("--help", "--help");
    }
}
