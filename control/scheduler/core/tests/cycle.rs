//! The cycle with the built-in policies, natively: what it decides, in whose words, and that remembering changes nothing.

mod native;

use native::{Native, profile};
use sampan_scheduler_core::{COLUMNS, CycleResult, Cycler, Outcome, PodInfo, Snapshot, cycle, explain, pod_requests};
use sampan_testing::Dice;
use serde_json::{Value, json};
use std::sync::Arc;

fn node(name: &str, more: Value) -> Value {
    let mut node = json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "spec": {},
        "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"}},
    });
    merge(&mut node, more);
    node
}

fn pod(name: &str, spec: Value) -> Value {
    let mut pod = json!({"metadata": {"name": name, "namespace": "default", "uid": name},
        "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}]}});
    merge(&mut pod, json!({"spec": spec}));
    pod
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            from.into_iter().for_each(|(key, value)| merge(into.entry(key).or_insert(Value::Null), value));
        }
        (into, from) => *into = from,
    }
}

fn snapshot(nodes: &[Value]) -> Snapshot {
    let mut snapshot = Snapshot::new(profile().columns());
    for node in nodes {
        snapshot.set_node(Arc::new(serde_json::from_value(node.clone()).expect("a node")));
    }
    snapshot
}

fn info(snapshot: &mut Snapshot, pod: &Value) -> PodInfo {
    PodInfo::new(Arc::new(serde_json::from_value(pod.clone()).expect("a pod")), snapshot.strings_mut())
}

fn decide(snapshot: &mut Snapshot, pod: &Value, seed: u64) -> Outcome {
    let profile = profile();
    let info = info(snapshot, pod);
    let view = snapshot.view(&info, &profile);
    cycle(snapshot, &view, &profile, seed, 0, &mut Native::new(&profile))
}

fn placed(outcome: &Outcome) -> Option<&str> {
    match &outcome.result {
        CycleResult::Placed(placed) => Some(&placed.node),
        _ => None,
    }
}

#[test]
fn columns_are_the_sdks() {
    let sdk: Vec<(u32, &str)> = sampan_policy_sdk::Column::ALL.iter().map(|c| (c.id(), c.name())).collect();
    assert_eq!(sdk, COLUMNS);
}

#[test]
fn refusals_read_as_kubernetes_writes_them() {
    let mut cluster = snapshot(&[
        node("a", json!({"spec": {"unschedulable": true}})),
        node("b", json!({"spec": {"taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]}})),
        node("c", json!({"status": {"allocatable": {"cpu": "500m"}}})),
        node("d", json!({"metadata": {"labels": {"zone": "z"}}})),
    ]);
    let outcome = decide(&mut cluster, &pod("p", json!({"nodeSelector": {"zone": "y"}})), 0);
    assert_eq!(
        outcome.message,
        "0/4 nodes are available: 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable, 2 node(s) didn't \
         match Pod's node affinity/selector. preemption: 0/4 nodes are available: 4 Preemption is not helpful for \
         scheduling."
    );
    let outcome = decide(&mut cluster, &pod("p", json!({})), 0);
    assert_eq!(placed(&outcome), Some("d"));
    assert_eq!(outcome.refusals.iter().map(|r| r.count).sum::<u32>(), 3);

    let big = json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": "3500m"}}}]});
    let other = info(&mut cluster, &pod("x", json!({})));
    cluster.add_pod("d", &other.uid, &other.usage);
    let outcome = decide(&mut cluster, &pod("p", big), 0);
    assert_eq!(
        outcome.message,
        "0/4 nodes are available: 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable, 2 Insufficient cpu. \
         preemption: 0/4 nodes are available: 1 No preemption victims found for incoming pod, 3 Preemption is not \
         helpful for scheduling."
    );
    assert_eq!(decide(&mut snapshot(&[]), &pod("p", json!({})), 0).message, "no nodes available to schedule pods");
}

#[test]
fn the_emptier_node_wins_and_the_seed_breaks_ties() {
    let mut cluster = snapshot(&[node("a", json!({})), node("b", json!({})), node("c", json!({}))]);
    let other = info(&mut cluster, &pod("x", json!({})));
    cluster.add_pod("a", &other.uid, &other.usage);
    let winners: Vec<String> = (0..4)
        .map(|seed| placed(&decide(&mut cluster, &pod("p", json!({})), seed)).expect("placed").to_owned())
        .collect();
    assert_eq!(winners, ["b", "c", "b", "c"]);
    let preferred = json!({"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 1, "preference": {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a"]}]}}]}}});
    assert_eq!(placed(&decide(&mut cluster, &pod("p", preferred), 1)), Some("a"));
}

