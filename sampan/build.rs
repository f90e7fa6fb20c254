//! The commit that is built, for `sampan version`. Whoever packages sources without their history says it in `SAMPAN_COMMIT`.
//! And how the binary is linked.

use std::path::Path;
use std::process::Command;

fn main() {
    pack_relocations();
    println!("cargo::rerun-if-env-changed=SAMPAN_COMMIT");
    if std::env::var_os("SAMPAN_COMMIT").is_some() {
        return;
    }
    // Grows with each commit; a clone without it is told by its head alone.
    for file in ["../.git/logs/HEAD", "../.git/HEAD"] {
        if Path::new(file).exists() {
            println!("cargo::rerun-if-changed={file}");
        }
    }
    let found = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output();
    let commit =
        found.ok().filter(|output| output.status.success()).and_then(|output| String::from_utf8(output.stdout).ok());
    if let Some(commit) = commit {
        println!("cargo::rustc-env=SAMPAN_COMMIT={}", commit.trim());
    }
}

/// Has the loader's relocations packed: each start reads all of them, 2.5 MiB otherwise, which then count as the process's memory.
fn pack_relocations() {
    let target = |name: &str| std::env::var(name).unwrap_or_default();
    if (target("CARGO_CFG_TARGET_OS"), target("CARGO_CFG_TARGET_ENV")) == ("linux".to_owned(), "gnu".to_owned()) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
