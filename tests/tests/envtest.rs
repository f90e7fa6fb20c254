//! `sampan envtest` under those who use it: controller-runtime's own suite and a project as kubebuilder scaffolds it, neither of them
//! changed, and the time and memory that its servers take.
//!
//! `envtest.tsv` names the suites, `cargo xtask tools` builds them. SAMPAN_TIER=nightly; where the programs of Kubernetes are at
//! hand (SAMPAN_KUBERNETES), each suite runs against them too, in turn.

use bytes::Bytes;
use http::{Method, Request};
use sampan_client::{CertificateAuthority, Client, Credentials, RemoteConfig};
use sampan_env::{Env, Tasks};
use sampan_tests::measure::Memory;
use sampan_tests::{PATIENCE, binary, is_nightly, kubernetes, now, tool};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Time that one suite may take.
const SUITE_TIMEOUT: &str = "280s";
/// From the start of a server to its first answer on /readyz.
const READY_MAX: Duration = Duration::from_millis(100);
/// The same of the last of [`MANY`] that start together, on two cores.
const ALL_READY_MAX: Duration = Duration::from_millis(1_500);
const MANY: usize = 20;
/// Memory that each of many servers holds when it is ready: its own, and its part of what they share.
const EACH_KIB_MAX: u64 = 40 * 1024;
/// Memory of a server alone, all pages of the binary that it looked at among them.
const RESIDENT_KIB_MAX: u64 = 56 * 1024;
/// Memory of a server that no other server of the host has a part of.
const OWN_KIB_MAX: u64 = 20 * 1024;

/// What `sampan envtest` writes.
fn assets(folder: &Path) -> PathBuf {
    let assets = folder.join("assets");
    let output = Command::new(binary()).arg("envtest").arg(&assets).output().expect("the binary is built");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assets
}

/// The programs of Kubernetes itself in the same form; `None`: nobody says where they are.
fn assets_of_kubernetes(folder: &Path) -> Option<PathBuf> {
    let programs = kubernetes()?;
    let assets = folder.join("kubernetes");
    std::fs::create_dir(&assets).expect("a folder");
    let own = ["kube-apiserver", "etcd"].map(|name| (name, programs.join(name)));
    for (name, program) in own.into_iter().chain([("kubectl", tool("kubectl-1.35"))]) {
        std::os::unix::fs::symlink(program, assets.join(name)).expect("a link");
    }
    Some(assets)
}

/// A package's tests.
struct Suite<'t> {
    source: &'t str,
    package: &'t str,
    skipped: Vec<&'t str>,
}

/// What came of a package's tests.
struct Outcome {
    passed: usize,
    failed: BTreeSet<String>,
    took: Duration,
}

impl Suite<'_> {
    fn run(&self, assets: &Path, reports: &Path) -> Outcome {
        let tools = tool("envtest");
        let name = format!("{}-{}", self.source, self.package.replace('/', "-"));
        let report = reports.join(format!("{name}.json"));
        let mut command = Command::new(tools.join("bin").join(format!("{name}.test")));
        command.current_dir(tools.join(self.source).join(self.package)).env("KUBEBUILDER_ASSETS", assets);
        command.args(["-test.v", "-test.timeout", SUITE_TIMEOUT]);
        if !self.skipped.is_empty() {
            command.args(["-test.skip", &self.skipped.join("|")]);
        }
        // Only those that are written with ginkgo know the flag.
        if self.is_of_ginkgo() {
            command.arg(format!("--ginkgo.json-report={}", report.display()));
        }
        let began = now();
        let output = command.stdin(Stdio::null()).output().expect("the suite starts");
        let took = now().duration_since(began);
        let log = String::from_utf8_lossy(&output.stdout).into_owned();
        let specs = std::fs::read(&report).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let mut outcome = Outcome { took, ..verdicts(&log, &specs.unwrap_or_default()) };
        if !output.status.success() && outcome.failed.is_empty() {
            let errors = String::from_utf8_lossy(&output.stderr);
            outcome.failed.insert(format!("the whole suite: {}", errors.lines().last().unwrap_or_default()));
        }
        outcome
    }

    fn is_of_ginkgo(&self) -> bool {
        let folder = tool("envtest").join(self.source).join(self.package);
        let mut files = std::fs::read_dir(&folder).expect("the package").map(|file| file.expect("a file").path());
        files.any(|file| {
            let text = if file.to_string_lossy().ends_with("_test.go") {
                std::fs::read_to_string(&file)
            } else {
                return false;
            };
            text.is_ok_and(|text| text.contains("github.com/onsi/ginkgo"))
        })
    }
}

