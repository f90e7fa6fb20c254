//! The rules of the house that the compiler does not know: who may depend on whom, how long files are, what names and
//! words do not occur. Who may use what from outside, and under which license, is `cargo deny`'s (deny.toml).

use crate::ratchet::{self, Counting};
use crate::source::without_tests;
use anyhow::{Context, bail};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// The rooms that each room may use, beside itself (tests aside): the table of the design. `sampan-testing` is for
/// tests alone and may use any.
const ROOMS: &[(&str, &[&str])] = &[
    ("sampan-env", &[]),
    ("sampan-api", &[]),
    ("sampan-schema", &["api"]),
    ("sampan-cel", &["api", "schema"]),
    ("sampan-store", &["env"]),
    ("sampan-watch", &["api", "env", "schema", "store"]),
    ("sampan-registry", &["api", "env", "schema", "cel", "store", "watch"]),
    ("sampan-auth", &["api", "env", "schema", "cel", "client"]),
    ("sampan-quota", &["api"]),
    ("sampan-admission", &["api", "env", "schema", "cel", "client", "auth", "quota"]),
    ("sampan-images", &["api", "env", "client"]),
    ("sampan-apiserver", &["api", "env", "schema", "registry", "watch", "admission", "auth", "images"]),
    ("sampan-client", &["api", "env"]),
    ("sampan-scheduler-core", &["api"]),
    ("sampan-reconcile", &["api", "env", "client"]),
    ("sampan-policy-host", &["api", "env", "client", "reconcile", "wasm-runtime"]),
    (
        "sampan-policy",
        &["api", "env", "schema", "client", "reconcile", "policy-host", "wasm-runtime", "scheduler-core"],
    ),
    ("sampan-scheduler-driver", &["scheduler-core", "api", "env", "client"]),
    ("sampan-controllers", &["api", "env", "schema", "cel", "client", "reconcile", "quota"]),
    ("sampan-node", &["api", "env", "schema", "client", "wasm-runtime"]),
    ("sampan-wasm-runtime", &["env"]),
    ("sampan-cli", &["api", "env", "client", "scheduler-core", "policy"]),
    ("sampan-embed", &["wasm-runtime"]),
];

/// Crates of tests, which may use any room.
const TESTS: &[&str] = &["sampan-testing", "sampan-tests"];
/// Folders whose crates are compiled to guests, or made of them.
const GUESTS: &[&str] = &["plugins", "examples"];

/// Outside crates that only these rooms may use, as in deny.toml.
const OUTSIDE: &[(&str, &[&str])] = &[("axum", &["sampan-apiserver", "sampan-images", "sampan-node"])];

/// Lines of a hand-written source file, tests aside: never more than the second, and over the first only with a reason.
const FILE_LINES: usize = 500;
const FILE_LINES_MAX: usize = 1000;
/// Files over [`FILE_LINES`], each with the reason why it stays whole.
const LONG_FILES: &str = include_str!("../long-files.txt");

/// Rooms in which no kind is named, since kinds are rows of a table: all but [`KINDS`] and the files that
/// [`KIND_NAMES`] gives a reason for.
const KINDLESS: &[&str] = &["api", "schema", "store", "watch", "registry", "apiserver", "images"];
const KINDS: &str = "control/registry/src/kinds/";
/// Files that name a kind all the same, each with the reason.
const KIND_NAMES: &str = include_str!("../kind-names.txt");

/// Names that hide what is inside.
const VAGUE: &[&str] = &["utils", "util", "common", "helpers", "helper", "misc", "manager"];

/// Tells all that is wrong.
pub fn run(root: &Path, counts: Counting) -> anyhow::Result<()> {
    let metadata = MetadataCommand::new().manifest_path(root.join("Cargo.toml")).exec().context("cargo metadata")?;
    let mut problems = Vec::new();
    rooms(&metadata, &mut problems);
    files(root, &mut problems)?;
    kinds(root, &mut problems)?;
    engine(root, &mut problems)?;
    ratchet::check(root, &listed(root)?, counts, &mut problems)?;
    if problems.is_empty() {
        println!("tidy: {} packages, nothing to say", metadata.packages.len());
        return Ok(());
    }
    for problem in &problems {
        println!("tidy: {problem}");
    }
    bail!("tidy found {} problems", problems.len())
}

