//! The conformance suite of Kubernetes, built from its published modules and run against a cluster: each test in a process
//! of its own and in bounded time.

mod running;
mod suite;

use anyhow::{Context, bail};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Tests that run at one time, the slow ones beside them; those that disturb others run alone.
const AT_ONCE: usize = 2;
/// The tests that do not pass, each with its reason.
const KNOWN: &str = "tests/conformance/known.tsv";
const POLL: Duration = Duration::from_millis(100);

/// What is run, and against what.
#[derive(clap::Args)]
pub struct Options {
    /// Groups of tests/conformance/tests.tsv
    #[arg(long, value_delimiter = ',', default_value = "A,Ak,?")]
    groups: Vec<String>,
    /// Only tests whose names contain this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// A cluster that is up; without it one is started, of the built binary
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Seconds after which a test is interrupted, unless it is a slow one
    #[arg(long, default_value_t = 120)]
    timeout: u64,
}

/// A test as tests.tsv names it.
struct Test {
    group: String,
    name: String,
}

impl Test {
    /// Whether it spoils what runs beside it.
    fn is_alone(&self) -> bool {
        self.name.contains("[Serial]") || self.name.contains("[Disruptive]")
    }

    /// Whether it takes minutes, nearly all of which it waits.
    fn is_slow(&self) -> bool {
        self.name.contains("[Slow]")
    }
}

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Passed,
    Failed,
    /// By itself: it found that the cluster has not got what it is about.
    Skipped,
    /// Interrupted when its time was over.
    Late,
    /// The suite said nothing of it.
    Absent,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Late => "late",
            Self::Absent => "absent",
        })
    }
}

/// Runs tests, prints a verdict for each and a sum for each group. Error: one did not pass that is not known not to, or one
/// that is known not to passed.
pub fn run(root: &Path, options: &Options) -> anyhow::Result<()> {
    let suite = suite::build(root)?;
    let tests = listed(root, options)?;
    let known = known(&std::fs::read_to_string(root.join(KNOWN))?)?;
    let cluster = match &options.kubeconfig {
        Some(_) => None,
        None => Some(Cluster::start(root, &suite.folder)?),
    };
    let kubeconfig = options.kubeconfig.clone().or(cluster.as_ref().map(|cluster| cluster.kubeconfig.clone()));
    let kubeconfig = kubeconfig.context("a cluster")?.canonicalize()?;
    let (alone, together): (Vec<_>, Vec<_>) = tests.into_iter().partition(Test::is_alone);
    let limit = Duration::from_secs(options.timeout);
    let mut verdicts = Vec::new();
    for (tests, at_once) in [(together, AT_ONCE), (alone, 1)] {
        verdicts.extend(running::each(&suite, &kubeconfig, tests, at_once, limit)?);
    }
    drop(cluster);
    for line in summary(&verdicts, &known) {
        println!("{line}");
    }
    let surprises = surprises(&verdicts, &known);
    if surprises.is_empty() { Ok(()) } else { bail!("{}", surprises.join("\n")) }
}

fn listed(root: &Path, options: &Options) -> anyhow::Result<Vec<Test>> {
    let text = std::fs::read_to_string(root.join("tests/conformance/tests.tsv"))?;
    let lines = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('\t'));
    let chosen = lines.filter(|(group, name)| {
        options.groups.iter().any(|one| one == group) && options.only.as_ref().is_none_or(|text| name.contains(text))
    });
    let tests: Vec<Test> =
        chosen.map(|(group, name)| Test { group: group.to_owned(), name: name.to_owned() }).collect();
    if tests.is_empty() { bail!("no test is chosen") } else { Ok(tests) }
}

/// The tests that are known not to pass, by their names: why. Error: a line without a reason.
fn known(text: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let split = |line: &str| match line.split_once('\t') {
        Some((name, why)) if !why.trim().is_empty() => Ok((name.to_owned(), why.to_owned())),
        _ => bail!("{KNOWN}: no reason: {line}"),
    };
    lines.map(split).collect()
}

/// Of each group how many passed, and what is known of those that did not.
fn summary(verdicts: &[(Test, Verdict)], known: &BTreeMap<String, String>) -> Vec<String> {
    let mut groups: BTreeMap<&str, Vec<&(Test, Verdict)>> = BTreeMap::new();
    for one in verdicts {
        groups.entry(&one.0.group).or_default().push(one);
    }
    let mut lines = Vec::new();
    for (group, all) in groups {
        let failed: Vec<_> = all.iter().filter(|(_, verdict)| *verdict != Verdict::Passed).collect();
        lines.push(format!("group {group}: {} of {} passed", all.len() - failed.len(), all.len()));
        for (test, verdict) in failed {
            let why = known.get(&test.name).map_or("not known", String::as_str);
            lines.push(format!("  {verdict}: {}: {why}", test.name));
        }
    }
    lines
}

/// What is otherwise than the list of known ones says.
fn surprises(verdicts: &[(Test, Verdict)], known: &BTreeMap<String, String>) -> Vec<String> {
    let surprise = |(test, verdict): &(Test, Verdict)| match (*verdict == Verdict::Passed, known.get(&test.name)) {
        (true, None) | (false, Some(_)) => None,
        (true, Some(_)) => Some(format!("passed, and is to be taken off {KNOWN}: {}", test.name)),
        (false, None) => Some(format!("{verdict}: {}", test.name)),
    };
    verdicts.iter().filter_map(surprise).collect()
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
        let log = std::fs::File::create(folder.join("cluster.log"))?;
        command.arg("--kubeconfig").arg(&kubeconfig).stdout(Stdio::null()).stderr(log);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_as_known_is_a_surprise() {
        let check = |verdict: Verdict, known: &[&str], expected: &[&str]| {
            let test = Test { group: "A".to_owned(), name: "t".to_owned() };
            let known = known.iter().map(|name| ((*name).to_owned(), "why".to_owned())).collect();
            assert_eq!(surprises(&[(test, verdict)], &known), expected, "{verdict}");
        };
        check(Verdict::Passed, &[], &[]);
        check(Verdict::Passed, &["t"], &["passed, and is to be taken off tests/conformance/known.tsv: t"]);
        check(Verdict::Failed, &["t"], &[]);
        check(Verdict::Skipped, &["u"], &["skipped: t"]);
        check(Verdict::Late, &[], &["late: t"]);
        check(Verdict::Absent, &[], &["absent: t"]);
    }

    #[test]
    fn a_known_failure_has_a_reason() {
        assert_eq!(known("# x\na\twhy\n").expect("a list")["a"], "why");
        for text in ["a", "a\t", "a\t \n"] {
            assert!(known(text).is_err(), "{text:?}");
        }
    }
}
