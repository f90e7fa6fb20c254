//! Running programs, with what failed said.

use anyhow::{Context, bail};
use std::path::Path;
use std::process::Command;

/// Runs a program in `folder`; its output goes where ours goes.
pub fn run(folder: &Path, program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    run_with(folder, program, arguments, &[])
}

pub fn run_with(folder: &Path, program: &str, arguments: &[&str], env: &[(&str, &str)]) -> anyhow::Result<()> {
    println!("+ {program} {}", arguments.join(" "));
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).envs(env.iter().copied());
    let status = command.status().with_context(|| format!("{program} could not be started"))?;
    if !status.success() {
        bail!("`{program} {}` ended with {status}", arguments.join(" "));
    }
    Ok(())
}

/// Whether a program can be started at all.
pub fn is_there(program: &str, argument: &str) -> bool {
    Command::new(program).arg(argument).output().is_ok_and(|output| output.status.success())
}
