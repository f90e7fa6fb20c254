//! Tests that run, each in a process of its own and in bounded time.

use super::suite::Suite;
use super::{Test, Verdict};
use crate::command;
use anyhow::Context;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The longest that a slow test takes: one waits until a list's token is over, up to ten minutes.
const SLOW_MAX: Duration = Duration::from_secs(12 * 60);
const POLL: Duration = Duration::from_millis(100);
/// Time that an interrupted test has for cleaning up.
const GRACE: Duration = Duration::from_secs(20);

/// A test that runs.
struct Running {
    test: Test,
    child: Child,
    report: PathBuf,
    limit: Duration,
    /// How long it has run, in polls.
    polls: u32,
    interrupted: bool,
}

impl Running {
    /// Its verdict, when it has ended; otherwise a late one is interrupted, and ended when that does not help.
    fn poll(&mut self, folder: &Path) -> anyhow::Result<Option<(Verdict, String)>> {
        self.polls += 1;
        if self.child.try_wait()?.is_some() {
            return Ok(Some(verdict(self)));
        }
        if POLL * self.polls > self.limit && !self.interrupted {
            self.interrupted = true;
            command::run(folder, "kill", &["-INT", &self.child.id().to_string()])?;
        }
        if POLL * self.polls > self.limit + GRACE {
            self.child.kill()?;
        }
        Ok(None)
    }
}

/// Runs each test, the slow ones from the beginning.
pub(super) fn each(
    suite: &Suite,
    kubeconfig: &Path,
    tests: Vec<Test>,
    at_once: usize,
    limit: Duration,
) -> anyhow::Result<Vec<(Test, Verdict)>> {
    let (slow, mut others): (Vec<_>, Vec<_>) = tests.into_iter().partition(Test::is_slow);
    others.reverse();
    let mut running: Vec<Running> = Vec::new();
    for test in slow {
        running.push(start(suite, kubeconfig, test, SLOW_MAX.max(limit))?);
    }
    let mut verdicts = Vec::new();
    while !running.is_empty() || !others.is_empty() {
        while running.iter().filter(|one| !one.test.is_slow()).count() < at_once
            && let Some(test) = others.pop()
        {
            running.push(start(suite, kubeconfig, test, limit)?);
        }
        std::thread::sleep(POLL);
        let mut still = Vec::new();
        for mut one in running {
            match one.poll(&suite.folder)? {
                Some((verdict, why)) => {
                    println!("{verdict}\t{}\t{why}", one.test.name);
                    verdicts.push((one.test, verdict));
                }
                None => still.push(one),
            }
        }
        running = still;
    }
    Ok(verdicts)
}

fn start(suite: &Suite, kubeconfig: &Path, test: Test, limit: Duration) -> anyhow::Result<Running> {
    // By their names, so that what a run says of a test is found.
    let file = file_name(&test.name);
    let report = suite.folder.join(format!("reports/{file}.json"));
    std::fs::create_dir_all(suite.folder.join("reports"))?;
    if report.exists() {
        std::fs::remove_file(&report)?;
    }
    let log = std::fs::File::create(suite.folder.join(format!("reports/{file}.log")))?;
    let mut command = Command::new(&suite.e2e);
    command.current_dir(&suite.folder).stdout(log.try_clone()?).stderr(log).stdin(Stdio::null());
    command.arg("--kubeconfig").arg(kubeconfig).arg("--kubectl-path").arg(&suite.kubectl).args([
        "--provider=skeleton",
        "--allowed-not-ready-nodes=-1",
        "--e2e-verify-service-account=false",
        "--minStartupPods=0",
        "--node-schedulable-timeout=30s",
        "--dump-logs-on-failure=false",
        "--disable-log-dump",
        "--ginkgo.no-color",
        "--ginkgo.grace-period=5s",
    ]);
    command.arg(format!("--ginkgo.json-report={}", report.display()));
    command.arg(format!("--ginkgo.focus= {}$", escaped(&test.name)));
    let child = command.spawn().context("the suite cannot be started")?;
    Ok(Running { test, child, report, limit, polls: 0, interrupted: false })
}

/// The name's letters and digits, with dashes between, as far as a file may be named so.
fn file_name(name: &str) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").chars().take(200).collect()
}

/// The name as a regular expression that matches nothing else.
fn escaped(name: &str) -> String {
    let special = |c: char| "\\.+*?()|[]{}^$".contains(c);
    name.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

/// The outcome in the report, and what it says of a failure.
fn verdict(running: &Running) -> (Verdict, String) {
    let report = std::fs::read(&running.report).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
    let (found, why) = outcome(&report.unwrap_or_default());
    if running.interrupted && found != Verdict::Passed { (Verdict::Late, why) } else { (found, why) }
}

fn outcome(report: &Value) -> (Verdict, String) {
    let specs = report[0]["SpecReports"].as_array().into_iter().flatten();
    let mut found = (Verdict::Absent, String::new());
    for spec in specs {
        let failure = spec["Failure"]["Message"].as_str().unwrap_or_default();
        let line = failure.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().to_owned();
        match (spec["LeafNodeType"].as_str(), spec["State"].as_str()) {
            (Some("It"), Some("passed")) => return (Verdict::Passed, String::new()),
            (Some("It"), Some("skipped")) if failure.is_empty() => {}
            (Some("It"), Some("skipped")) => return (Verdict::Skipped, line),
            (_, Some("passed" | "skipped")) => {}
            _ => found = (Verdict::Failed, line),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_themselves_alone() {
        assert_eq!(escaped("[sig-x] a (b) [C]"), r"\[sig-x\] a \(b\) \[C\]");
    }

    #[test]
    fn a_report_tells_of_the_one_test_that_ran() {
        let spec = |kind: &str, state: &str, failure: &str| serde_json::json!({"LeafNodeType": kind, "State": state, "Failure": {"Message": failure}});
        let check = |specs: Vec<Value>, verdict: Verdict, why: &str| {
            assert_eq!(outcome(&serde_json::json!([{"SpecReports": specs}])), (verdict, why.to_owned()));
        };
        let left_out = spec("It", "skipped", "");
        check(vec![left_out.clone(), spec("It", "passed", "")], Verdict::Passed, "");
        check(vec![left_out.clone(), spec("It", "failed", "\nno\nmore")], Verdict::Failed, "no");
        check(vec![spec("It", "skipped", "not here"), left_out.clone()], Verdict::Skipped, "not here");
        check(vec![spec("BeforeSuite", "failed", "down"), left_out.clone()], Verdict::Failed, "down");
        check(vec![left_out], Verdict::Absent, "");
        assert_eq!(outcome(&Value::Null).0, Verdict::Absent);
    }
}
