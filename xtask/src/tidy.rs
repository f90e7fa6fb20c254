//! The rules of the house that the compiler does not know: who may depend on whom, how long files are, what names and
//! words do not occur, which licenses and sources dependencies have.

use anyhow::{Context, bail};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// What each room may use of the others, beside itself (tests aside). The table of ARCHITECTURE.md.
const ROOMS: &[(&str, &[&str])] = &[
    ("sampan-env", &[]),
    ("sampan-api", &[]),
    ("sampan-schema", &["api"]),
    ("sampan-store", &["env"]),
    ("sampan-watch", &["api", "env", "schema", "store"]),
    ("sampan-registry", &["api", "env", "schema", "store", "watch"]),
    ("sampan-auth", &["api", "env", "schema", "client"]),
    ("sampan-admission", &["api", "env", "schema", "client", "auth"]),
    ("sampan-images", &["api", "env", "client"]),
    ("sampan-apiserver", &["api", "env", "schema", "registry", "watch", "admission", "auth", "images"]),
    ("sampan-client", &["api", "env"]),
    ("sampan-scheduler-core", &["api"]),
    ("sampan-policy", &["api", "env", "schema", "client", "wasm-runtime", "scheduler-core"]),
    ("sampan-scheduler-driver", &["scheduler-core", "api", "env", "client"]),
    ("sampan-controllers", &["api", "env", "client"]),
    ("sampan-node", &["api", "env", "schema", "client", "wasm-runtime"]),
    ("sampan-wasm-runtime", &["env"]),
    ("sampan-cli", &["api", "env", "client", "scheduler-core", "policy"]),
    ("sampan-embed", &["wasm-runtime"]),
];

/// Crates that one member alone may depend on.
const WRAPPED: &[(&str, &str)] = &[
    ("sqlx", "sampan-store"),
    ("wasmtime", "sampan-wasm-runtime"),
    ("wasmtime-wasi", "sampan-wasm-runtime"),
    ("wasmtime-wasi-http", "sampan-wasm-runtime"),
    ("wasmtime-wasi-io", "sampan-wasm-runtime"),
];

/// Crates that must not be in the tree: there is one crypto provider, and one YAML reader.
const BANNED: &[&str] = &["ring", "openssl", "native-tls", "serde_yaml", "serde_yml"];

const LICENSES: &[&str] = &[
    "Apache-2.0",
    "MIT",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "MPL-2.0",
    "CC0-1.0",
    "0BSD",
    "Unlicense",
    "BSL-1.0",
    "CDLA-Permissive-2.0",
    "MIT-0",
    "OpenSSL",
    "MPL-2.0+",
];

/// Lines of a hand-written source file, tests aside: never more than the second, and over the first only with a reason.
const FILE_LINES: usize = 500;
const FILE_LINES_MAX: usize = 1000;
/// Files over [`FILE_LINES`], each with the reason why it stays whole.
const LONG_FILES: &str = include_str!("../long-files.txt");

/// Names that hide what is inside.
const VAGUE: &[&str] = &["utils", "util", "common", "helpers", "helper", "misc", "manager"];

pub fn run(root: &Path) -> anyhow::Result<()> {
    let metadata = MetadataCommand::new().manifest_path(root.join("Cargo.toml")).exec().context("cargo metadata")?;
    let mut problems = Vec::new();
    rooms(&metadata, &mut problems);
    dependencies(root, &metadata, &mut problems)?;
    files(root, &mut problems)?;
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
        for dependency in package.dependencies.iter().filter(|one| one.kind != DependencyKind::Development) {
            let uses = dependency.name.as_str();
            let ours = uses.starts_with("sampan-");
            if let Some(allowed) = allowed.get(name).filter(|allowed| ours && !allowed.contains(uses)) {
                problems.push(format!("{name} depends on {uses}; it may use {allowed:?}"));
            }
            if uses == "sampan-embed" && name != "sampan" {
                problems.push(format!("{name} depends on sampan-embed; only the binary may"));
            }
            for (wrapped, owner) in WRAPPED {
                if uses == *wrapped && name != *owner {
                    problems.push(format!("{name} depends on {wrapped}; only {owner} may"));
                }
            }
        }
    }
}

fn dependencies(root: &Path, metadata: &Metadata, problems: &mut Vec<String>) -> anyhow::Result<()> {
    let built = built(root)?;
    let members: BTreeSet<&str> = metadata.workspace_packages().iter().map(|one| one.name.as_str()).collect();
    for package in metadata.packages.iter().filter(|one| !members.contains(one.name.as_str())) {
        let name = &package.name;
        if package.source.as_ref().is_none_or(|source| !source.is_crates_io()) {
            problems.push(format!("{name}: it does not come from crates.io"));
        }
        if BANNED.contains(&name.as_str()) && built.contains(name.as_str()) {
            problems.push(format!("{name}: it must not be in the tree"));
        }
        let license = package.license.as_deref().unwrap_or_default();
        if !license_is_fine(license) {
            problems.push(format!("{name}: its license is {license:?}"));
        }
    }
    Ok(())
}

/// What is really built. `cargo metadata` also resolves optional dependencies that only a weak feature names; `cargo tree`
/// does not.
fn built(root: &Path) -> anyhow::Result<BTreeSet<String>> {
    let words =
        ["tree", "--workspace", "--prefix", "none", "--format", "{p}", "--edges", "normal,build", "--target", "all"];
    let output = Command::new("cargo").args(words).current_dir(root).output().context("cargo tree")?;
    if !output.status.success() {
        bail!("cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect())
}

/// Any alternative of an `OR`, all parts of an `AND`.
fn license_is_fine(license: &str) -> bool {
    let plain = license.replace(['(', ')'], " ").replace(" WITH LLVM-exception", "").replace('/', " OR ");
    let known = |part: &str| LICENSES.contains(&part.trim());
    plain.split(" AND ").all(|part| part.split(" OR ").any(known))
}

fn files(root: &Path, problems: &mut Vec<String>) -> anyhow::Result<()> {
    let listed = Command::new("git").args(["ls-files"]).current_dir(root).output().context("git ls-files")?;
    let reasons: BTreeMap<&str, &str> =
        LONG_FILES.lines().filter_map(|line| line.split_once(": ")).map(|(file, why)| (file.trim(), why)).collect();
    for file in String::from_utf8_lossy(&listed.stdout).lines() {
        let path = Path::new(file);
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
        let own = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default().lines().count();
        if !is_test && own > FILE_LINES_MAX {
            problems.push(format!("{file}: {own} lines; never more than {FILE_LINES_MAX}"));
        } else if !is_test && own > FILE_LINES && !reasons.contains_key(file) {
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
}