#[test]
fn the_choice_among_equals_does_not_hang_on_where_the_search_began() {
    let nodes: Vec<Value> =
        (0..7).map(|at| node(&format!("n{at}"), json!({"spec": {"unschedulable": at == 3}}))).collect();
    let mut cluster = snapshot(&nodes);
    let profile = profile();
    let info = info(&mut cluster, &pod("p", json!({})));
    let view = cluster.view(&info, &profile);
    for seed in 0..8 {
        let choices: Vec<Option<String>> = (0..7)
            .map(|start| cycle(&cluster, &view, &profile, seed, start, &mut Native::new(&profile)))
            .map(|outcome| placed(&outcome).map(str::to_owned))
            .collect();
        let by_name = ["n0", "n1", "n2", "n4", "n5", "n6"][seed as usize % 6];
        assert_eq!(choices, vec![Some(by_name.to_owned()); 7], "seed {seed}");
    }
}

#[test]
fn requests_of_bound_pods_come_and_go() {
    let mut cluster = snapshot(&[node("a", json!({}))]);
    let other = info(&mut cluster, &pod("x", json!({})));
    assert_eq!(pod_requests(&other.pod)["cpu"], 1000);
    cluster.add_pod("a", &other.uid, &other.usage);
    cluster.add_pod("a", &other.uid, &other.usage);
    assert_eq!(cluster.requested("a").iter().find(|(name, _)| *name == "cpu"), Some(&("cpu", 1000)));
    assert!(cluster.remove_pod("x") && !cluster.remove_pod("x"));
    assert_eq!(cluster.requested("a"), [], "what nobody requests is not kept");
    // Sums of users' numbers neither overflow nor lose what was added before.
    let huge = json!({"containers": [{"name": "c", "resources": {"requests": {"memory": i64::MAX.to_string()}}}]});
    let many: Vec<PodInfo> = (0..3).map(|at| info(&mut cluster, &pod(&format!("huge-{at}"), huge.clone()))).collect();
    many.iter().for_each(|info| cluster.add_pod("a", &info.uid, &info.usage));
    cluster.add_pod("a", &other.uid, &other.usage);
    let memory = |cluster: &Snapshot| {
        cluster.requested("a").iter().find(|(name, _)| *name == "memory").map(|(_, amount)| *amount)
    };
    assert_eq!(memory(&cluster), Some(i64::MAX));
    many.iter().for_each(|info| assert!(cluster.remove_pod(&info.uid)));
    assert_eq!(memory(&cluster), Some(1 << 30));
    cluster.remove_pod(&other.uid);
    // A pod that names a node that is not there yet counts once it comes.
    cluster.add_pod("late", &other.uid, &other.usage);
    assert_eq!(cluster.order().len(), 1);
    cluster.set_node(Arc::new(serde_json::from_value(node("late", json!({}))).expect("a node")));
    assert_eq!(cluster.requested("late").iter().find(|(name, _)| *name == "cpu"), Some(&("cpu", 1000)));
}

