//! The commit that is built and the time of its sources, for `sampan version` and `/version`. Whoever packages sources without
//! their history says them in `SAMPAN_COMMIT` and `SOURCE_DATE_EPOCH`.

use std::path::Path;
use std::process::Command;

fn main() {
    for name in ["SAMPAN_COMMIT", "SOURCE_DATE_EPOCH"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    // Grows with each commit; a clone without it is told by its head alone.
    for file in ["../.git/logs/HEAD", "../.git/HEAD"] {
        if Path::new(file).exists() {
            println!("cargo::rerun-if-changed={file}");
        }
    }
    if std::env::var_os("SAMPAN_COMMIT").is_none()
        && let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"])
    {
        println!("cargo::rustc-env=SAMPAN_COMMIT={commit}");
    }
    // The commit's own time and not that of the build, which would make each build another one.
    let told = std::env::var("SOURCE_DATE_EPOCH").ok();
    if let Some(seconds) = told.or_else(|| git(&["log", "-1", "--format=%ct"])) {
        println!("cargo::rustc-env=SAMPAN_BUILD_SECONDS={}", seconds.trim());
    }
}

/// What git answers, where there is a history.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok().map(|text| text.trim().to_owned())
}
