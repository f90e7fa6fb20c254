//! The clients that the nightly tier runs besides those of every tier: each built or installed as published.

use crate::command::{is_there, run};
use crate::tools;
use anyhow::{Context, bail};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Programs out of Go modules that have them: their names, which are those of the folders under `tests/clients`, and the packages.
const PROGRAMS: [(&str, &str); 4] = [
    ("helm-3", "helm.sh/helm/v3/cmd/helm"),
    ("helm-4", "helm.sh/helm/v4/cmd/helm"),
    ("kube-state-metrics", "k8s.io/kube-state-metrics/v2"),
    ("kustomize", "sigs.k8s.io/kustomize/kustomize/v5"),
];

/// Everything that the tests of these clients start. What exists already is not made again.
pub fn prepare(root: &Path, tools: &Path) -> anyhow::Result<()> {
    for (name, package) in PROGRAMS {
        go(root, tools, name, package)?;
    }
    // A program of our own around a published package.
    go(root, tools, "prometheus", ".")?;
    javascript(root, tools)?;
    kube_rs(root, tools)?;
    operators(root, tools)
}

/// Always: Go itself knows whether anything has changed.
fn go(root: &Path, tools: &Path, name: &str, package: &str) -> anyhow::Result<()> {
    let (source, output) = (root.join("tests/clients").join(name), tools.join(name));
    run(&source, "go", &["build", "-trimpath", "-o", &output.to_string_lossy(), package])
}

/// The packages that `tests/clients/javascript/package.json` names.
fn javascript(root: &Path, tools: &Path) -> anyhow::Result<()> {
    let folder = tools.join("javascript");
    if folder.join("node_modules").exists() {
        return Ok(());
    }
    if !is_there("npm", "--version") {
        bail!("the tests run the JavaScript client: install Node.js 20 or newer with npm");
    }
    std::fs::create_dir_all(&folder)?;
    std::fs::copy(root.join("tests/clients/javascript/package.json"), folder.join("package.json"))?;
    run(&folder, "npm", &["install", "--no-audit", "--no-fund", "--no-package-lock"])
}

/// The tests that the crates of kube-rs carry, under `kube-rs` in the tools' folder: the sources as published, and in `bin` a
/// test program for each crate.
fn kube_rs(root: &Path, tools: &Path) -> anyhow::Result<()> {
    let (source, folder) = (root.join("tests/clients/kube-rs"), tools.join("kube-rs"));
    if folder.join("ready").exists() {
        return Ok(());
    }
    let (bin, fetch) = (folder.join("bin"), folder.join("fetch"));
    std::fs::create_dir_all(&bin)?;
    std::fs::create_dir_all(&fetch)?;
    for name in ["Cargo.toml", "Cargo.lock"] {
        std::fs::copy(source.join(name), folder.join(name))?;
    }
    std::fs::copy(source.join("fetch.toml"), fetch.join("Cargo.toml"))?;
    std::fs::write(fetch.join("lib.rs"), b"")?;
    let published = packages(&fetch)?;
    for name in CRATES {
        let found = published.iter().find(|package| package["name"] == name);
        let manifest = found.and_then(|package| package["manifest_path"].as_str()).map(Path::new);
        let from = manifest.and_then(Path::parent).with_context(|| format!("no crate {name} was fetched"))?;
        tools::copy_all(from, &folder.join(name))?;
        own_tests(&folder.join(name), name)?;
    }
    for (name, program) in programs(&folder)? {
        std::fs::copy(program, bin.join(name))?;
    }
    std::fs::remove_dir_all(folder.join("target"))?;
    std::fs::write(folder.join("ready"), b"")?;
    Ok(())
}

/// The crates of kube-rs whose tests ask a cluster.
const CRATES: [&str; 3] = ["kube", "kube-client", "kube-runtime"];
/// Their features that have tests.
const FEATURES: &str = "kube/derive,kube/runtime,kube-client/rustls-tls,kube-client/ws,kube-client/unstable-client";

/// Cargo's description of each package that a project depends on; it fetches them.
fn packages(project: &Path) -> anyhow::Result<Vec<Value>> {
    let words = ["metadata", "--format-version", "1"];
    let output = Command::new("cargo").args(words).current_dir(project).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("`cargo metadata` of {} ended with {}", project.display(), output.status);
    }
    let mut said: Value = serde_json::from_slice(&output.stdout)?;
    match said["packages"].take() {
        Value::Array(packages) => Ok(packages),
        _ => bail!("`cargo metadata` names no packages"),
    }
}

/// Puts back what publishing takes out of a manifest: that the crate's tests use `kube`, which depends on the crate.
fn own_tests(folder: &Path, name: &str) -> anyhow::Result<()> {
    if name == "kube" {
        return Ok(());
    }
    let path = folder.join("Cargo.toml");
    let mut manifest = std::fs::read_to_string(&path)?;
    manifest.push_str("\n[dev-dependencies.kube]\nversion = \"*\"\n");
    std::fs::write(&path, manifest)?;
    Ok(())
}

/// Builds the test program of each crate: its name and where it lies.
fn programs(folder: &Path) -> anyhow::Result<Vec<(&'static str, PathBuf)>> {
    let mut words = vec!["test", "--no-run", "--locked", "--lib", "--message-format", "json-render-diagnostics"];
    words.extend(["--target-dir", "target", "--features", FEATURES]);
    words.extend(CRATES.iter().flat_map(|name| ["--package", name]));
    println!("+ cargo {}", words.join(" "));
    let output = Command::new("cargo").args(words).current_dir(folder).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("the tests of kube-rs could not be built");
    }
    let lines = String::from_utf8_lossy(&output.stdout);
    let messages: Vec<Value> = lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of = |name: &'static str| {
        let target = name.replace('-', "_");
        let mut made = messages.iter().filter(|message| message["target"]["name"] == target.as_str());
        let program = made.find_map(|message| message["executable"].as_str());
        program.map(|program| (name, PathBuf::from(program))).with_context(|| format!("no test program of {name}"))
    };
    CRATES.into_iter().map(of).collect()
}

/// The Go modules of operators whose definitions the tests serve, as `tests/tests/operators.tsv` names them: where each
/// was put, in `operators.json`.
fn operators(root: &Path, tools: &Path) -> anyhow::Result<()> {
    let list = std::fs::read_to_string(root.join("tests/tests/operators.tsv"))?;
    let mut found = serde_json::Map::new();
    for line in list.lines().filter_map(|line| line.strip_prefix("operator\t")) {
        let module = line.split('\t').next().unwrap_or_default();
        let folder = tools::module(tools, module)?;
        found.insert(module.to_owned(), folder.to_string_lossy().into());
    }
    std::fs::write(tools.join("operators.json"), serde_json::to_vec_pretty(&found)?)?;
    Ok(())
}
