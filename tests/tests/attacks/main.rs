//! Attacks on the real binary by users with few rights or none, and what others notice of them: their own requests, over
//! connections of their own and counted from when each was due, the nodes' leases, and the memory of the server.
//!
//! The load shares the machine's cores with the server. In the fast tier each attack is short, and what is asserted is what
//! noise cannot move: everybody else is answered. `SAMPAN_TIER=nightly` lasts longer and holds the bounds of time and
//! memory. `SAMPAN_ATTACK=PART` runs those whose name has the part.

mod attackers;
mod bodies;
mod http2;
mod lists;
mod others;
mod wire;

use attackers::{Attack, asking, flooding, half_handshakes, handshakes, not_reading, silent_two, stuck};
use others::{Others, Outcome, Probe};
use rustix::process::{Pid, Signal, kill_process};
use sampan_tests::measure::resident_kib;
use sampan_tests::{Sampan, eventually, is_nightly, now};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use wire::{Target, get, request};

const HELLO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/hello.yaml");

/// Tokens of users: of `system:masters`; with a right to read; with few rights; with none.
const ADMIN: &str = "token-of-admin";
const OTHER: &str = "token-of-other";
const MALLORY: &str = "token-of-mallory";
const NOBODY: &str = "token-of-nobody";
const USERS: &str = "token-of-admin,admin,1,\"system:masters\"\ntoken-of-other,other,2\ntoken-of-mallory,mallory,3\n\
                     token-of-nobody,nobody,4\n";
/// What they may.
const RIGHTS: &str = r#"
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reads, namespace: default}
rules: [{apiGroups: [""], resources: [configmaps], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reads, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reads}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: other}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: little, namespace: default}
rules:
- {apiGroups: [""], resources: [configmaps], verbs: [get, list, watch, create, patch, update]}
- {apiGroups: [""], resources: [pods], verbs: [create]}
- {apiGroups: [apps], resources: [deployments], verbs: [patch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: little, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: little}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: mallory}]
"#;

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PODS_DRY: &str = "/api/v1/namespaces/default/pods?dryRun=All";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases?watch=1";
/// Nobody waits for a revision as far off.
const FUTURE: &str = "999999999";

/// Bounds of the nightly tier.
const LIVEZ_P99_MAX: Duration = Duration::from_millis(50);
const GET_P99_MAX: Duration = Duration::from_millis(100);
/// Over what the server held before, KiB.
const MEMORY_OVER_IDLE_MAX: u64 = 256 * 1024;
/// What may be left of that when an attack is over, KiB.
const MEMORY_LEFT_MAX: u64 = 64 * 1024;
/// Memory that has not fallen by so much in so long has settled, KiB.
const SETTLED_WITHIN: u64 = 512;
const SETTLED_AFTER: Duration = Duration::from_secs(3);
/// A node renews its lease every ten seconds.
const RENEWED_WITHIN: Duration = Duration::from_secs(11);
/// A node whose lease is older is taken for dead.
const LEASE_MAX: Duration = Duration::from_secs(40);

/// The attacks of the fast tier: one of each sort.
const FAST: [&str; 14] = [
    "spread constraints",
    "moves",
    "a keyed list",
    "anchors",
    "half a POST without rights",
    "a byte a second",
    "a GET of the future",
    "tables",
    "gzip",
    "lists over a connection each",
    "lists that are taken",
    "as many as there are places",
    "half handshakes",
    "pings",
];

/// How long an attack lasts.
fn length() -> Duration {
    if is_nightly() { Duration::from_secs(12) } else { Duration::from_secs(2) }
}

/// A server that is attacked.
struct Cluster {
    sampan: Sampan,
    target: Target,
    /// KiB.
    idle: u64,
    _folder: tempfile::TempDir,
}

