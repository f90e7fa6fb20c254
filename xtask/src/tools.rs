//! The outside programs of the tests: built from published modules, or installed by the system's package manager.

use crate::command::{is_there, run, run_with};
use anyhow::bail;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Path of `cargo deny` under the tools' folder.
pub const DENY: &str = "deny/bin/cargo-deny";
const DENY_VERSION: &str = "0.20.2";
const WASMTIME_VERSION: &str = "48.0.8";
/// Makes components of Python: a requirement of pip.
const COMPONENTIZE_PY: &str = "componentize-py==0.25.1";
/// Makes components of JavaScript on QuickJS: a package of npm.
const COMPONENTIZE_QJS: &str = "componentize-qjs@0.4.5";

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
    for name in ["kubectl-1.35", "kubectl-1.31", "informer", "oracle"] {
        // Always: Go itself knows whether the sources have changed.
        let (source, output) = (root.join("tests/clients").join(name), tools.join(name));
        run(&source, "go", &["build", "-trimpath", "-o", &output.to_string_lossy(), "."])?;
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
    install(root, tools, "deny", &["cargo-deny", "--version", DENY_VERSION, "--debug"])
}

/// Policies in interpreted languages, made components by the tools that their authors use: what the nightly tier asks.
pub fn interpreted(root: &Path, tools: &Path) -> anyhow::Result<()> {
    let made = tools.join("policies");
    let source = root.join("plugins/fixtures/interpreted");
    let contract = root.join("plugins/wit/scheduling.wit").to_string_lossy().into_owned();
    std::fs::create_dir_all(&made)?;
    let (python, npm) = (made.join("python"), made.join("npm"));
    if !python.join("ready").exists() {
        run(root, "python3", &["-m", "venv", "--clear", &python.to_string_lossy()])?;
        let pip = python.join("bin/pip").to_string_lossy().into_owned();
        run(root, &pip, &["install", "--quiet", "--disable-pip-version-check", COMPONENTIZE_PY])?;
        std::fs::write(python.join("ready"), b"")?;
    }
    if !npm.join("node_modules").exists() {
        if !is_there("npm", "--version") {
            bail!("the tests run a policy in JavaScript: install Node.js 20 or newer with npm");
        }
        std::fs::create_dir_all(&npm)?;
        run(&npm, "npm", &["install", "--no-audit", "--no-fund", "--prefix", ".", COMPONENTIZE_QJS])?;
    }
    let world = "filter-score-policy";
    let path = |path: PathBuf| path.to_string_lossy().into_owned();
    let (folder, output) = (path(source.clone()), path(made.join("python.wasm")));
    let from = ["-d", &contract, "-w", world, "componentize", "--stub-wasi", "-p", &folder, "policy", "-o", &output];
    let quiet = [("PYTHONDONTWRITEBYTECODE", "1")];
    run_with(root, &path(python.join("bin/componentize-py")), &from, &quiet)?;
    let (script, output) = (path(source.join("policy.js")), path(made.join("quickjs.wasm")));
    let from = ["--wit", &contract, "--js", &script, "-n", world, "--sync", "--stub-wasi", "-o", &output];
    run(root, &path(npm.join("node_modules/.bin/componentize-qjs")), &from)
}

/// Fetches a Go module: the folder that it was put into.
pub fn module(folder: &Path, module: &str) -> anyhow::Result<PathBuf> {
    println!("+ go mod download -json {module}");
    let output = Command::new("go").args(["mod", "download", "-json", module]).current_dir(folder).output()?;
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    match answer["Dir"].as_str().filter(|_| output.status.success()) {
        Some(found) => Ok(PathBuf::from(found)),
        None => bail!("{module} could not be fetched: {}", answer["Error"]),
    }
}

/// Copies a folder of published sources, to be written beside and in.
pub fn copy_all(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_all(&entry.path(), &target)?;
            continue;
        }
        // Not the mode: the source may not be written, and modules forget what may be run.
        std::fs::write(&target, std::fs::read(entry.path())?)?;
        if target.extension().is_some_and(|end| end == "sh") {
            std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o755))?;
        }
    }
    Ok(())
}

/// The peer that HTTP components are compared with: the release of the engine that Sampan is built with.
pub fn wasmtime(root: &Path, tools: &Path) -> anyhow::Result<String> {
    let features = "run,serve,cranelift,component-model,component-model-async,pooling-allocator,parallel-compilation";
    let version = ["wasmtime-cli", "--version", WASMTIME_VERSION];
    install(root, tools, "wasmtime", &[&version[..], &["--no-default-features", "--features", features]].concat())?;
    Ok(tools.join("wasmtime/bin/wasmtime").to_string_lossy().into_owned())
}

/// `cargo install` into a folder of its own under the tools'. What is there already is not made again.
fn install(root: &Path, tools: &Path, name: &str, what: &[&str]) -> anyhow::Result<()> {
    let (folder, build) = (tools.join(name), tools.join(format!("{name}-build")));
    if folder.join("bin").exists() {
        return Ok(());
    }
    let (into, target) = (folder.to_string_lossy(), build.to_string_lossy());
    let how = ["--locked", "--no-track", "--quiet", "--root", &into, "--target-dir", &target];
    run(root, "cargo", &[&["install"], what, &how].concat())?;
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