fn rooms(metadata: &Metadata, problems: &mut Vec<String>) {
    let allowed: BTreeMap<&str, BTreeSet<String>> =
        ROOMS.iter().map(|(room, uses)| (*room, uses.iter().map(|one| format!("sampan-{one}")).collect())).collect();
    for package in metadata.workspace_packages() {
        let name = package.name.as_str();
        let guest = package.manifest_path.components().any(|part| GUESTS.contains(&part.as_str()));
        if name.starts_with("sampan-") && !allowed.contains_key(name) && !guest && !TESTS.contains(&name) {
            problems.push(format!("{name} has no line in the table of rooms (xtask/src/tidy.rs)"));
        }
        for dependency in package.dependencies.iter().filter(|one| one.kind != DependencyKind::Development) {
            let uses = dependency.name.as_str();
            let ours = uses.starts_with("sampan-");
            if let Some(allowed) = allowed.get(name).filter(|allowed| ours && !allowed.contains(uses)) {
                problems.push(format!("{name} depends on {uses}; it may use {allowed:?}"));
            }
            if uses == "sampan-testing" && name != "sampan-tests" {
                problems.push(format!("{name} depends on sampan-testing; only tests may"));
            }
            if let Some((_, rooms)) = OUTSIDE.iter().find(|(one, rooms)| *one == uses && !rooms.contains(&name)) {
                problems.push(format!("{name} depends on {uses}; only {rooms:?} may"));
            }
            if uses == "sampan-embed" && name != "sampan" {
                problems.push(format!("{name} depends on sampan-embed; only the binary may"));
            }
        }
    }
}

/// The engine is compiled once for the binary and for the build script that runs it. That holds only while all that is below
/// it has the same features on both sides, for which `plugins/embed/Cargo.toml` lists what would differ.
fn engine(root: &Path, problems: &mut Vec<String>) -> anyhow::Result<()> {
    const ENGINE: &str = "sampan-wasm-runtime";
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--unit-graph", "-Zunstable-options"]);
    // The graph is not stable yet. Nothing is built for it.
    let graph = cargo.env("RUSTC_BOOTSTRAP", "1").current_dir(root).output().context("cargo build --unit-graph")?;
    if !graph.status.success() {
        bail!("cargo build --unit-graph: {}", String::from_utf8_lossy(&graph.stderr));
    }
    let graph: Value = serde_json::from_slice(&graph.stdout).context("the graph of units")?;
    let mut units = 0;
    let mut features: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for unit in graph["units"].as_array().context("no units")? {
        if unit["mode"] != "build" || unit["target"]["kind"] != json!(["lib"]) {
            continue;
        }
        units += usize::from(unit["target"]["name"] == ENGINE.replace('-', "_"));
        let package = unit["pkg_id"].as_str().context("a unit of no package")?;
        features.entry(package).or_default().insert(unit["features"].to_string());
    }
    if units == 1 {
        return Ok(());
    }
    let differ: Vec<String> = features
        .into_iter()
        .filter(|(_, features)| features.len() > 1)
        .map(|(package, features)| format!("{package}: {features:?}"))
        .collect();
    problems.push(format!(
        "{ENGINE} is compiled {units} times; what differs belongs into plugins/embed/Cargo.toml, twice:\n    {}",
        differ.join("\n    ")
    ));
    Ok(())
}

/// The files that git knows of.
fn listed(root: &Path) -> anyhow::Result<Vec<String>> {
    let listed = Command::new("git").args(["ls-files"]).current_dir(root).output().context("git ls-files")?;
    Ok(String::from_utf8_lossy(&listed.stdout).lines().map(str::to_owned).collect())
}

/// Lines of `file: reason`.
fn reasons(list: &str) -> BTreeMap<&str, &str> {
    list.lines().filter_map(|line| line.split_once(": ")).map(|(file, why)| (file.trim(), why)).collect()
}

