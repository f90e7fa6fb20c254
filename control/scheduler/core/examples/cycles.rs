//! What a cycle costs the scheduler on 5,007 nodes, with the built-in policies and with one more that wants to know each
//! pod's uid and does nothing: for a tool that counts instructions.
//!
//! `valgrind --tool=callgrind --toggle-collect='cycles::counted' target/release/examples/cycles [noop]`

#[path = "../tests/native/mod.rs"]
mod native;

use native::{Native, profile};
use sampan_scheduler_core::{
    Answer, ColumnSet, CycleResult, Cycler, FilterAnswer, Normalize, PodInfo, Point, Points, Policies, Profile,
    ProfilePolicy, Question, Snapshot, Unanswered,
};
use serde_json::json;
use std::sync::Arc;

const NODES: usize = 5_007;
/// Replicas that are placed before anything is counted, and while it is.
const WARM: usize = 5;
const REPLICAS: usize = 60;
const NOOP: u32 = 1;

/// The built-ins natively, and one that lets everything pass: its own call costs next to nothing.
struct Both(Native);

impl Policies for Both {
    fn ask(&mut self, point: Point, unit: u32, question: &Question<'_>) -> Result<Answer, Unanswered> {
        if unit == NOOP { Ok(Answer::Filter(FilterAnswer::default())) } else { self.0.ask(point, unit, question) }
    }
}

fn with_noop(policies: &[ProfilePolicy]) -> Profile {
    let noop = ProfilePolicy {
        id: 99,
        unit: NOOP,
        name: "noop".into(),
        points: Points::of([Point::Filter]),
        columns: ColumnSet::from_names(["pod.uid"]).expect("a column of the contract"),
        normalize: Normalize::None,
        ..policies[0].clone()
    };
    Profile::new("default-scheduler", [policies, &[noop]].concat(), 2)
}

fn pod(snapshot: &mut Snapshot, at: usize) -> PodInfo {
    let pod = json!({"metadata": {"name": format!("p{at}"), "namespace": "d", "uid": format!("u{at}")}, "spec": {
        "containers": [{"name": "c", "resources": {"requests": {"cpu": "100m", "memory": "100Mi"}}}]}});
    PodInfo::new(Arc::new(serde_json::from_value(pod).expect("a pod")), snapshot.strings_mut())
}

fn place(snapshot: &mut Snapshot, cycler: &mut Cycler, policies: &mut Both, profile: &Profile, pods: &[PodInfo]) {
    for (at, info) in pods.iter().enumerate() {
        let view = snapshot.view(info, profile);
        let outcome = cycler.cycle(snapshot, &view, profile, at as u64, 0, policies);
        let CycleResult::Placed(placed) = outcome.result else { panic!("pod {at}: {}", outcome.message) };
        snapshot.add_pod(&placed.node, &info.uid, &info.usage);
    }
}

/// By its name the tool finds what is counted.
#[inline(never)]
fn counted(snapshot: &mut Snapshot, cycler: &mut Cycler, policies: &mut Both, profile: &Profile, pods: &[PodInfo]) {
    place(snapshot, cycler, policies, profile, pods);
}

fn main() {
    let built_in = profile();
    let noop = std::env::args().any(|argument| argument == "noop");
    let profile = if noop { with_noop(built_in.policies()) } else { built_in };
    let mut snapshot = Snapshot::new(profile.columns());
    for at in 0..NODES {
        let name = format!("node-{at:05}");
        let node = json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}, "spec": {},
            "status": {"allocatable": {"cpu": "16", "memory": "64Gi", "pods": "110"}}});
        snapshot.set_node(Arc::new(serde_json::from_value(node).expect("a node")));
    }
    let pods: Vec<PodInfo> = (0..WARM + REPLICAS).map(|at| pod(&mut snapshot, at)).collect();
    let (mut cycler, mut policies) = (Cycler::default(), Both(Native::new(&profile)));
    place(&mut snapshot, &mut cycler, &mut policies, &profile, &pods[..WARM]);
    counted(&mut snapshot, &mut cycler, &mut policies, &profile, &pods[WARM..]);
    println!("{REPLICAS} replicas on {NODES} nodes");
}
