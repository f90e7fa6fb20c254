//! The tests that the crates of kube-rs carry, unmodified, with our binary as the cluster that they ask.
//!
//! Their pods' image stands for one that waits, as theirs does. `kube_rs.tsv` has those that fail; `cargo xtask tools` builds
//! them. SAMPAN_TIER=nightly.

use sampan_tests::{Sampan, is_nightly, now, tool};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// The crates, each with a test program.
const CRATES: [&str; 3] = ["kube", "kube-client", "kube-runtime"];
const CONFIG: &str = "imageAliases: {\"busybox:stable\": \"sampan/worker:v1\"}\n";

/// Runs the tests of a crate that ask a cluster, and no others: those that passed, those that did not, and what they said.
fn run(name: &str, kubeconfig: &Path) -> (BTreeSet<String>, BTreeSet<String>, String) {
    let mut command = Command::new(tool("kube-rs/bin").join(name));
    command.args(["--ignored", "--skip", "client::auth"]).env("KUBECONFIG", kubeconfig);
    let output = command.output().expect("the test program starts");
    let log = String::from_utf8_lossy(&output.stdout).into_owned();
    let with = |verdict: &str| {
        let lines = log.lines().filter_map(|line| line.strip_prefix("test ")?.strip_suffix(verdict));
        lines.map(|line| line.trim_end_matches(" ... ").to_owned()).collect::<BTreeSet<String>>()
    };
    (with("ok"), with("FAILED"), log.clone())
}

#[test]
fn tests_of_kube_rs() {
    if !is_nightly() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("config.yaml");
    std::fs::write(&config, CONFIG).expect("a file");
    let sampan = Sampan::up(folder.path(), &["--config", &config.to_string_lossy()]);
    let lines = include_str!("kube_rs.tsv").lines().filter(|line| !line.starts_with('#'));
    let known: Vec<Vec<&str>> = lines.map(|line| line.split('\t').collect()).collect();
    let mut wrong = Vec::new();
    for name in CRATES {
        let began = now();
        let (passed, failed, log) = run(name, &sampan.kubeconfig);
        let took = now().duration_since(began).as_secs_f64();
        println!("{name}: {} passed, {} failed in {took:.1} s", passed.len(), failed.len());
        assert!(!passed.is_empty(), "{name}: {log}");
        let own = known.iter().filter(|line| line[0] == name).map(|line| line[1].to_owned());
        let own: BTreeSet<String> = own.collect();
        wrong.extend(failed.difference(&own).map(|test| format!("{name} {test} failed\n{log}")));
        wrong.extend(own.difference(&failed).map(|test| format!("{name} {test} is known to fail and passed")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