/// Kinds are data: outside their own files nothing on a request's way knows one by name.
fn kinds(root: &Path, problems: &mut Vec<String>) -> anyhow::Result<()> {
    let files = listed(root)?;
    let read = |file: &str| std::fs::read_to_string(root.join(file)).with_context(|| file.to_owned());
    let mut names = BTreeSet::new();
    for file in files.iter().filter(|file| file.starts_with(KINDS) && root.join(file).exists()) {
        for row in read(file)?.split("Resource::new(").skip(1) {
            // Group, version, resource, kind.
            let arguments = row.split(')').next().unwrap_or_default().split(',').map(str::trim).skip(2).take(2);
            names.extend(arguments.filter(|one| one.starts_with('"')).map(str::to_owned));
        }
    }
    if names.len() < 100 {
        bail!("only {} names of kinds were found under {KINDS}", names.len());
    }
    let reasons = reasons(KIND_NAMES);
    let mut named = BTreeSet::new();
    for file in &files {
        let kindless = KINDLESS.iter().any(|room| file.starts_with(&format!("control/{room}/src/")));
        let test = file.ends_with("tests.rs") || file.ends_with("testing.rs");
        if !kindless || test || file.starts_with(KINDS) || !file.ends_with(".rs") || !root.join(file).exists() {
            continue;
        }
        let text = read(file)?;
        for (i, line) in without_tests(&text).lines().enumerate() {
            let Some(name) = names.iter().find(|name| line.contains(name.as_str())) else { continue };
            if line.trim_start().starts_with("//") {
                continue;
            }
            named.insert(file.as_str());
            if !reasons.contains_key(file.as_str()) {
                problems.push(format!("{file}:{}: it knows {name}; kinds are data (xtask/kind-names.txt)", i + 1));
            }
        }
    }
    for file in reasons.keys().filter(|file| !named.contains(*file)) {
        problems.push(format!("xtask/kind-names.txt: {file} names no kind any more"));
    }
    Ok(())
}

fn files(root: &Path, problems: &mut Vec<String>) -> anyhow::Result<()> {
    let reasons = reasons(LONG_FILES);
    for file in &listed(root)? {
        let path = Path::new(file.as_str());
        let extension = path.extension().and_then(|one| one.to_str()).unwrap_or_default();
        if !matches!(extension, "rs" | "go" | "py" | "ts") || !root.join(file).exists() {
            continue;
        }
        for part in path.components().filter_map(|part| part.as_os_str().to_str()) {
            let stem = part.split('.').next().unwrap_or_default();
            if VAGUE.contains(&stem) {
                problems.push(format!("{file}: the name {stem:?} hides what is inside"));
            }
        }
        let text = std::fs::read_to_string(root.join(file)).with_context(|| file.to_owned())?;
        let is_test = path.components().any(|part| part.as_os_str() == "tests") || file.ends_with("tests.rs");
        let own = without_tests(&text).lines().count();
        if !is_test && own > FILE_LINES_MAX {
            problems.push(format!("{file}: {own} lines; never more than {FILE_LINES_MAX}"));
        } else if !is_test && own > FILE_LINES && !reasons.contains_key(file.as_str()) {
            problems.push(format!("{file}: {own} lines; over {FILE_LINES} needs a reason in xtask/long-files.txt"));
        }
        words(file, &text, problems);
    }
    Ok(())
}

fn words(file: &str, text: &str, problems: &mut Vec<String>) {
    if file.starts_with("xtask/src/tidy") {
        return;
    }
    for (i, line) in text.lines().enumerate() {
        for word in ["todo!(", "unimplemented!(", "#[ignore", "dbg!("] {
            if line.contains(word) {
                problems.push(format!("{file}:{}: {word}", i + 1));
            }
        }
    }
    // Tasks and threads are env's to start, but in tests and in guests.
    let product = ["control/", "node/", "wasm-runtime/", "cli/", "sampan/"].iter().any(|room| file.starts_with(room));
    let test = ["/tests/", "/suite/", "/load/"].iter().any(|part| file.contains(part)) || file.ends_with("tests.rs");
    if !product || test {
        return;
    }
    for (i, line) in without_tests(text).lines().enumerate() {
        for word in ["tokio::spawn(", "spawn_blocking(", "thread::spawn(", "thread::Builder", "spawn_local("] {
            if line.contains(word) && !line.trim_start().starts_with("//") {
                problems.push(format!("{file}:{}: {word}: tasks and threads are started by sampan-env", i + 1));
            }
        }
    }
}
