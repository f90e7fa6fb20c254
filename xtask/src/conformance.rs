//! The conformance suite of Kubernetes, built from its published modules and run against a cluster: each test in a process
//! of its own and in bounded time.

use crate::command;
use anyhow::{Context, bail};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const VERSION: &str = "v1.35.0";
/// The version of the modules that Kubernetes' repository holds.
const STAGING: &str = "v0.35.0";
/// Tests that run at one time; those that disturb others run alone.
const AT_ONCE: usize = 2;
const POLL: Duration = Duration::from_millis(100);
/// Time that an interrupted test has for cleaning up.
const GRACE: Duration = Duration::from_secs(20);

/// What is run, and against what.
#[derive(clap::Args)]
pub struct Options {
    /// Groups of tests/conformance/tests.tsv
    #[arg(long, value_delimiter = ',', default_value = "A,Ak")]
    groups: Vec<String>,
    /// Only tests whose names contain this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// A cluster that is up; without it one is started, of the built binary
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Seconds after which a test is interrupted
    #[arg(long, default_value_t = 120)]
    timeout: u64,
}

struct Suite {
    e2e: PathBuf,
    kubectl: PathBuf,
    folder: PathBuf,
}

/// Runs tests and prints a verdict for each. Error: some did not pass.
pub fn run(root: &Path, options: &Options) -> anyhow::Result<()> {
    let suite = build(root)?;
    let tests = listed(root, options)?;
    let cluster = match &options.kubeconfig {
        Some(_) => None,
        None => Some(Cluster::start(root, &suite.folder)?),
    };
    let kubeconfig = options.kubeconfig.clone().or(cluster.as_ref().map(|cluster| cluster.kubeconfig.clone()));
    let kubeconfig = kubeconfig.context("a cluster")?.canonicalize()?;
    let (alone, together): (Vec<_>, Vec<_>) =
        tests.into_iter().partition(|name| name.contains("[Serial]") || name.contains("[Disruptive]"));
    let limit = Duration::from_secs(options.timeout);
    let mut verdicts = BTreeMap::new();
    for (names, at_once) in [(together, AT_ONCE), (alone, 1)] {
        verdicts.extend(each(&suite, &kubeconfig, names, at_once, limit)?);
    }
    let passed = verdicts.values().filter(|verdict| **verdict == "passed").count();
    println!("{passed} of {} passed", verdicts.len());
    if passed < verdicts.len() {
        bail!("{} did not pass", verdicts.len() - passed);
    }
    Ok(())
}

fn listed(root: &Path, options: &Options) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(root.join("tests/conformance/tests.tsv"))?;
    let lines = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('\t'));
    let chosen = lines.filter(|(group, name)| {
        options.groups.iter().any(|one| one == group) && options.only.as_ref().is_none_or(|text| name.contains(text))
    });
    let tests: Vec<String> = chosen.map(|(_, name)| name.to_owned()).collect();
    if tests.is_empty() { bail!("no test is chosen") } else { Ok(tests) }
}

/// Builds the suite and the kubectl of its version under the tools' folder. What is there is not built again.
fn build(root: &Path) -> anyhow::Result<Suite> {
    let folder = root.join("target/tools/conformance");
    std::fs::create_dir_all(&folder)?;
    let suite = Suite { e2e: folder.join("e2e.test"), kubectl: folder.join("kubectl"), folder };
    if suite.e2e.exists() && suite.kubectl.exists() {
        return Ok(suite);
    }
    let module = format!("k8s.io/kubernetes@{VERSION}");
    let output = Command::new("go").args(["mod", "download", "-json", &module]).current_dir(&suite.folder).output()?;
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let source = PathBuf::from(answer["Dir"].as_str().with_context(|| format!("{module}: {}", answer["Error"]))?);
    let upstream = std::fs::read_to_string(source.join("go.mod"))?;
    std::fs::write(suite.folder.join("go.mod"), manifest(&upstream))?;
    std::fs::write(suite.folder.join("go.sum"), std::fs::read(source.join("go.sum"))?)?;
    let imports = "//go:build tools\n\npackage tools\n\nimport (\n\t_ \"k8s.io/kubernetes/cmd/kubectl\"\n\t_ \"k8s.io/kubernetes/test/e2e\"\n)\n";
    std::fs::write(suite.folder.join("tools.go"), imports)?;
    let version = "k8s.io/component-base/version";
    let flags = format!("-s -w -X {version}.gitVersion={VERSION} -X {version}.gitMajor=1 -X {version}.gitMinor=35");
    let build = |what: &[&str], into: &Path, package: &str| {
        let into = into.to_string_lossy();
        command::run(&suite.folder, "go", &[what, &["-mod=mod", "-ldflags", &flags, "-o", &into, package]].concat())
    };
    build(&["build"], &suite.kubectl, "k8s.io/kubernetes/cmd/kubectl")?;
    build(&["test", "-c"], &suite.e2e, "k8s.io/kubernetes/test/e2e")?;
    Ok(suite)
}

