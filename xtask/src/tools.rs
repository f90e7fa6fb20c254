//! The outside programs of the tests: built from published modules, or installed by the system's package manager.

use crate::command::{is_there, run, run_with};
use anyhow::bail;
use std::path::{Path, PathBuf};

/// Where `cargo deny` is, under the tools' folder.
pub const DENY: &str = "deny/bin/cargo-deny";
const DENY_VERSION: &str = "0.20.2";

/// Everything the tests start. What exists already is not made again.
pub fn prepare(root: &Path) -> anyhow::Result<PathBuf> {
    let tools = root.join("target/tools");
    std::fs::create_dir_all(&tools)?;
    wasm_target(root)?;
    strace(root)?;
    deny(root, &tools)?;
    if !is_there("go", "version") {
        bail!("the tests build kubectl and client-go programs: install Go 1.24 or newer");
    }
    for (name, folder) in [("kubectl-1.35", "kubectl-1.35"), ("kubectl-1.31", "kubectl-1.31"), ("informer", "informer")]
    {
        let output = tools.join(name);
        if !output.exists() {
            let source = root.join("tests/clients").join(folder);
            run(&source, "go", &["build", "-trimpath", "-o", &output.to_string_lossy(), "."])?;
        }
    }
    python(root, &tools)?;
    Ok(tools)
}

/// `rust-toolchain.toml` names the target; where rustup does not install by itself, it is asked to.
fn wasm_target(root: &Path) -> anyhow::Result<()> {
    if is_there("rustup", "--version") {
        run(root, "rustup", &["target", "add", "wasm32-wasip2"])?;
        run(root, "rustup", &["component", "add", "clippy", "rustfmt"])?;
    }
    Ok(())
}

/// Built without optimisation: it runs for two seconds, and an optimised build takes a minute longer than that.
fn deny(root: &Path, tools: &Path) -> anyhow::Result<()> {
    if tools.join(DENY).exists() {
        return Ok(());
    }
    let (folder, build) = (tools.join("deny"), tools.join("deny-build"));
    let (into, target) = (folder.to_string_lossy(), build.to_string_lossy());
    let words = ["install", "cargo-deny", "--version", DENY_VERSION, "--locked", "--debug", "--no-track", "--quiet"];
    run(root, "cargo", &[&words[..], &["--root", &into, "--target-dir", &target]].concat())?;
    std::fs::remove_dir_all(&build)?;
    Ok(())
}

fn strace(root: &Path) -> anyhow::Result<()> {
    if is_there("strace", "--version") {
        return Ok(());
    }
    if !is_there("apt-get", "--version") {
        bail!("the store's tests count system calls: install strace");
    }
    let quiet = [("DEBIAN_FRONTEND", "noninteractive")];
    run_with(root, "apt-get", &["update", "-q"], &quiet)?;
    run_with(root, "apt-get", &["install", "-y", "-q", "strace"], &quiet)
}

/// The Python client, in an environment of its own.
fn python(root: &Path, tools: &Path) -> anyhow::Result<()> {
    let venv = tools.join("python");
    if venv.join("ready").exists() {
        return Ok(());
    }
    if !is_there("python3", "--version") {
        bail!("the tests run the Python client: install Python 3.9 or newer with venv");
    }
    run(root, "python3", &["-m", "venv", "--clear", &venv.to_string_lossy()])?;
    let pip = venv.join("bin/pip").to_string_lossy().into_owned();
    let requirements = root.join("tests/clients/python/requirements.txt").to_string_lossy().into_owned();
    run(root, &pip, &["install", "--quiet", "--disable-pip-version-check", "-r", &requirements])?;
    std::fs::write(venv.join("ready"), b"")?;
    Ok(())
}