/// The verdicts of Go's own tests in a log, and of ginkgo's specs in a report.
fn verdicts(log: &str, report: &Value) -> Outcome {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let specs = report.as_array().into_iter().flatten().filter_map(|suite| suite["SpecReports"].as_array()).flatten();
    let (mut passed, mut failed) = (0, BTreeSet::new());
    for spec in specs {
        match spec["State"].as_str().unwrap_or_default() {
            "passed" if spec["LeafNodeType"] == "It" => passed += 1,
            "passed" | "pending" | "skipped" => {}
            _ => {
                let around = spec["ContainerHierarchyTexts"].as_array().into_iter().flatten().map(text);
                let words: Vec<String> = around.chain([text(&spec["LeafNodeText"])]).collect();
                failed.insert(words.join(" "));
            }
        }
    }
    let of = |word: &'static str| {
        let lines = log.lines().filter_map(move |line| line.trim_start().strip_prefix(word));
        lines.filter_map(|line| line.split_whitespace().next()).map(str::to_owned)
    };
    if passed == 0 && failed.is_empty() {
        passed = of("--- PASS: ").count();
    }
    // Of tests within tests only the innermost; of one that runs specs, these.
    let tests: BTreeSet<String> = of("--- FAIL: ").collect();
    let innermost = tests.iter().filter(|one| !tests.iter().any(|other| other.starts_with(&format!("{one}/"))));
    if failed.is_empty() {
        failed.extend(innermost.cloned());
    }
    Outcome { passed, failed, took: Duration::ZERO }
}

#[test]
fn verdicts_are_read_out_of_logs_and_reports() {
    let log = "--- FAIL: TestOne (0.1s)\n    --- FAIL: TestOne/part (0.1s)\n--- PASS: TestTwo (0.0s)\nPASS\n";
    let check = |outcome: Outcome, passed: usize, failed: &[&str]| {
        assert_eq!((outcome.passed, outcome.failed), (passed, failed.iter().map(|one| (*one).to_owned()).collect()));
    };
    check(verdicts(log, &Value::Null), 1, &["TestOne/part"]);
    let spec = |state: &str, name: &str| serde_json::json!({"State": state, "LeafNodeType": "It", "ContainerHierarchyTexts": ["a"], "LeafNodeText": name});
    let report =
        serde_json::json!([{"SpecReports": [spec("passed", "x"), spec("panicked", "y"), spec("pending", "z")]}]);
    check(verdicts("--- FAIL: TestSuite (1s)", &report), 1, &["a y"]);
}