/// A module that requires Kubernetes at the versions of its own build, with its staging modules as they were published.
fn manifest(upstream: &str) -> String {
    let mut text = format!("module conformance\n\ngo 1.25.0\n\nrequire k8s.io/kubernetes {VERSION}\n\n");
    let mut within = false;
    for line in upstream.lines() {
        within |= line.starts_with("require (");
        if within {
            text.push_str(line);
            text.push('\n');
        }
        within &= line != ")";
    }
    text.push_str("\nreplace (\n");
    for name in upstream.lines().filter_map(|line| line.trim().split_once(" => ./staging/")).map(|(name, _)| name) {
        let name = name.trim_start_matches("replace ");
        text.push_str(&format!("\t{name} => {name} {STAGING}\n"));
    }
    text.push_str(")\n");
    text
}

/// A cluster of the built binary, which ends with this.
struct Cluster {
    child: Child,
    kubeconfig: PathBuf,
}

impl Cluster {
    fn start(root: &Path, folder: &Path) -> anyhow::Result<Self> {
        let (data, kubeconfig) = (folder.join("data"), folder.join("kubeconfig"));
        if data.exists() {
            std::fs::remove_dir_all(&data)?;
        }
        if kubeconfig.exists() {
            std::fs::remove_file(&kubeconfig)?;
        }
        let mut command = Command::new(root.join("target/release/sampan"));
        command.args(["up", "--output", "json", "--port", "0", "--data-dir"]).arg(&data);
        command.arg("--kubeconfig").arg(&kubeconfig).stdout(Stdio::null());
        let child = command.spawn().context("the binary is built: cargo build --release")?;
        let mut cluster = Self { child, kubeconfig };
        // The kubeconfig is written when the cluster is ready for it.
        for _ in 0..600 {
            if cluster.kubeconfig.exists() {
                return Ok(cluster);
            }
            if let Some(status) = cluster.child.try_wait()? {
                bail!("sampan up ended with {status}");
            }
            std::thread::sleep(POLL);
        }
        bail!("sampan up did not become ready")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_default();
        drop(self.child.wait());
    }
}

/// A test that runs.
struct Running {
    name: String,
    child: Child,
    report: PathBuf,
    /// How long it has run, in polls.
    polls: u32,
    interrupted: bool,
}

fn each(
    suite: &Suite,
    kubeconfig: &Path,
    mut names: Vec<String>,
    at_once: usize,
    limit: Duration,
) -> anyhow::Result<BTreeMap<String, &'static str>> {
    names.reverse();
    let (mut running, mut verdicts, mut started): (Vec<Running>, _, u32) = (Vec::new(), BTreeMap::new(), 0);
    while !running.is_empty() || !names.is_empty() {
        while running.len() < at_once
            && let Some(name) = names.pop()
        {
            started += 1;
            running.push(start(suite, kubeconfig, name, started)?);
        }
        std::thread::sleep(POLL);
        let mut still = Vec::new();
        for mut test in running {
            test.polls += 1;
            if test.child.try_wait()?.is_some() {
                let (verdict, why) = verdict(&test);
                println!("{verdict}\t{}\t{why}", test.name);
                verdicts.insert(test.name, verdict);
                continue;
            }
            if POLL * test.polls > limit && !test.interrupted {
                test.interrupted = true;
                let pid = test.child.id().to_string();
                command::run(&suite.folder, "kill", &["-INT", &pid])?;
            }
            if POLL * test.polls > limit + GRACE {
                test.child.kill()?;
            }
            still.push(test);
        }
        running = still;
    }
    Ok(verdicts)
}

fn start(suite: &Suite, kubeconfig: &Path, name: String, number: u32) -> anyhow::Result<Running> {
    let report = suite.folder.join(format!("report-{number}.json"));
    if report.exists() {
        std::fs::remove_file(&report)?;
    }
    let log = std::fs::File::create(suite.folder.join(format!("test-{number}.log")))?;
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
    command.arg(format!("--ginkgo.focus= {}$", escaped(&name)));
    let child = command.spawn().context("the suite cannot be started")?;
    Ok(Running { name, child, report, polls: 0, interrupted: false })
}

/// The name as a regular expression that matches nothing else.
fn escaped(name: &str) -> String {
    let special = |c: char| "\\.+*?()|[]{}^$".contains(c);
    name.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

/// The outcome in the report, and what it says of a failure.
fn verdict(test: &Running) -> (&'static str, String) {
    if test.interrupted {
        return ("late", String::new());
    }
    let report = std::fs::read(&test.report).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
    let specs = report.as_ref().and_then(|report| report[0]["SpecReports"].as_array()).into_iter().flatten();
    let mut found = ("absent", String::new());
    for spec in specs {
        let failure = spec["Failure"]["Message"].as_str().unwrap_or_default();
        let line = failure.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().to_owned();
        match (spec["LeafNodeType"].as_str(), spec["State"].as_str()) {
            (Some("It"), Some("passed")) => return ("passed", String::new()),
            (Some("It"), Some("skipped")) if failure.is_empty() => {}
            (Some("It"), Some("skipped")) => return ("skipped", line),
            (_, Some("passed" | "skipped")) => {}
            _ => found = ("failed", line),
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
    fn the_module_takes_published_modules_for_those_of_the_repository() {
        let upstream = "module k8s.io/kubernetes\n\nrequire (\n\ta v1\n)\n\nreplace (\n\tk8s.io/api => ./staging/src/k8s.io/api\n)\n";
        let text = manifest(upstream);
        assert!(text.contains("require (\n\ta v1\n)\n"), "{text}");
        assert!(text.contains("replace (\n\tk8s.io/api => k8s.io/api v0.35.0\n)\n"), "{text}");
    }
}