impl Cluster {
    /// With hello's pods, the users and their rights, and so many ConfigMaps of 1.5 KB.
    fn up(config_maps: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: String| -> PathBuf {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            path
        };
        let tokens = write("tokens.csv", USERS.to_owned());
        let authentication = json!({"authentication": {"staticTokenFile": tokens}});
        let config = write("config.yaml", authentication.to_string());
        let rights = write("rights.yaml", RIGHTS.to_owned());
        let text = |path: &Path| path.display().to_string();
        let arguments = ["-f", HELLO, "-f", &text(&rights), "--config", &text(&config)];
        let sampan = Sampan::up(folder.path(), &arguments);
        let target = Target::of(&sampan);
        fill(&target, config_maps);
        let idle = settled_kib(sampan.pid());
        Self { sampan, target, idle, _folder: folder }
    }

    /// Attacks it, and tells what others saw of that.
    fn attacked(&self, name: &str, attack: Attack) {
        let pid = self.sampan.pid();
        let others = Others::begin(&self.target, pid, probes(), get(LEASES, ADMIN, &[]));
        let (answers, cpu) = attackers::run(attack, self.target.clone(), length());
        let ended = now();
        let outcome = others.end();
        println!("{name}: {answers:?}, {:.1} s of CPU of the attacker's", cpu.as_secs_f64());
        outcome.seen.iter().for_each(|seen| println!("    {seen}"));
        let over = outcome.memory_peak.saturating_sub(self.idle) / 1024;
        println!("    memory: {over} MiB over {} MiB; {} leases told", self.idle / 1024, outcome.renewals.len());
        assert!(!answers.is_empty(), "{name}: the attack did nothing");
        self.check(name, &outcome, ended);
    }

    fn check(&self, name: &str, outcome: &Outcome, ended: std::time::Instant) {
        for seen in &outcome.seen {
            assert!(seen.failures.is_empty() && !seen.times.is_empty(), "{name}: {seen}");
        }
        let ends = outcome.renewals.iter().skip(1).chain([&ended]);
        let gap = outcome.renewals.iter().zip(ends).map(|(from, to)| to.saturating_duration_since(*from)).max();
        let most = if is_nightly() { RENEWED_WITHIN } else { LEASE_MAX };
        assert!(gap.is_some_and(|gap| gap <= most), "{name}: a lease was not renewed for {gap:?}");
        if !is_nightly() {
            return;
        }
        for (of, most) in [("livez", LIVEZ_P99_MAX), ("get", GET_P99_MAX)] {
            for seen in outcome.seen.iter().filter(|seen| seen.name.starts_with(of)) {
                assert!(seen.percentile(99) <= most, "{name}: {seen}");
            }
        }
        assert!(outcome.memory_peak <= self.idle + MEMORY_OVER_IDLE_MAX, "{name}: {} KiB", outcome.memory_peak);
        eventually("its memory is given back", || {
            (resident_kib(self.sampan.pid()).expect("it runs") <= self.idle + MEMORY_LEFT_MAX).then_some(())
        });
    }
}

/// What a process holds once that falls no further, KiB: what starting and filling held is given back by and by.
fn settled_kib(pid: u32) -> u64 {
    let resident = || resident_kib(pid).expect("it runs");
    let mut last = resident();
    eventually("its memory settles", || {
        std::thread::sleep(SETTLED_AFTER);
        let before = std::mem::replace(&mut last, resident());
        (before <= last + SETTLED_WITHIN).then_some(last)
    })
}

/// What others do meanwhile.
fn probes() -> Vec<Probe> {
    let twenty_five = Duration::from_millis(40);
    let probe = |name, request, kept| Probe { name, requests: vec![request], kept, every: twenty_five };
    let (livez, small) = (get("/livez", OTHER, &[]), get(&format!("{CONFIG_MAPS}/small"), OTHER, &[]));
    let patch = |value: &str| {
        let body = json!({"data": {"k": value}}).to_string();
        request("PATCH", &format!("{CONFIG_MAPS}/small"), ADMIN, "application/merge-patch+json", body.as_bytes())
    };
    vec![
        probe("livez, kept", livez.clone(), true),
        probe("livez, new", livez, false),
        probe("get, kept", small.clone(), true),
        probe("get, new", small, false),
        Probe {
            name: "patch by an admin",
            requests: vec![patch("a"), patch("b")],
            kept: true,
            every: Duration::from_millis(200),
        },
    ]
}

