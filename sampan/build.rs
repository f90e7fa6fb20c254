//! The commit that is built, for `sampan version`. Whoever packages sources without their history says it in `SAMPAN_COMMIT`.

use std::path::Path;
use std::process::Command;

fn main() {
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
