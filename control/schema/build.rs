//! Joins the sources of `k8s-pb` (field tags, list and patch markers), `k8s-openapi` (JSON names, required fields,
//! descriptions) and `data/go-forms.txt` (pointers, omitempty, Go's scalar type names) into one table:
//! `$OUT_DIR/schema.bin` (32-bit words) and `$OUT_DIR/schema.txt` (all strings, each once).

#[path = "build/emit.rs"]
mod emit;
#[path = "build/forms.rs"]
mod forms;
#[path = "build/join.rs"]
mod join;
#[path = "build/openapi.rs"]
mod openapi;
#[path = "build/protobuf.rs"]
mod protobuf;

use std::path::{Path, PathBuf};

fn main() {
    for input in [
        "build.rs",
        "build",
        "data/go-forms.txt",
        "data/columns",
        "data/defaults",
        "data/facts",
        "data/kinds",
        "../../Cargo.lock",
    ] {
        println!("cargo::rerun-if-changed={input}");
    }
    let here = PathBuf::from(env("CARGO_MANIFEST_DIR"));
    let metadata = metadata(&here.join("Cargo.toml"));
    let messages = protobuf::read(&sources(&metadata, "k8s-pb"));
    let structs = openapi::read(&sources(&metadata, "k8s-openapi").join("v1_35"));
    let forms = forms::read(&here.join("data/go-forms.txt"));
    let table = join::join(messages, &structs, &forms);
    let out = PathBuf::from(env("OUT_DIR"));
    emit::write(&table, &out);
    embed(&here.join("data/defaults"), &out.join("defaults.rs"));
    embed(&here.join("data/facts"), &out.join("facts.rs"));
    embed(&here.join("data/kinds"), &out.join("kinds.rs"));
    embed(&here.join("data/columns"), &out.join("columns.rs"));
}

/// Writes a Rust list of (file name, text) of every data file below a folder.
fn embed(folder: &Path, out: &Path) {
    let mut files = Vec::new();
    let mut pending = vec![folder.to_path_buf()];
    while let Some(folder) = pending.pop() {
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.unwrap_or_else(|e| panic!("{}: {e}", folder.display())).path();
            if path.is_dir() { pending.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    let lines = files.iter().map(|file| {
        let name = file.strip_prefix(folder).unwrap_or(file).display().to_string();
        format!("    ({name:?}, include_str!({:?})),\n", file.display().to_string())
    });
    let text = format!("&[\n{}]\n", lines.collect::<String>());
    std::fs::write(out, text).unwrap_or_else(|e| panic!("{}: {e}", out.display()));
}

fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}

/// Cargo's view of the dependency graph: what is on disk first, so that a build without network works.
fn metadata(manifest: &Path) -> cargo_metadata::Metadata {
    let attempt = |options: &[&str]| {
        cargo_metadata::MetadataCommand::new()
            .manifest_path(manifest)
            .other_options(options.iter().map(ToString::to_string).collect::<Vec<_>>())
            .exec()
    };
    attempt(&["--offline", "--locked"])
        .or_else(|_| attempt(&[]))
        .unwrap_or_else(|error| panic!("cargo metadata, which names the sources of k8s-pb and k8s-openapi: {error}"))
}

fn sources(metadata: &cargo_metadata::Metadata, package: &str) -> PathBuf {
    let found = metadata.packages.iter().find(|p| p.name.as_str() == package);
    let found = found.unwrap_or_else(|| panic!("{package} is a dependency of this crate"));
    let folder = found.manifest_path.parent().expect("a manifest lies in a folder");
    folder.join("src").into_std_path_buf()
}