#[test]
fn suites_of_those_who_write_operators() {
    if !is_nightly() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (assets, peer) = (assets(folder.path()), assets_of_kubernetes(folder.path()));
    let lines: Vec<Vec<&str>> = include_str!("envtest.tsv").lines().map(|line| line.split('\t').collect()).collect();
    let of = |word: &str, source: &str, package: &str| {
        let own = lines.iter().filter(|line| line.get(..3) == Some(&[word, source, package]));
        own.filter_map(|line| line.get(3).copied()).collect::<Vec<&str>>()
    };
    let (mut wrong, mut passed, mut took) = (Vec::new(), 0, Duration::ZERO);
    for line in lines.iter().filter(|line| line[0] == "suite") {
        let (source, package) = (line[1], line[2]);
        let suite = Suite { source, package, skipped: of("skip", source, package) };
        let outcome = suite.run(&assets, folder.path());
        println!("{source} {package}: {} passed in {:.1} s", outcome.passed, outcome.took.as_secs_f64());
        if let Some(peer) = &peer {
            let theirs = suite.run(peer, folder.path());
            let (passed, took) = (theirs.passed, theirs.took.as_secs_f64());
            println!("  of Kubernetes: {passed} passed in {took:.1} s; failed: {:?}", theirs.failed);
        }
        assert!(outcome.passed > 0 || !outcome.failed.is_empty(), "{source} {package}: nothing was run");
        passed += outcome.passed;
        took += outcome.took;
        let known: BTreeSet<String> = of("known", source, package).into_iter().map(str::to_owned).collect();
        let differ = |kind: &str, all: BTreeSet<&String>| {
            all.into_iter().map(|one| format!("{source} {package}: {one} {kind}")).collect::<Vec<_>>()
        };
        wrong.extend(differ("failed", outcome.failed.difference(&known).collect()));
        wrong.extend(differ("is known to fail and passed", known.difference(&outcome.failed).collect()));
    }
    println!("{passed} passed in {:.1} s", took.as_secs_f64());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A server as envtest starts it, which ends with this.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(assets: &Path, folder: &Path, port: u16) -> Self {
        let mut command = Command::new(assets.join("kube-apiserver"));
        command.arg(format!("--cert-dir={}", folder.display())).arg(format!("--secure-port={port}")).args([
            "--bind-address=127.0.0.1",
            "--etcd-servers=http://127.0.0.1:2379",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--disable-admission-plugins=ServiceAccount",
            "--authorization-mode=RBAC",
            "--allow-privileged=true",
        ]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        Self { child, port }
    }

    /// Asks until it is ready.
    async fn ready(&self, tasks: &Tasks) {
        let config = RemoteConfig {
            server: format!("https://127.0.0.1:{}", self.port),
            ca: Some(CertificateAuthority::Insecure),
            credentials: Credentials::None,
            tls_server_name: None,
        };
        let env = Env::system();
        let client = Client::remote(config, "sampan-tests", &env, tasks).expect("a client");
        loop {
            let request = Request::builder().method(Method::GET).uri("/readyz").body(Bytes::new()).expect("a request");
            if client.request_bytes(request).await.is_ok_and(|text| text == "ok") {
                return;
            }
            env.sleep(Duration::from_millis(2)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_default();
        drop(self.child.wait());
    }
}

/// Starts so many at once: the time until all are ready, and the memory that the largest of them holds.
fn start(assets: &Path, count: usize) -> (Duration, Memory) {
    let folder = tempfile::tempdir().expect("a folder");
    let places: Vec<(TcpListener, PathBuf)> = (0..count)
        .map(|at| (TcpListener::bind("127.0.0.1:0").expect("a port"), folder.path().join(at.to_string())))
        .collect();
    let ports: Vec<(u16, PathBuf)> = places
        .into_iter()
        .map(|(listener, path)| {
            std::fs::create_dir(&path).expect("a folder");
            (listener.local_addr().expect("an address").port(), path)
        })
        .collect();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let tasks = Tasks::new("tests");
    let began = now();
    let servers: Vec<Server> = ports.iter().map(|(port, path)| Server::start(assets, path, *port)).collect();
    let all = async { futures::future::join_all(servers.iter().map(|server| server.ready(&tasks))).await };
    let ready = runtime.block_on(async { tokio::time::timeout(PATIENCE, all).await });
    let took = now().duration_since(began);
    assert!(ready.is_ok(), "{count} servers are not ready");
    let memory = servers.iter().map(|server| Memory::of(server.child.id()).expect("it runs"));
    (took, memory.max_by_key(|memory| memory.proportional_kib).unwrap_or_default())
}

#[test]
fn servers_are_ready_at_once_and_small() {
    if !is_nightly() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let assets = assets(folder.path());
    let best = |count: usize| {
        let tries: Vec<(Duration, Memory)> = (0..3).map(|_| start(&assets, count)).collect();
        let took = tries.iter().map(|(took, _)| *took).min().unwrap_or_default();
        let memory = tries.iter().map(|(_, memory)| *memory).max_by_key(|memory| memory.proportional_kib);
        (took, memory.unwrap_or_default())
    };
    let ((alone, one), (together, largest)) = (best(1), best(MANY));
    println!(
        "ready alone: {} ms, {one:?}; {MANY} at once: {} ms, {largest:?}",
        alone.as_millis(),
        together.as_millis()
    );
    assert!(alone <= READY_MAX, "{alone:?}");
    assert!(together <= ALL_READY_MAX, "{together:?}");
    assert!(one.resident_kib <= RESIDENT_KIB_MAX, "{one:?}");
    // Pages of the binary are there once for all that run.
    assert!(largest.proportional_kib <= EACH_KIB_MAX, "{largest:?}");
    assert!(one.own_kib.max(largest.own_kib) <= OWN_KIB_MAX, "{one:?}, {largest:?}");
}
