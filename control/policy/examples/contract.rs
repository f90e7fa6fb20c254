//! The contract measured: a mirror fed by columns against a call per node, and decisions per second with every policy in
//! Wasm against the same crates natively. `cargo run --release -p sampan-policy --example contract`.

#[path = "../tests/guests/mod.rs"]
mod guests;
#[path = "../../scheduler/core/tests/native/mod.rs"]
mod native;

use guests::World;
use native::{Native, profile};
use sampan_policy::{Feeding, Host, HostConfig, prepare};
use sampan_scheduler_core::{
    CycleResult, Cycler, LivePolicies, Objects, PodInfo, Point, Policies, Profile, Question, Snapshot,
};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

const NODES: usize = 5000;
const POLICIES: usize = 20;
const PODS: usize = 10_000;
/// A call per node is slow: so many of the nodes are asked, and the time is multiplied.
const SAMPLE: usize = 250;

fn cluster(nodes: usize) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for at in 0..nodes {
        let name = format!("node-{at:05}");
        let mut labels = json!({"kubernetes.io/hostname": name, "zone": format!("z{}", at % 8)});
        for label in 0..12 {
            labels[format!("example.com/label-{label}")] = json!(format!("value-{}", at % 50));
        }
        let node = json!({"metadata": {"name": name, "labels": labels}, "spec": {},
            "status": {"allocatable": {"cpu": "16", "memory": "64Gi", "pods": "110"}}});
        snapshot.set_node(Arc::new(serde_json::from_value(node).expect("a node")));
    }
    snapshot
}

fn pod(snapshot: &mut Snapshot, uid: usize) -> PodInfo {
    let pod = json!({"metadata": {"name": format!("p{uid}"), "namespace": "d", "uid": format!("u{uid}")}, "spec": {
        "containers": [{"name": "c", "resources": {"requests": {"cpu": "100m", "memory": "100Mi"}}}]}});
    PodInfo::new(Arc::new(serde_json::from_value(pod).expect("a pod")), snapshot.strings_mut())
}

fn say(what: &str, took: Duration) {
    println!("{what:<68} {:>12.3} ms", took.as_secs_f64() * 1000.0);
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let world = World::new();
    let component = world.component("sampan-policies").await;
    let now = || world.env.instant();

    println!("{NODES} nodes, {POLICIES} policies (NodeResourcesFit, configured {POLICIES} times), one pod:");
    let live = world.live();
    for at in 0..POLICIES {
        let spec = serde_json::from_value(json!({"component": "c", "policy": "NodeResourcesFit",
            "points": ["filter"], "budget": {"cpuMilliseconds": 1000}}));
        let prepared = prepare(&component, &spec.expect("a spec")).expect("a policy");
        guests::install(&live, &format!("p{at:02}"), prepared);
    }
    let mut host = Host::new(&live, HostConfig { audit_every: 0, feeding: Feeding::AtOnce, ..HostConfig::default() });
    let profile_of_20 = host.profile("default-scheduler").expect("a profile");
    let mut snapshot = cluster(NODES);
    snapshot.want(profile_of_20.columns());
    let info = pod(&mut snapshot, 0);
    let signature = snapshot.signature(&info, profile_of_20.columns()).expect("a small pod");
    let (unit, order) = (profile_of_20.policies()[0].unit, snapshot.order().to_vec());
    let ids: Vec<u32> = profile_of_20.policies().iter().map(|policy| policy.id).collect();
    let mut ask = |snapshot: &Snapshot, policies: &[u32], rows: &[u32]| {
        let begun = now();
        let objects = Objects::default();
        let question = Question { snapshot, signature: &signature, policies, rows, objects: &objects };
        Policies::ask(&mut host, Point::Filter, unit, &question).expect("an answer");
        now().duration_since(begun)
    };
    say("first call: instance, whole mirror, all policies, all nodes", ask(&snapshot, &ids, &order));
    say("all policies, all nodes, nothing changed: one crossing", ask(&snapshot, &ids, &order));
    let mut took = Duration::ZERO;
    for id in &ids {
        took += ask(&snapshot, &[*id], &order);
    }
    say("a crossing for each policy", took);
    let mut took = Duration::ZERO;
    for row in &order[..SAMPLE] {
        for id in &ids {
            took += ask(&snapshot, &[*id], &[*row]);
        }
    }
    say(&format!("a crossing for each node and policy (from {SAMPLE} nodes)"), took * (NODES / SAMPLE) as u32);
    let mut took = Duration::ZERO;
    for at in 0..100 {
        let other = pod(&mut snapshot, 1 + at);
        let name = snapshot.node_name(order[at]).to_owned();
        snapshot.add_pod(&name, &other.uid, &other.usage);
        took += ask(&snapshot, &ids, &order[at..=at]);
    }
    say("one node changed, and is asked about: one crossing", took / 100);

    for nodes in [1000, NODES] {
        println!("\n{nodes} nodes, {PODS} identical plain pods, the built-in policies:");
        let live = world.with_built_ins().await;
        let mut host = Host::new(&live, HostConfig { feeding: Feeding::AtOnce, ..HostConfig::default() });
        let profile_in_wasm = host.profile("default-scheduler").expect("a profile");
        let wasm = decide(&world, nodes, &profile_in_wasm, &mut host);
        let native_profile = profile();
        let native = decide(&world, nodes, &native_profile, &mut Native::new(&native_profile));
        println!("  in Wasm:  {:>7.1} us a pod, {:>8.0} decisions/s", wasm, 1e6 / wasm);
        println!("  natively: {:>7.1} us a pod, {:>8.0} decisions/s; ratio {:.2}", native, 1e6 / native, wasm / native);
        for name in live.names() {
            if let Some(report) = live.slot(&name).map(|slot| slot.report()) {
                println!("  {name:<20} {:>6} calls, p50 {:?}, p99 {:?}", report.calls, report.p50, report.p99);
            }
        }
    }
}

/// Microseconds a pod.
fn decide(world: &World, nodes: usize, profile: &Profile, policies: &mut dyn Policies) -> f64 {
    let mut snapshot = cluster(nodes);
    snapshot.want(profile.columns());
    let mut cycler = Cycler::default();
    let pods: Vec<PodInfo> = (0..PODS).map(|at| pod(&mut snapshot, at)).collect();
    let begun = world.env.instant();
    for (at, info) in pods.iter().enumerate() {
        let view = snapshot.view(info, profile);
        let outcome = cycler.cycle(&snapshot, &view, profile, at as u64, 0, policies);
        match outcome.result {
            CycleResult::Placed(placed) => snapshot.add_pod(&placed.node, &info.uid, &info.usage),
            other => panic!("pod {at}: {other:?}: {}", outcome.message),
        }
    }
    world.env.instant().duration_since(begun).as_micros() as f64 / PODS as f64
}
