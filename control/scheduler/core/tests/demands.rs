//! What a pod demands and nothing acts on keeps it pending, by name; what it brings too much of fails it alone.

mod native;

use native::{Native, profile};
use sampan_scheduler_core::{CycleResult, Outcome, PodInfo, Snapshot, cycle, limits, unserved};
use serde_json::{Value, json};
use std::sync::Arc;

fn decide(priority: i32, spec: &Value, others: &[(&str, i32)]) -> Outcome {
    let profile = profile();
    let mut snapshot = Snapshot::new(profile.columns());
    for name in ["a", "b"] {
        let node = json!({"metadata": {"name": name, "labels": {"zone": "z"}},
            "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"}}});
        snapshot.set_node(Arc::new(serde_json::from_value(node).expect("a node")));
    }
    let mut info = |name: &str, priority: i32, more: &Value| {
        let mut pod = json!({"metadata": {"name": name, "namespace": "d", "uid": name},
            "spec": {"priority": priority, "containers": [{"name": "c"}]}});
        for (key, value) in more.as_object().into_iter().flatten() {
            pod["spec"][key] = value.clone();
        }
        PodInfo::new(Arc::new(serde_json::from_value(pod).expect("a pod")), snapshot.strings_mut())
    };
    let pod = info("p", priority, spec);
    let big = json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": "4"}}}]});
    let others: Vec<(String, PodInfo)> = others
        .iter()
        .map(|(node, priority)| ((*node).to_owned(), info(&format!("on-{node}"), *priority, &big)))
        .collect();
    others.iter().for_each(|(node, info)| snapshot.add_pod(node, &info.uid, &info.usage));
    let view = snapshot.view(&pod, &profile);
    cycle(&snapshot, &view, &profile, 0, 0, &mut Native::new(&profile))
}

