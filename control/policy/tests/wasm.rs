//! Policies as components: what they decide, what they may cost, what becomes of those that misbehave.

mod guests;
#[path = "../../scheduler/core/tests/native/mod.rs"]
mod native;

use guests::{World, install};
use native::{Native, profile};
use sampan_api::scheduling::{FailurePolicy, Fixture, SchedulingPolicySpec};
use sampan_policy::{
    BUILT_IN_IMAGE, Feeding, Host, HostConfig, Live, ProfileConfig, Report, built_in_policies, prepare,
};
use sampan_scheduler_core::{CycleResult, Cycler, LivePolicies, Outcome, PodInfo, Snapshot, cycle};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const QUIET: HostConfig = HostConfig { audit_every: 0, counts: true, feeding: Feeding::AtOnce, passing: false };
const AUDITED: HostConfig = HostConfig { audit_every: 1, ..QUIET };

fn node(name: &str, more: Value) -> Value {
    let mut node = json!({"metadata": {"name": name, "labels": {"zone": "z"}}, "spec": {},
        "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "20"}}});
    if let (Some(into), Some(from)) = (node["metadata"].as_object_mut(), more.as_object()) {
        into.extend(from.clone());
    }
    node
}

fn pod(name: &str, more: Value) -> Value {
    let mut metadata = json!({"name": name, "namespace": "default", "uid": name});
    if let (Some(into), Some(from)) = (metadata.as_object_mut(), more.as_object()) {
        into.extend(from.clone());
    }
    json!({"metadata": metadata, "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "100m"}}}]}})
}

/// A cluster and the scheduler's part of it.
struct Bench {
    snapshot: Snapshot,
    cycler: Cycler,
    host: Host,
    seed: u64,
}

impl Bench {
    fn new(live: &Live, nodes: &[Value], config: HostConfig) -> Self {
        let mut snapshot = Snapshot::default();
        for node in nodes {
            snapshot.set_node(Arc::new(serde_json::from_value(node.clone()).expect("a node")));
        }
        Self { snapshot, cycler: Cycler::default(), host: Host::new(live, config), seed: 0 }
    }

    fn place(&mut self, pod: &Value) -> Outcome {
        self.host.adopt();
        let profile = self.host.profile("default-scheduler").expect("the default profile");
        self.snapshot.want(profile.columns());
        let pod = serde_json::from_value(pod.clone()).expect("a pod");
        let info = PodInfo::new(Arc::new(pod), self.snapshot.strings_mut());
        let view = self.snapshot.view(&info, &profile);
        self.seed += 1;
        let outcome = self.cycler.cycle(&self.snapshot, &view, &profile, self.seed, 0, &mut self.host);
        if let CycleResult::Placed(placed) = &outcome.result {
            self.snapshot.add_pod(&placed.node.clone(), &info.uid, &info.usage);
        }
        outcome
    }
}

fn placed(outcome: &Outcome) -> Option<&str> {
    match &outcome.result {
        CycleResult::Placed(placed) => Some(&placed.node),
        _ => None,
    }
}

#[tokio::test]
async fn components_decide_what_the_same_crates_decide_natively() {
    let world = World::new();
    let live = world.with_built_ins().await;
    // Every call is audited: the policies are as pure as they say.
    let nodes: Vec<Value> = (0..40)
        .map(|at| {
            let mut node = node(&format!("n{at:02}"), json!({"labels": {"zone": format!("z{}", at % 3)}}));
            node["spec"]["unschedulable"] = json!(at % 11 == 0);
            if at % 7 == 0 {
                let effect = if at % 2 == 0 { "NoSchedule" } else { "PreferNoSchedule" };
                node["spec"]["taints"] = json!([{"key": "k", "value": "v", "effect": effect}]);
            }
            node["status"]["allocatable"]["cpu"] = json!((1 + at % 4).to_string());
            node
        })
        .collect();
    let mut bench = Bench::new(&live, &nodes, AUDITED);
    let mut native_cluster = Bench::new(&live, &nodes, QUIET);
    let native_profile = profile();
    native_cluster.snapshot.want(native_profile.columns());
    let mut native = Native::new(&native_profile);
    for at in 0..60u64 {
        let mut pod = pod(&format!("p{at}"), json!({}));
        match at % 5 {
            1 => pod["spec"]["nodeSelector"] = json!({"zone": format!("z{}", at % 4)}),
            2 => pod["spec"]["tolerations"] = json!([{"key": "k", "operator": "Equal", "value": "v"}]),
            3 => pod["spec"]["containers"][0]["ports"] = json!([{"containerPort": 80, "hostPort": 80}]),
            4 => pod["spec"]["containers"][0]["resources"]["requests"]["cpu"] = json!("1500m"),
            _ => {}
        }
        let wasm = bench.place(&pod);
        let info =
            PodInfo::new(Arc::new(serde_json::from_value(pod).expect("a pod")), native_cluster.snapshot.strings_mut());
        let view = native_cluster.snapshot.view(&info, &native_profile);
        let expected = cycle(&native_cluster.snapshot, &view, &native_profile, bench.seed, 0, &mut native);
        if let CycleResult::Placed(placed) = &expected.result {
            native_cluster.snapshot.add_pod(&placed.node.clone(), &info.uid, &info.usage);
        }
        assert_eq!(wasm.faults, []);
        let key = |o: &Outcome| (placed(o).map(str::to_owned), o.best.clone(), o.message.clone(), o.feasible);
        assert_eq!(key(&wasm), key(&expected), "pod {at}");
    }
}

#[tokio::test]
async fn a_users_policy_decides_the_next_pod_and_its_end_restores_the_old_behaviour() {
    let world = World::new();
    let live = world.with_built_ins().await;
    let nodes = [node("a", json!({"labels": {"example.com/quiet": "true"}})), node("b", json!({}))];
    let mut bench = Bench::new(&live, &nodes, QUIET);
    let noisy = |name: &str| pod(name, json!({"annotations": {"example.com/noisy": "true"}}));
    // Emptier nodes are better: one pod each.
    let first: Vec<String> =
        (0..2).map(|at| placed(&bench.place(&noisy(&format!("p{at}")))).expect("placed").to_owned()).collect();
    assert_ne!(first[0], first[1]);

    let component = world.component("quiet-nodes").await;
    let spec = SchedulingPolicySpec { weight: Some(5), ..SchedulingPolicySpec::default() };
    install(&live, "quiet-nodes", prepare(&component, &spec).expect("a good policy"));
    for at in 2..6 {
        let outcome = bench.place(&noisy(&format!("p{at}")));
        assert_eq!(placed(&outcome), Some("b"), "{outcome:?}");
        assert_eq!(outcome.refusals[0].reason.texts, ["node(s) wanted to be left in peace"]);
    }
    live.remove("quiet-nodes");
    assert_eq!(placed(&bench.place(&noisy("p6"))), Some("a"), "the emptier one again");
    assert!(live.slot("quiet-nodes").is_none());
}

#[tokio::test]
async fn what_is_not_well_formed_does_not_go_live() {
    let world = World::new();
    let quiet = world.component("quiet-nodes").await;
    let bundle = world.component("sampan-policies").await;
    let check = |component, spec: Value, expected: &str| {
        let spec: SchedulingPolicySpec = serde_json::from_value(spec).expect("a spec");
        let error = prepare(component, &spec).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(&quiet, json!({"component": "c", "policy": "Loud"}), "no policy \"Loud\"; it has QuietNodes");
    check(&bundle, json!({"component": "c"}), "name one: NodeUnschedulable");
    check(&quiet, json!({"component": "c", "points": ["permit"]}), "\"permit\" is not among the points");
    check(&quiet, json!({"component": "c", "weight": 101}), "must be between 1 and 100");
    check(&quiet, json!({"component": "c", "args": {"x": 1}}), "unknown field `x`");
    check(&quiet, json!({"component": "c", "budget": {"cpuMilliseconds": 60000}}), "at most 1000");
    check(&quiet, json!({"component": "c", "budget": {"memory": "64Ki"}}), "Memory");
    let strategy = json!({"scoringStrategy": {"type": "MostAllocated"}});
    check(&bundle, json!({"component": "c", "policy": "NodeResourcesFit", "args": strategy}), "MostAllocated");
    let fixture = |filter: &str, score: i64| Fixture {
        name: "f".into(),
        pod: pod("p", json!({"annotations": {"example.com/noisy": "true"}})),
        node: node("a", json!({"labels": {"example.com/quiet": "true"}})),
        filter: Some(filter.into()),
        score: Some(score),
    };
    let with = |fixture: Fixture| SchedulingPolicySpec { fixtures: vec![fixture], ..Default::default() };
    prepare(&quiet, &with(fixture("node(s) wanted to be left in peace", 0))).expect("its fixtures hold");
    let error = prepare(&quiet, &with(fixture("Pass", 0))).expect_err("a verdict that does not hold").to_string();
    assert!(
        error.contains("fixture \"f\": the filter says \"node(s) wanted to be left in peace\", not \"Pass\""),
        "{error}"
    );
    let error = prepare(&quiet, &with(fixture("node(s) wanted to be left in peace", 7))).expect_err("no such score");
    assert!(error.to_string().contains("the score is 0, not 7"), "{error}");
}

/// Misdeed, at which point, the causes that it may be counted under.
const MISDEEDS: [(&str, &str, &[&str]); 11] = [
    ("trap", "filter", &["Trap"]),
    ("trap", "score", &["Trap"]),
    ("loop", "filter", &["CpuBudget"]),
    ("loop", "score", &["CpuBudget"]),
    ("wait", "filter", &["Blocked"]),
    ("wait", "score", &["Blocked"]),
    ("grow", "filter", &["Memory"]),
    ("grow", "score", &["Memory"]),
    ("recurse", "filter", &["Trap"]),
    ("fill", "filter", &["CpuBudget"]),
    ("impure", "filter", &["Impure"]),
];

#[tokio::test]
async fn hostile_policies_are_contained_counted_and_suspended() {
    let world = World::new();
    let hostile = world.component("sampan-hostile-policy").await;
    let nodes: Vec<Value> = (0..5).map(|at| node(&format!("n{at}"), json!({}))).collect();
    for (what, point, causes) in MISDEEDS {
        let live = world.with_built_ins().await;
        let spec = SchedulingPolicySpec {
            args: Some(json!({"what": what, "at": point})),
            failure_policy: FailurePolicy::Ignore,
            budget: Some(sampan_api::scheduling::Budget {
                // Touching memory takes time: who grows shall meet the memory's limit first.
                cpu_milliseconds: Some(if what == "grow" { 500 } else { 10 }),
                ..Default::default()
            }),
            ..SchedulingPolicySpec::default()
        };
        install(&live, "hostile", prepare(&hostile, &spec).expect("its arguments are good"));
        let slot = live.slot("hostile").expect("live");
        let mut bench = Bench::new(&live, &nodes, AUDITED);
        let begun = world.env.instant();
        for at in 0..8 {
            let outcome = bench.place(&pod(&format!("p{at}"), json!({"labels": {"n": at.to_string()}})));
            assert!(placed(&outcome).is_some(), "{what} at {point}: pod {at} is placed all the same: {outcome:?}");
        }
        let took = world.env.instant().duration_since(begun);
        let report = slot.report();
        assert!(report.suspended, "{what} at {point}: {report:?}");
        assert!(report.faults.keys().all(|cause| causes.contains(cause)), "{what} at {point}: {report:?}");
        assert_eq!(report.faults.values().sum::<u64>(), 3, "{what} at {point}: {report:?}");
        // Three budgets, a tick and a bulk operation each, on a busy machine.
        assert!(took < Duration::from_secs(5), "{what} at {point} took {took:?}");
        let last = bench.place(&pod("last", json!({})));
        assert_eq!(last.faults, [], "{what} at {point}: nobody asks it any more");
    }
}

#[tokio::test]
async fn a_strict_policy_that_faults_holds_every_pod_back_also_while_it_is_suspended() {
    let world = World::new();
    let live = world.with_built_ins().await;
    let hostile = world.component("sampan-hostile-policy").await;
    let spec = SchedulingPolicySpec { args: Some(json!({"what": "trap", "at": "filter"})), ..Default::default() };
    install(&live, "hostile", prepare(&hostile, &spec).expect("its arguments are good"));
    let mut bench = Bench::new(&live, &[node("a", json!({}))], QUIET);
    for at in 0..3 {
        let outcome = bench.place(&pod("p", json!({})));
        assert_eq!(outcome.result, CycleResult::Failed, "try {at}");
        assert!(outcome.message.starts_with("running \"hostile\" Filter plugin: Trap: "), "{}", outcome.message);
        assert!(outcome.message.contains("as asked"), "the panic's own text is told: {}", outcome.message);
    }
    for at in 0..5 {
        let outcome = bench.place(&pod(&format!("after-{at}"), json!({})));
        assert_eq!(outcome.result, CycleResult::Held, "placed past a suspended policy that may not be left out");
        let why = "the pod waits for scheduling policy \"hostile\": suspended after 3 faults";
        assert!(outcome.message.contains(why), "{}", outcome.message);
    }
    let report = live.slot("hostile").expect("still installed").report();
    assert_eq!((report.suspended, report.faults["Trap"]), (true, 3), "it is not asked any more");
    install(&live, "hostile", prepare(&hostile, &self::hostile("nothing", "c")).expect("good arguments"));
    assert_eq!(placed(&bench.place(&pod("p", json!({})))), Some("a"), "another spec has another chance");
    let bad_start = SchedulingPolicySpec { args: Some(json!({"what": "loop", "at": "new"})), ..Default::default() };
    let error = prepare(&hostile, &bad_start).expect_err("it never starts").to_string();
    assert!(error.contains("CpuBudget"), "{error}");
}

fn hostile(what: &str, component: &str) -> SchedulingPolicySpec {
    let args = Some(json!({"what": what, "at": "filter"}));
    SchedulingPolicySpec { component: component.to_owned(), args, ..SchedulingPolicySpec::default() }
}

#[tokio::test]
async fn a_built_in_policy_that_faults_is_started_again_and_never_left_out() {
    let world = World::new();
    let (live, component) = (world.with_built_ins().await, world.component("sampan-hostile-policy").await);
    let install = |what: &str| {
        install(&live, "hostile", prepare(&component, &hostile(what, BUILT_IN_IMAGE)).expect("good arguments"));
    };
    install("trap");
    let mut bench = Bench::new(&live, &[node("a", json!({}))], QUIET);
    for at in 0..20 {
        let outcome = bench.place(&pod("p", json!({})));
        assert_eq!(outcome.result, CycleResult::Failed, "try {at}: nothing is placed without it");
    }
    let report = live.slot("hostile").expect("live").report();
    let faults = report.faults.values().sum::<u64>();
    assert!(!report.suspended && (2..20).contains(&faults), "it rests between its tries: {report:?}");
    install("nothing");
    assert_eq!(placed(&bench.place(&pod("p", json!({})))), Some("a"), "mended, it is asked at once");
}

#[tokio::test]
async fn an_explanation_is_never_held_against_a_policy() {
    let world = World::new();
    let (live, component) = (world.with_built_ins().await, world.component("sampan-hostile-policy").await);
    install(&live, "hostile", prepare(&component, &hostile("trap", "c")).expect("good arguments"));
    let mut bench = Bench::new(&live, &[node("a", json!({}))], HostConfig::EXPLAINING);
    for at in 0..5 {
        assert_eq!(bench.place(&pod("p", json!({}))).result, CycleResult::Failed, "try {at}");
    }
    for name in live.names() {
        assert_eq!(live.slot(&name).expect("live").report(), Report::default(), "{name}");
    }
}

#[tokio::test]
async fn pods_are_placed_by_a_set_that_is_ready_or_not_at_all() {
    let world = World::new();
    let live = Live::new(&world.env, vec![ProfileConfig::default()]);
    let component = world.component("sampan-policies").await;
    let mut all = built_in_policies().into_iter();
    let mut install_next = || {
        let object = all.next()?;
        let prepared = prepare(&component, &object.spec).expect("a built-in policy");
        install(&live, object.metadata.name.as_deref().expect("a name"), prepared);
        Some(())
    };
    install_next().expect("one");
    let mut host = Host::new(&live, QUIET);
    assert!(!host.ready(), "the rest is still to come");
    while install_next().is_some() {}
    live.set_ready();
    assert!(!host.ready(), "what it asks is still the first part");
    assert!(host.adopt() && host.ready());
    assert_eq!(host.set().units[0].slots.len(), built_in_policies().len());
}

#[tokio::test]
async fn slots_come_again_and_never_with_the_old_arguments() {
    let world = World::new();
    let (live, component) = (world.live(), world.component("sampan-hostile-policy").await);
    let mut bench = Bench::new(&live, &[node("a", json!({}))], QUIET);
    // Of the same component: the instance stays.
    install(&live, "keeper", prepare(&component, &hostile("nothing", "c")).expect("good arguments"));
    for round in 0..6 {
        let what = if round % 2 == 0 { "nothing" } else { "trap" };
        install(&live, "hostile", prepare(&component, &hostile(what, "c")).expect("good arguments"));
        assert_eq!(live.slot("hostile").expect("live").id, 1, "round {round}");
        let outcome = bench.place(&pod(&format!("p{round}"), json!({})));
        assert_eq!(placed(&outcome).is_some(), what == "nothing", "round {round}: {outcome:?}");
        live.remove("hostile");
    }
}

#[tokio::test]
async fn the_last_words_of_a_policy_are_bounded_and_printable() {
    let world = World::new();
    let (live, component) = (world.live(), world.component("sampan-hostile-policy").await);
    let mut bench = Bench::new(&live, &[node("a", json!({}))], QUIET);
    install(&live, "hostile", prepare(&component, &hostile("shout", "c")).expect("good arguments"));
    let message = bench.place(&pod("p", json!({}))).message;
    assert!(message.contains("unreachable") && message.contains("loud loud"), "{message}");
    assert!(message.len() < 1024 && !message.chars().any(char::is_control), "{} bytes: {message:?}", message.len());
}

/// Nodes with many labels, and pods that ask for none of them.
fn labelled(nodes: usize, labels: usize) -> Vec<Value> {
    let one = |at: usize| {
        let labels: serde_json::Map<String, Value> =
            (0..labels).map(|label| (format!("example.com/label-{label}"), json!(format!("{at}-{label}")))).collect();
        node(&format!("n{at:05}"), json!({"labels": labels}))
    };
    (0..nodes).map(one).collect()
}

#[tokio::test]
async fn a_cold_mirror_is_not_billed_to_the_question() {
    let world = World::new();
    let (live, component) = (world.live(), world.component("quiet-nodes").await);
    // Feeding so many labels takes several times this budget, the question a fraction of it.
    let spec = SchedulingPolicySpec {
        budget: Some(sampan_api::scheduling::Budget { cpu_milliseconds: Some(5), ..Default::default() }),
        ..SchedulingPolicySpec::default()
    };
    install(&live, "quiet", prepare(&component, &spec).expect("a good policy"));
    let mut bench = Bench::new(&live, &labelled(5_000, 40), QUIET);
    for at in 0..5 {
        // Each with a mirror that was fed nothing.
        bench.host.clear();
        let outcome = bench.place(&pod(&format!("p{at}"), json!({"annotations": {"n": at.to_string()}})));
        assert_eq!((placed(&outcome).is_some(), outcome.faults), (true, vec![]), "pod {at}");
    }
    let report = live.slot("quiet").expect("live").report();
    assert_eq!((report.suspended, report.faults.len()), (false, 0), "{report:?}");
}

#[tokio::test]
async fn a_mirror_that_takes_long_is_fed_beside_the_scheduling_thread() {
    let world = World::new();
    let (live, component) = (world.live(), world.component("quiet-nodes").await);
    let memory = sampan_api::scheduling::Budget { memory: Some("512Mi".into()), ..Default::default() };
    let spec = SchedulingPolicySpec { budget: Some(memory), ..SchedulingPolicySpec::default() };
    install(&live, "quiet", prepare(&component, &spec).expect("a good policy"));
    let fed = Arc::new(tokio::sync::Notify::new());
    let mut bench = Bench::new(&live, &labelled(6_000, 150), HostConfig { feeding: Feeding::Aside, ..QUIET });
    let heard = Arc::clone(&fed);
    live.on_change(move || heard.notify_one());
    let first = bench.place(&pod("first", json!({})));
    assert_eq!(first.result, CycleResult::Failed, "it may not be left out");
    assert!(first.message.contains("Feeding: its mirror of the cluster is being fed"), "{}", first.message);
    fed.notified().await;
    assert!(bench.host.adopt(), "pods that waited are tried again");
    let outcome = bench.place(&pod("p", json!({})));
    assert_eq!((placed(&outcome).is_some(), outcome.faults), (true, vec![]));
    let report = live.slot("quiet").expect("live").report();
    assert_eq!((report.calls > 0, report.faults.len()), (true, 0), "waiting is nobody's fault: {report:?}");

    // What is removed ends at once, with the thread that feeds it.
    assert_eq!(component.instances(), 1);
    bench.host.clear();
    assert_eq!(bench.place(&pod("again", json!({}))).result, CycleResult::Failed);
    live.remove("quiet");
    bench.host.adopt();
    let gone = async {
        while component.instances() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), gone).await.expect("its memory is given back");
}

#[tokio::test]
async fn a_pod_that_costs_too_much_pays_for_it_alone() {
    let world = World::new();
    let live = world.with_built_ins().await;
    let nodes: Vec<Value> = (0..1_000).map(|at| node(&format!("n{at:04}"), json!({}))).collect();
    let mut bench = Bench::new(&live, &nodes, QUIET);
    assert!(placed(&bench.place(&pod("before", json!({})))).is_some());
    // One that no policy is asked about, and one that the policies are asked about and one of them never answers.
    let big = |values: usize| {
        let mut big = pod("big", json!({}));
        let values: Vec<String> = (0..values).map(|at| format!("value-{at}")).collect();
        big["spec"]["affinity"] = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": values}]}]}}});
        big
    };
    let check = |bench: &mut Bench, values: usize, expected: &str| {
        for at in 0..6 {
            let outcome = bench.place(&big(values));
            assert_eq!(outcome.result, CycleResult::Failed, "try {at}");
            assert!(outcome.message.contains(expected), "{}", outcome.message);
        }
        for name in live.names() {
            let report = live.slot(&name).expect("live").report();
            assert_eq!((report.faults.len(), report.suspended), (0, false), "{name} pays for it: {report:?}");
        }
    };
    check(&mut bench, 200_000, "the pod is too large to be decided on: pod.node-affinity alone has 200006 words");
    assert!(placed(&bench.place(&pod("after", json!({"labels": {"n": "1"}})))).is_some(), "another pod waits for it");
    let component = world.component("sampan-hostile-policy").await;
    install(&live, "hostile", prepare(&component, &hostile("loop", "c")).expect("good arguments"));
    check(&mut bench, 5_000, "PodTooLarge: the pod's own scheduling constraints of ");
    // The same of an ordinary pod is the policy's own doing.
    assert!(bench.place(&pod("ordinary", json!({}))).message.contains("CpuBudget"));
    assert_eq!(live.slot("hostile").expect("live").report().faults["CpuBudget"], 1);
}

#[tokio::test]
async fn policies_together_take_no_more_memory_than_they_may_and_give_it_back() {
    let world = World::new();
    let live = world.with_built_ins().await;
    let component = world.component("sampan-hostile-policy").await;
    let policy = |mebibytes: u64| {
        let budget = sampan_api::scheduling::Budget { memory: Some(format!("{mebibytes}Mi")), ..Default::default() };
        let spec = SchedulingPolicySpec { budget: Some(budget), ..hostile("nothing", "c") };
        prepare(&component, &spec).expect("good arguments")
    };
    let add = |name: &str, mebibytes: u64| live.install(name, policy(mebibytes), None, None);
    add("first", 480).expect("there is room for one");
    let error = add("second", 481).expect_err("there is none for two").to_string();
    assert!(error.contains("504365056 bytes of memory are more than is left"), "{error}");
    assert!(live.slot("second").is_none());
    // The same component with the same memory is the same instance; in its own place a policy may grow.
    add("shares", 480).expect("no further instance");
    live.remove("shares");
    add("first", 500).expect("its old share is its own");

    let mut bench = Bench::new(&live, &[node("a", json!({}))], AUDITED);
    assert!(placed(&bench.place(&pod("p", json!({})))).is_some());
    assert_eq!(component.instances(), 1, "audits and checks leave none behind");
    live.remove("first");
    bench.host.adopt();
    assert_eq!(component.instances(), 0, "its memory is given back with the set that it is not part of");
    add("second", 481).expect("there is room again");
}
