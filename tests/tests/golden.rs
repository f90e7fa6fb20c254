//! Exchanges recorded from a real API server, replayed against ours. Those that differ are named, each with the reason: a
//! case that comes to differ fails, and so does one that has come to agree and is still named.

use sampan_testing::reference::{self, Comparison};
use sampan_tests::Sampan;
use std::collections::BTreeMap;
use std::process::Command;

/// The cases of the recording.
const CASES: usize = 693;

#[test]
fn recorded_exchanges() {
    let Some(reference) = reference::folder() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let tokens = folder.path().join("tokens.csv");
    std::fs::write(&tokens, "golden-token,golden-admin,1,\"system:masters\"\n").expect("written");
    std::fs::write(folder.path().join("token"), "golden-token").expect("written");
    let config = folder.path().join("config.yaml");
    let text = format!(
        // A kube-apiserver of its own allows no privileged containers.
        "serviceCIDR: 10.96.0.0/16\nallowPrivileged: false\nauthentication: {{staticTokenFile: \"{}\", anonymous: true}}\n",
        tokens.display()
    );
    std::fs::write(&config, text).expect("written");
    let sampan = Sampan::up(folder.path(), &["--components", "apiserver", "--config", &config.to_string_lossy()]);
    let replay = |arguments: &[&str]| {
        let mut command = Command::new("python3");
        command.arg(reference.join("../tools/replay.py")).args(arguments);
        let output = command.output().expect("python3 starts");
        let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(!text.is_empty(), "it said nothing: {errors}");
        text.into_owned()
    };
    let token = format!("@{}", folder.path().join("token").display());
    let server = sampan.server.as_str();
    let text = replay(&["--server", server, "--insecure", "--patience", "5", "--token", &token]);
    let failed: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("FAIL "))
        .map(|line| line.split_once(' ').unwrap_or((line, "")))
        .collect();
    assert!(text.lines().any(|line| line.starts_with("total")), "it did not come to its end:\n{text}");
    println!("{text}");
    let mut comparison = Comparison::of_list("golden exchanges", include_str!("golden-known.tsv"));
    let list = replay(&["--list"]);
    for case in list.lines().filter_map(|line| line.split_once('\t')).map(|(case, _)| case) {
        comparison.case(case, failed.get(case).map(|steps| format!("it differs {steps}")));
    }
    comparison.finish(CASES);
}