#[test]
fn remembering_changes_no_decision_and_explaining_agrees() {
    for seed in 0..60 {
        let mut dice = Dice::new(seed);
        let mut profile = profile();
        profile.percentage_of_nodes_to_score = [None, Some(40)][dice.roll(2) as usize];
        let mut cluster = snapshot(&[]);
        let (mut warm, mut warm_policies) = (Cycler::default(), Native::new(&profile));
        let (mut bound, mut start): (Vec<Arc<str>>, u32) = (Vec::new(), 0);
        for step in 0..80 {
            match dice.roll(6) {
                0 | 1 => {
                    let name = format!("n{}", dice.roll(160));
                    let zone = format!("z{}", dice.roll(3));
                    let cordoned = dice.roll(8) == 0;
                    let taint = ["NoSchedule", "PreferNoSchedule", "NoExecute"][dice.roll(3) as usize];
                    let taints = if dice.roll(4) == 0 { json!([{"key": "k", "effect": taint}]) } else { json!([]) };
                    let node = node(
                        &name,
                        json!({"metadata": {"labels": {"zone": zone}},
                               "spec": {"unschedulable": cordoned, "taints": taints},
                               "status": {"allocatable": {"cpu": (1 + dice.roll(4)).to_string()}}}),
                    );
                    cluster.set_node(Arc::new(serde_json::from_value(node).expect("a node")));
                }
                2 if dice.roll(3) == 0 => cluster.remove_node(&format!("n{}", dice.roll(160))),
                3 if !bound.is_empty() => {
                    let uid = bound.swap_remove(dice.roll(bound.len() as u64) as usize);
                    cluster.remove_pod(&uid);
                }
                _ => {}
            }
            let spec = match dice.roll(4) {
                0 => json!({"nodeSelector": {"zone": format!("z{}", dice.roll(4))}}),
                1 => json!({"tolerations": [{"key": "k", "operator": "Exists"}]}),
                2 => json!({"containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 80}]}]}),
                _ => json!({}),
            };
            let info = info(&mut cluster, &pod(&format!("p{step}"), spec));
            let view = cluster.view(&info, &profile);
            let luck = dice.roll(u64::MAX);
            let cold = cycle(&cluster, &view, &profile, luck, start, &mut Native::new(&profile));
            let again = warm.cycle(&cluster, &view, &profile, luck, start, &mut warm_policies);
            // Reasons may be numbered in another order.
            let key = |o: &Outcome| (o.result.clone(), o.feasible, o.best.clone(), o.message.clone(), o.next_start);
            assert_eq!(key(&cold), key(&again), "seed {seed} step {step}");
            let matrix = explain(&cluster, &view, &profile, luck, start, &mut Native::new(&profile));
            assert_eq!(key(&matrix.outcome), key(&cold), "seed {seed} step {step}");
            if profile.percentage_of_nodes_to_score.is_none() {
                let feasible = matrix.rows.iter().filter(|row| row.feasible).count();
                assert_eq!(feasible as u32, cold.feasible, "seed {seed} step {step}");
            }
            start = cold.next_start;
            if let Some(node) = placed(&cold).map(str::to_owned) {
                let row = matrix.rows.iter().find(|row| row.node == node).expect("the winner has a row");
                assert!(row.feasible, "seed {seed} step {step}");
                cluster.add_pod(&node, &info.uid, &info.usage);
                bound.push(info.uid.clone());
            }
        }
    }
}

#[test]
fn an_identical_replica_asks_only_about_what_changed() {
    let nodes: Vec<Value> = (0..50).map(|at| node(&format!("n{at:02}"), json!({}))).collect();
    let mut cluster = snapshot(&nodes);
    let profile = profile();
    let (mut cycler, mut policies) = (Cycler::default(), Native::new(&profile));
    for at in 0..10 {
        let info = info(&mut cluster, &pod(&format!("p{at}"), json!({})));
        let view = cluster.view(&info, &profile);
        policies.asked.clear();
        let outcome = cycler.cycle(&cluster, &view, &profile, at, 0, &mut policies);
        assert_eq!(policies.asked, if at == 0 { [50, 50] } else { [1, 1] }, "pod {at}");
        cluster.add_pod(placed(&outcome).expect("placed"), &info.uid, &info.usage);
    }
}