/// Makes the ConfigMap that is read, and so many others.
fn fill(target: &Target, count: usize) {
    let create = |name: &str, bytes: usize| {
        let metadata = json!({"name": name, "labels": {"app": "a"}});
        let object =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"k": "v".repeat(bytes)}});
        request("POST", CONFIG_MAPS, ADMIN, "application/json", object.to_string().as_bytes())
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let clients: usize = 16;
    runtime.block_on(futures::future::join_all((0..clients).map(|client| async move {
        let mut stream = target.open().await.expect("a connection");
        if client == 0 {
            assert_eq!(wire::ask(&mut stream, &create("small", 100)).await.expect("answered"), 201);
        }
        for n in (client..count).step_by(clients) {
            let request = create(&format!("c{n:05}"), 1_300);
            assert_eq!(wire::ask(&mut stream, &request).await.expect("answered"), 201);
        }
    })));
}

/// Held by the one test that runs: measurements beside each other would be of each other.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a table of attacks on one server; one that others notice does not keep the rest from being tried.
fn check(config_maps: usize, attacks: Vec<(&'static str, Attack)>) {
    let _alone = alone();
    let only = std::env::var("SAMPAN_ATTACK").unwrap_or_default();
    let cluster = Cluster::up(config_maps);
    let wanted = |name: &str| if only.is_empty() { is_nightly() || FAST.contains(&name) } else { name.contains(&only) };
    let attacks = attacks.into_iter().filter(|(name, _)| wanted(name));
    let checks = attacks.map(|(name, attack)| (name, || cluster.attacked(name, attack)));
    sampan_tests::check_all(checks);
    let nodes = cluster.sampan.get(&["nodes"]).expect("nodes");
    let conditions = nodes["items"][0]["status"]["conditions"].as_array().expect("conditions");
    assert!(conditions.iter().any(|one| one["type"] == "Ready" && one["status"] == "True"), "{conditions:?}");
}

fn post(path: &str, token: &str, body: &[u8]) -> Arc<[u8]> {
    request("POST", path, token, "application/json", body)
}

fn config_map_patch(body: &[u8]) -> Arc<[u8]> {
    request("PATCH", &format!("{CONFIG_MAPS}/small?dryRun=All"), MALLORY, "application/json-patch+json", body)
}

fn hello_patch(content_type: &str, body: &[u8]) -> Arc<[u8]> {
    let path = "/apis/apps/v1/namespaces/default/deployments/hello?dryRun=All&fieldManager=m";
    request("PATCH", path, MALLORY, content_type, body)
}

fn yaml(body: &[u8]) -> Arc<[u8]> {
    request("POST", &format!("{CONFIG_MAPS}?dryRun=All"), MALLORY, "application/yaml", body)
}

#[test]
fn costly_objects() {
    let pods = |body: Vec<u8>| asking(3, vec![post(PODS_DRY, MALLORY, &body)]);
    let maps = |body: Vec<u8>| asking(3, vec![post(&format!("{CONFIG_MAPS}?dryRun=All"), MALLORY, &body)]);
    check(
        0,
        vec![
            ("spread constraints", pods(bodies::spread_constraints())),
            ("scheduling gates", pods(bodies::scheduling_gates())),
            ("volumes", pods(bodies::volumes())),
            ("host ports", pods(bodies::host_ports())),
            ("containers", pods(bodies::containers())),
            ("affinity", pods(bodies::affinity())),
            ("keys", maps(bodies::keys())),
            ("labels", maps(bodies::labels())),
            ("depth of JSON", maps(bodies::json_depth())),
        ],
    );
}

#[test]
fn costly_patches() {
    let strategic = "application/strategic-merge-patch+json";
    let apply = "application/apply-patch+yaml";
    let yaml = |body: Vec<u8>| asking(3, vec![yaml(&body)]);
    check(
        0,
        vec![
            ("moves", asking(2, vec![config_map_patch(&bodies::moves())])),
            ("copies", asking(2, vec![config_map_patch(&bodies::copies())])),
            ("copies of elements", asking(2, vec![config_map_patch(&bodies::element_copies())])),
            ("a keyed list", asking(3, vec![hello_patch(strategic, &bodies::keyed_list())])),
            ("deletions of a keyed list", asking(3, vec![hello_patch(strategic, &bodies::keyed_deletions())])),
            ("apply", asking(3, vec![hello_patch(apply, &bodies::keyed_list())])),
            ("indentation of YAML", yaml(bodies::yaml_indentation())),
            ("depth of YAML", yaml(bodies::yaml_depth())),
            ("anchors", yaml(bodies::yaml_anchors())),
            ("aliases", yaml(bodies::yaml_aliases())),
            ("folded lines", yaml(bodies::yaml_folded())),
        ],
    );
}

/// The beginning of a request that promises more.
fn half(method: &str, path: &str, token: &str, promised: usize) -> Arc<[u8]> {
    let content_type = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let mut bytes = wire::head(method, path, token, &[("Content-Type", content_type)], promised);
    bytes.extend_from_slice(b"{\"apiVersion\":");
    bytes.into()
}

#[test]
fn what_does_not_end() {
    let small = format!("{CONFIG_MAPS}/small");
    let of_future = |path: &str, more: &str| get(&format!("{path}?resourceVersion={FUTURE}{more}"), MALLORY, &[]);
    let second = Some(Duration::from_secs(1));
    let reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    check(
        0,
        vec![
            ("half a POST", stuck(205, half("POST", CONFIG_MAPS, MALLORY, 1000), None)),
            ("half a POST without rights", stuck(205, half("POST", CONFIG_MAPS, NOBODY, 1000), None)),
            ("half a review without rights", stuck(205, half("POST", reviews, NOBODY, 1000), None)),
            ("half a POST of nobody", stuck(205, half("POST", CONFIG_MAPS, "", 1000), None)),
            ("half a PATCH", stuck(205, half("PATCH", &small, MALLORY, 1000), None)),
            ("half a PUT", stuck(205, half("PUT", &small, MALLORY, 1_400_000), None)),
            ("a byte a second", stuck(205, half("POST", CONFIG_MAPS, MALLORY, 1000), second)),
            ("a GET of the future", asking(405, vec![of_future(&small, "")])),
            ("a list of the future", asking(405, vec![of_future(CONFIG_MAPS, "")])),
            ("a list of exactly the future", asking(405, vec![of_future(CONFIG_MAPS, "&resourceVersionMatch=Exact")])),
            ("a watch of the future", asking(405, vec![of_future(CONFIG_MAPS, "&watch=1&timeoutSeconds=2")])),
        ],
    );
}

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

#[test]
fn what_is_not_taken() {
    let lists = |headers: &[(&str, &str)]| vec![http2::block("GET", CONFIG_MAPS, MALLORY, headers)];
    let watch = format!(
        "{CONFIG_MAPS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    );
    let watches = vec![http2::block("GET", &watch, MALLORY, &[])];
    let gzip = ("accept-encoding", "gzip");
    let documents = ["/openapi/v2", "/openapi/v3/apis/apps/v1", "/metrics", "/apis"];
    let documents = documents.map(|path| http2::block("GET", path, MALLORY, &[])).to_vec();
    let taken = |accept: &str| asking(8, vec![get(CONFIG_MAPS, MALLORY, &[("Accept", accept)])]);
    let terms: Vec<String> = (0..5_000).map(|n| format!("v{n}")).collect();
    let selected = format!("{CONFIG_MAPS}?labelSelector=app+in+({})", terms.join(","));
    check(
        8_000,
        vec![
            ("lists", silent_two(4, 0, 200, lists(&[]))),
            ("tables", silent_two(4, 0, 200, lists(&[("accept", TABLE)]))),
            ("protobuf", silent_two(4, 0, 200, lists(&[("accept", PROTOBUF)]))),
            ("gzip", silent_two(4, 0, 200, lists(&[gzip]))),
            ("YAML", silent_two(4, 0, 200, lists(&[("accept", "application/yaml")]))),
            ("initial events", silent_two(4, 0, 200, watches)),
            ("documents", silent_two(4, 0, 200, documents)),
            ("small windows", silent_two(4, 1_000, 200, lists(&[]))),
            ("lists over a connection each", not_reading(200, get(CONFIG_MAPS, MALLORY, &[]))),
            ("lists that are taken", taken("application/json")),
            ("tables that are taken", taken(TABLE)),
            ("YAML that is taken", taken("application/yaml")),
            ("protobuf that is taken", taken(PROTOBUF)),
            ("long selectors", asking(8, vec![get(&selected, MALLORY, &[])])),
        ],
    );
}

/// The beginning of a TLS record that promises a handshake.
const HALF_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

#[test]
fn connections() {
    let livez = || vec![http2::block("GET", "/livez", "", &[])];
    let stream = |at: u32| 2 * at + 1;
    let begun = http2::block("GET", CONFIG_MAPS, MALLORY, &[]);
    let posted = http2::block("POST", CONFIG_MAPS, MALLORY, &[("content-type", "application/json")]);
    let (block, padded) = (begun.clone(), [begun.clone(), http2::padding(48 * 1024)].concat());
    let long_head = [&b"GET /livez HTTP/1.1\r\nHost: a\r\n"[..], "x-a: b\r\n".repeat(10_000).as_bytes()].concat();
    check(
        0,
        vec![
            ("a hundred that answer pings", silent_two(100, 65_535, 1, livez())),
            ("as many as there are places", silent_two(2_600, 65_535, 1, livez())),
            ("half handshakes", half_handshakes(3_000, HALF_HELLO)),
            ("silent connections", half_handshakes(3_000, b"")),
            ("handshakes", handshakes(8)),
            ("half heads", stuck(1_000, b"GET /livez HTT".as_slice().into(), None)),
            ("heads a byte a second", stuck(1_000, b"GET /li".as_slice().into(), Some(Duration::from_secs(1)))),
            ("long heads", stuck(8, long_head.into(), None)),
            (
                "rapid resets",
                flooding(4, move |at| [http2::headers(stream(at), &block), http2::reset(stream(at))].concat()),
            ),
            ("continuations", {
                let first = begun.clone();
                flooding(4, move |at| match at {
                    0 => http2::begun_headers(1, &first),
                    _ => http2::continuation(1, &http2::padding(8 * 1024)),
                })
            }),
            ("empty continuations", {
                flooding(4, move |at| match at {
                    0 => http2::begun_headers(1, &begun),
                    _ => http2::continuation(1, &[]),
                })
            }),
            ("long fields", flooding(4, move |at| http2::headers(stream(at), &padded))),
            ("settings", flooding(4, |_| http2::settings(65_535).repeat(100))),
            ("pings", flooding(4, |_| http2::ping().repeat(100))),
            ("priorities", flooding(4, |_| http2::priority(3).repeat(100))),
            ("windows", flooding(4, |_| http2::window_update(0).repeat(100))),
            ("empty data", {
                flooding(4, move |at| match at {
                    0 => http2::headers_before_data(1, &posted),
                    _ => http2::data(1, b"").repeat(100),
                })
            }),
        ],
    );
}

/// Connections that come while the server is held up: more than the 128 that a listener keeps when it is not told.
const BURST: usize = 1_000;

#[test]
fn connections_wait_in_the_kernel() {
    let _alone = alone();
    let kept = std::fs::read_to_string("/proc/sys/net/core/somaxconn").expect("Linux");
    assert!(kept.trim().parse::<usize>().expect("a number") > BURST, "this kernel keeps {kept} connections");
    let folder = tempfile::tempdir().expect("a folder");
    let sampan = Sampan::up(folder.path(), &["--components", "apiserver"]);
    let target = Target::of(&sampan);
    let pid = i32::try_from(sampan.pid()).ok().and_then(Pid::from_raw).expect("a process");
    kill_process(pid, Signal::STOP).expect("it stops");
    let connect = || std::net::TcpStream::connect_timeout(&target.address, Duration::from_millis(900));
    // A connection for which there is no room is tried again by the kernel after a second.
    let waiting: Vec<_> = (0..BURST).map_while(|_| connect().ok()).collect();
    kill_process(pid, Signal::CONT).expect("it goes on");
    assert_eq!(waiting.len(), BURST);
}
