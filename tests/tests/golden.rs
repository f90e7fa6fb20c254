//! Exchanges recorded from a real API server, replayed against ours where the recordings are at hand. Each area is reported;
//! none may fall below what it has reached.

use sampan_tests::{Sampan, ratchet, reference};
use std::process::Command;

#[test]
fn recorded_exchanges() {
    let Some(reference) = reference() else {
        println!("golden exchanges: 0 of N compared");
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let tokens = folder.path().join("tokens.csv");
    std::fs::write(&tokens, "golden-token,golden-admin,1,\"system:masters\"\n").expect("written");
    std::fs::write(folder.path().join("token"), "golden-token").expect("written");
    let config = folder.path().join("config.yaml");
    let text = format!(
        "serviceCIDR: 10.96.0.0/16\nauthentication: {{staticTokenFile: \"{}\", anonymous: true}}\n",
        tokens.display()
    );
    std::fs::write(&config, text).expect("written");
    let sampan = Sampan::up(folder.path(), &["--components", "apiserver", "--config", &config.to_string_lossy()]);
    let output = Command::new("python3")
        .arg(reference.join("../tools/replay.py"))
        .args(["--server", &sampan.server, "--insecure", "--ignore-managed-fields", "--patience", "5", "--token"])
        .arg(format!("@{}", folder.path().join("token").display()))
        .output()
        .expect("python3 starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut compared = 0;
    for (area, floor) in ratchet("golden_percent_min") {
        let line = text
            .lines()
            .find(|line| line.starts_with(&area))
            .unwrap_or_else(|| panic!("no figure for {area}:\n{text}\n{}", String::from_utf8_lossy(&output.stderr)));
        println!("{line}");
        let cases = line.split_whitespace().nth(1).unwrap_or_default();
        let (right, all) = cases.split_once('/').expect("right/all");
        let (right, all): (u32, u32) = (right.parse().expect("a number"), all.parse().expect("a number"));
        compared += all;
        let percent = f64::from(right) * 100.0 / f64::from(all);
        assert!(percent >= floor, "{area}: {percent:.1} % agree, {floor} % did before");
    }
    println!("golden exchanges: {compared} of {compared} compared");
}
