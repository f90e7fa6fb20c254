//! Policies in interpreted languages on a cluster of 5,000 nodes, with the budget of an object that says nothing.
//! `cargo xtask tools` makes the guests. SAMPAN_TIER=nightly: compiling an interpreter takes a minute.

mod guests;

use guests::World;
use sampan_api::scheduling::SchedulingPolicySpec;
use sampan_policy::{Host, HostConfig, Live, prepare};
use sampan_scheduler_core::{CycleResult, Cycler, LivePolicies, Outcome, PodInfo, Snapshot};
use sampan_wasm_runtime::Role;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

const NODES: usize = 5_000;
const PODS: usize = 200;
/// Labels of each node, as cloud providers set them.
const LABELS: usize = 12;
/// Every so many nodes one is quiet.
const QUIET_EVERY: usize = 10;
/// Longest that a mirror may take to be fed.
const PATIENCE: Duration = Duration::from_secs(60);

fn node(at: usize) -> Value {
    let name = format!("node-{at:05}");
    let mut labels = json!({"kubernetes.io/hostname": name, "zone": format!("z{}", at % 8)});
    for label in 0..LABELS {
        labels[format!("example.com/label-{label}")] = json!(format!("value-{}", at % 50));
    }
    if at.is_multiple_of(QUIET_EVERY) {
        labels["example.com/quiet"] = json!("true");
    }
    json!({"metadata": {"name": name, "labels": labels}, "spec": {},
        "status": {"allocatable": {"cpu": "16", "memory": "64Gi", "pods": "110"}}})
}

/// Half of the pods are replicas, half are as no other; some are noisy.
fn pod(at: usize) -> Value {
    let mut annotations = json!({});
    if at.is_multiple_of(2) {
        annotations["example.com/own"] = json!(at.to_string());
    }
    if at.is_multiple_of(3) {
        annotations["example.com/noisy"] = json!("true");
    }
    json!({"metadata": {"name": format!("p{at}"), "namespace": "d", "uid": format!("u{at}"), "annotations": annotations},
        "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "10m"}}}]}})
}

/// The scheduler's part, as the driver has it: mirrors are fed beside, and pods wait for that.
struct Scheduling {
    snapshot: Snapshot,
    cycler: Cycler,
    host: Host,
    changed: Arc<Notify>,
}

impl Scheduling {
    fn new(live: &Live) -> Self {
        let mut snapshot = Snapshot::default();
        for at in 0..NODES {
            snapshot.set_node(Arc::new(serde_json::from_value(node(at)).expect("a node")));
        }
        let changed = Arc::new(Notify::new());
        let wake = Arc::clone(&changed);
        live.on_change(move || wake.notify_one());
        Self { snapshot, cycler: Cycler::default(), host: Host::new(live, HostConfig::default()), changed }
    }

    fn cycle(&mut self, info: &PodInfo, seed: u64) -> Outcome {
        self.host.adopt();
        let profile = self.host.profile("default-scheduler").expect("the default profile");
        self.snapshot.want(profile.columns());
        let view = self.snapshot.view(info, &profile);
        self.cycler.cycle(&self.snapshot, &view, &profile, seed, 0, &mut self.host)
    }

    /// Tries until the mirror is fed; the name of the node that the pod gets.
    async fn place(&mut self, at: usize) -> String {
        let pod = Arc::new(serde_json::from_value(pod(at)).expect("a pod"));
        let info = PodInfo::new(pod, self.snapshot.strings_mut());
        loop {
            let outcome = self.cycle(&info, at as u64);
            match outcome.result {
                CycleResult::Placed(placed) => {
                    self.snapshot.add_pod(&placed.node, &info.uid, &info.usage);
                    return placed.node;
                }
                _ if outcome.faults.iter().all(|fault| fault.cause == "Feeding") => {
                    let fed = tokio::time::timeout(PATIENCE, self.changed.notified()).await;
                    fed.expect("the mirror is fed");
                }
                other => panic!("pod {at}: {other:?}: {}", outcome.message),
            }
        }
    }
}

/// The component that `cargo xtask tools` made of `plugins/fixtures/interpreted`.
fn bytes(name: &str) -> Vec<u8> {
    let tools = std::env::var_os("SAMPAN_TOOLS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools"), Into::into);
    let path = tools.join("policies").join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}: run `cargo xtask tools` first", path.display()))
}

async fn check(name: &str) {
    if !std::env::var("SAMPAN_TIER").is_ok_and(|tier| tier == "nightly") {
        return;
    }
    let world = World::new();
    let live = world.with_built_ins().await;
    let bytes = bytes(name);
    let digest = sampan_wasm_runtime::digest_of(&bytes);
    let artifact = world.runtime.load(Role::Policy, &digest, || async { Ok(bytes.into()) }).await.expect("it compiles");
    let component = world.runtime.policy(&artifact).expect("it links");
    guests::install(&live, name, prepare(&component, &SchedulingPolicySpec::default()).expect("it is well formed"));
    let slot = live.slot(name).expect("live");
    let mut scheduling = Scheduling::new(&live);
    for at in 0..PODS {
        let node = scheduling.place(at).await;
        let number: usize = node.trim_start_matches("node-").parse().expect("a number");
        let noisy = at.is_multiple_of(3);
        assert!(!(noisy && number.is_multiple_of(QUIET_EVERY)), "{name}: noisy pod {at} is on quiet {node}");
    }
    let report = slot.report();
    println!("{name}: {} calls, p50 {:?}, p99 {:?}", report.calls, report.p50, report.p99);
    assert_eq!((report.suspended, &report.faults), (false, &Default::default()), "{name}: {report:?}");
    assert!(report.calls >= PODS as u64, "{name} was asked: {report:?}");
}

#[tokio::test]
async fn a_policy_of_quickjs_stays_live() {
    check("quickjs").await;
}

#[tokio::test]
async fn a_policy_in_python_stays_live() {
    check("python").await;
}