#[test]
fn a_demand_that_nothing_acts_on_keeps_the_pod_pending_by_name() {
    let term = json!([{"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "x"}}}]);
    let preferred = json!([{"weight": 1, "podAffinityTerm": term[0]}]);
    let spread = |how: &str| {
        json!({"topologySpreadConstraints": [{"maxSkew": 1, "minDomains": null, "topologyKey": "zone",
            "whenUnsatisfiable": how}]})
    };
    let volume = |source: Value| json!({"volumes": [{"name": "plain", "emptyDir": {}}, source]});
    let affinity = |kind: &str, how: &str, terms: &Value| json!({"affinity": {kind: {how: terms}}});
    let (required, soft) =
        ("requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution");
    for (spec, named) in [
        (
            affinity("podAffinity", required, &term),
            Some(format!("spec.affinity.podAffinity.{required} (InterPodAffinity)")),
        ),
        (
            affinity("podAntiAffinity", required, &term),
            Some(format!("spec.affinity.podAntiAffinity.{required} (InterPodAffinity)")),
        ),
        (affinity("podAffinity", soft, &preferred), None),
        (affinity("podAntiAffinity", soft, &preferred), None),
        (affinity("podAffinity", required, &json!([])), None),
        (
            spread("DoNotSchedule"),
            Some("spec.topologySpreadConstraints[0] whenUnsatisfiable=DoNotSchedule (PodTopologySpread)".to_owned()),
        ),
        (spread("ScheduleAnyway"), None),
        (
            volume(json!({"name": "v", "persistentVolumeClaim": {"claimName": "absent"}})),
            Some("spec.volumes[1].persistentVolumeClaim \"absent\" (VolumeBinding)".to_owned()),
        ),
        (volume(json!({"name": "v", "ephemeral": {}})), Some("spec.volumes[1].ephemeral (VolumeBinding)".to_owned())),
        (
            volume(json!({"name": "v", "csi": {"driver": "d"}})),
            Some("spec.volumes[1].csi (NodeVolumeLimits)".to_owned()),
        ),
        (
            volume(json!({"name": "v", "gcePersistentDisk": {"pdName": "d"}})),
            Some("spec.volumes[1].gcePersistentDisk (VolumeRestrictions)".to_owned()),
        ),
        (
            volume(json!({"name": "v", "awsElasticBlockStore": {"volumeID": "d"}})),
            Some("spec.volumes[1].awsElasticBlockStore (VolumeRestrictions)".to_owned()),
        ),
        (
            volume(json!({"name": "v", "iscsi": {"iqn": "i", "lun": 0, "targetPortal": "t"}})),
            Some("spec.volumes[1].iscsi (VolumeRestrictions)".to_owned()),
        ),
        (
            volume(json!({"name": "v", "rbd": {"image": "i", "monitors": []}})),
            Some("spec.volumes[1].rbd (VolumeRestrictions)".to_owned()),
        ),
        (
            volume(json!({"name": "v", "azureDisk": {"diskName": "d", "diskURI": "u"}})),
            Some("spec.volumes[1].azureDisk (NodeVolumeLimits)".to_owned()),
        ),
        (
            volume(json!({"name": "v", "cinder": {"volumeID": "d"}})),
            Some("spec.volumes[1].cinder (NodeVolumeLimits)".to_owned()),
        ),
        (volume(json!({"name": "v", "configMap": {"name": "c"}})), None),
        (volume(json!({"name": "v", "hostPath": {"path": "/"}})), None),
        (
            json!({"resourceClaims": [{"name": "gpu", "resourceClaimName": "one"}]}),
            Some("spec.resourceClaims \"gpu\" (DynamicResources)".to_owned()),
        ),
        (json!({"nodeSelector": {"zone": "z"}}), None),
        (json!({"overhead": {"cpu": "1"}}), None),
        (json!({"containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 80}]}]}), None),
    ] {
        let outcome = decide(0, &spec, &[]);
        match named {
            None => assert!(matches!(outcome.result, CycleResult::Placed(_)), "{spec}: {}", outcome.message),
            Some(named) => {
                assert_eq!(outcome.result, CycleResult::Held, "{spec}");
                let message =
                    format!("0/2 nodes are available: the pod demands what no scheduling policy serves yet: {named}.");
                assert_eq!(outcome.message, message, "{spec}");
            }
        }
    }
}

#[test]
fn many_demands_make_no_long_message() {
    let claims: Vec<Value> = (0..5000).map(|at| json!({"name": format!("c{at}"), "resourceClaimName": "r"})).collect();
    let spec = json!({"resourceClaims": claims});
    let outcome = decide(0, &spec, &[]);
    assert!(outcome.message.len() < limits::MESSAGE_BYTES && outcome.message.contains(", and 4992 more"));
    let pod = json!({"spec": {"containers": []}});
    assert_eq!(unserved(&serde_json::from_value(pod).expect("a pod")), []);
}

#[test]
fn what_a_pod_brings_too_much_of_fails_that_pod_alone() {
    let not_in = |count: usize| {
        let values: Vec<String> = (0..count).map(|at| format!("value-{at}")).collect();
        json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms":
            [{"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": values}]}]}}}})
    };
    let tolerations: Vec<Value> =
        (0..30_000).map(|at| json!({"key": format!("k{at}"), "operator": "Exists"})).collect();
    let selector: serde_json::Map<String, Value> = (0..50_000).map(|at| (format!("k{at}"), json!("v"))).collect();
    let ports: Vec<Value> = (0..30_000).map(|at| json!({"containerPort": 80, "hostPort": at + 1})).collect();
    let requests: serde_json::Map<String, Value> =
        (0..50_000).map(|at| (format!("example.com/r{at}"), json!("1"))).collect();
    for (spec, column) in [
        (not_in(220_000), "pod.node-affinity"),
        (json!({"tolerations": tolerations}), "pod.tolerations"),
        (json!({"nodeSelector": selector}), "pod.node-selector"),
        (json!({"containers": [{"name": "c", "ports": ports}]}), "pod.ports"),
        (json!({"containers": [{"name": "c", "resources": {"requests": requests}}]}), "pod.requests"),
        (json!({"nodeSelector": {"k": "x".repeat(limits::POD_TEXT_BYTES + 1)}}), "pod.node-selector"),
    ] {
        let outcome = decide(0, &spec, &[]);
        assert_eq!(outcome.result, CycleResult::Failed, "{column}");
        let expected = format!("the pod is too large to be decided on: {column} alone has ");
        assert!(outcome.message.starts_with(&expected), "{column}: {}", outcome.message);
        assert_eq!(outcome.faults, [], "{column}: no policy was asked");
    }
    let large = decide(0, &not_in(20_000), &[]);
    assert!(matches!(large.result, CycleResult::Placed(_)), "a large one that is not too large: {}", large.message);
}

#[test]
fn whether_anyone_looked_for_victims_is_said() {
    let big = json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": "2"}}}]});
    let head = "0/2 nodes are available: 2 Insufficient cpu. ";
    let none = "preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.";
    for (priority, others, expected) in [
        (0, [("a", 0), ("b", 0)], none.to_owned()),
        (5, [("a", 5), ("b", 9)], none.to_owned()),
        (
            6,
            [("a", 5), ("b", 9)],
            "preemption: not attempted: 1 node(s) have pods of lower priority, and no policy evicts pods yet."
                .to_owned(),
        ),
    ] {
        let outcome = decide(priority, &big, &others);
        assert_eq!(outcome.message, format!("{head}{expected}"), "{priority} {others:?}");
    }
}
