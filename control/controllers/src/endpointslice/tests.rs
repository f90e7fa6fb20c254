use super::*;
use sampan_api::k8s::api::discovery::v1::EndpointSlice;
use serde_json::{Value, json};
use std::sync::Arc;

fn service(spec: Value) -> Service {
    let mut value = json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "web", "labels": {"a": "b"}},
        "spec": {"clusterIP": "127.96.0.9", "ipFamilies": ["IPv4"], "selector": {"app": "web"},
            "ports": [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}]},
    });
    for (key, one) in spec.as_object().into_iter().flatten() {
        value["spec"][key] = one.clone();
    }
    serde_json::from_value(value).expect("a Service")
}

/// `number state`: `ready`, `unready`, `going`. On the node `n` of the zone `z`; number 999 is on one that is not known.
fn pod(number: usize, state: &str) -> Arc<Pod> {
    let name = format!("p{number:03}");
    let ready = if state == "unready" { "False" } else { "True" };
    let mut value = json!({
        "metadata": {"name": name, "namespace": "shop", "uid": name},
        "spec": {"nodeName": if number == 999 { "gone" } else { "n" }, "containers": []},
        "status": {"phase": "Running", "podIPs": [{"ip": format!("10.0.{}.{}", number / 250, number % 250 + 1)}],
            "conditions": [{"type": "Ready", "status": ready}]},
    });
    if state == "going" {
        value["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    }
    Arc::new(serde_json::from_value(value).expect("a pod"))
}

fn node(name: &str) -> Option<Arc<Node>> {
    let node = json!({"metadata": {"name": "n", "labels": {"topology.kubernetes.io/zone": "z"}}});
    (name == "n").then(|| Arc::new(serde_json::from_value(node).expect("a node")))
}

fn ready(numbers: std::ops::Range<usize>) -> Vec<Arc<Pod>> {
    numbers.map(|number| pod(number, "ready")).collect()
}

/// The slices after the changes, as a server would have them; new ones are `made-N`.
fn after(slices: &[Arc<EndpointSlice>], changes: &Changes) -> Vec<Arc<EndpointSlice>> {
    let deleted = |name: &Option<String>| changes.delete.iter().any(|one| one.metadata.name == *name);
    let mut all: Vec<Arc<EndpointSlice>> = slices.iter().filter(|one| !deleted(&one.metadata.name)).cloned().collect();
    for new in &changes.update {
        let old = all.iter_mut().find(|one| one.metadata.name == new.metadata.name);
        match old {
            Some(old) => *old = Arc::new(new.clone()),
            None => all.push(Arc::new(new.clone())),
        }
    }
    for new in &changes.create {
        let mut new = new.clone();
        new.metadata.name = Some(format!("made-{}", all.len()));
        all.push(Arc::new(new));
    }
    all
}

fn counts(slices: &[Arc<EndpointSlice>]) -> Vec<usize> {
    let mut counts: Vec<usize> = slices.iter().map(|one| one.endpoints.len()).collect();
    counts.sort_unstable();
    counts
}

fn numbers(changes: &Changes) -> (usize, usize, usize) {
    (changes.create.len(), changes.update.len(), changes.delete.len())
}

#[test]
fn endpoints_fill_slices_that_change_as_little_as_can_be() {
    let service = service(json!({}));
    let mut slices: Vec<Arc<EndpointSlice>> = Vec::new();
    let mut step = |pods: &[Arc<Pod>], writes: (usize, usize, usize), expected: &[usize]| {
        let (changes, left_out) = plan(&service, pods, node, &slices);
        assert_eq!((numbers(&changes), left_out.len()), (writes, 0), "{expected:?}");
        slices = after(&slices, &changes);
        assert_eq!(counts(&slices), expected);
        assert_eq!(numbers(&plan(&service, pods, node, &slices).0), (0, 0, 0), "then nothing is left to do");
    };
    step(&[], (1, 0, 0), &[0]);
    // The empty slice's name is taken over.
    step(&ready(0..3), (0, 1, 0), &[3]);
    step(&ready(0..4), (0, 1, 0), &[4]);
    step(&ready(0..250), (2, 1, 0), &[50, 100, 100]);
    let but_one: Vec<Arc<Pod>> =
        ready(0..250).into_iter().filter(|one| one.metadata.name.as_deref() != Some("p200")).collect();
    step(&but_one, (0, 1, 0), &[50, 99, 100]);
    step(&ready(0..2), (0, 1, 2), &[2]);
    step(&[], (0, 1, 0), &[0]);
}

#[test]
fn an_endpoint_says_how_its_pod_is() {
    let check = |spec: Value, state: &str, expected: (bool, bool, bool)| {
        let (changes, _) = plan(&service(spec), &[pod(1, state)], node, &[]);
        let endpoint = &changes.create[0].endpoints[0];
        let conditions = endpoint.conditions.clone().expect("conditions");
        assert_eq!(
            (conditions.ready, conditions.serving, conditions.terminating),
            (Some(expected.0), Some(expected.1), Some(expected.2)),
            "{state}"
        );
        assert_eq!((endpoint.zone.as_deref(), endpoint.node_name.as_deref()), (Some("z"), Some("n")));
        assert_eq!(endpoint.target_ref.as_ref().and_then(|of| of.uid.as_deref()), Some("p001"));
    };
    check(json!({}), "ready", (true, true, false));
    check(json!({}), "unready", (false, false, false));
    check(json!({}), "going", (false, true, true));
    check(json!({"publishNotReadyAddresses": true}), "unready", (true, false, false));
    check(json!({"publishNotReadyAddresses": true}), "going", (true, true, true));
}

#[test]
fn a_slice_is_its_services() {
    let check = |spec: Value, headless: bool, ports: usize| {
        let (changes, _) = plan(&service(spec), &ready(0..1), node, &[]);
        let slice = &changes.create[0];
        let labels = slice.metadata.labels.clone().expect("labels");
        assert_eq!(
            (labels["a"].as_str(), labels[SERVICE_NAME].as_str(), labels[MANAGED_BY].as_str()),
            ("b", "web", MANAGER)
        );
        assert_eq!(labels.contains_key("service.kubernetes.io/headless"), headless);
        assert_eq!(slice.metadata.generate_name.as_deref(), Some("web-"));
        assert_eq!(slice.metadata.owner_references.as_ref().expect("an owner")[0].uid, "web");
        assert_eq!(slice.ports.as_ref().map_or(0, Vec::len), ports);
    };
    check(json!({}), false, 1);
    check(json!({"clusterIP": "None"}), true, 1);
    check(json!({"clusterIP": "None", "ports": []}), true, 0);
}

#[test]
fn other_ports_labels_families_and_owners_are_other_slices() {
    let (first, pods) = (service(json!({})), ready(0..2));
    let slices = after(&[], &plan(&first, &pods, node, &[]).0);
    let check = |what: &str, service: &Service, slices: &[Arc<EndpointSlice>], expected: (usize, usize, usize)| {
        assert_eq!(numbers(&plan(service, &pods, node, slices).0), expected, "{what}");
    };
    let ports = json!({"ports": [{"name": "http", "port": 80, "targetPort": 9090, "protocol": "TCP"}]});
    check("another port takes the name over", &service(ports), &slices, (0, 1, 0));
    let mut relabelled = first.clone();
    relabelled.metadata.labels = None;
    check("other labels", &relabelled, &slices, (0, 1, 0));
    check("another family", &service(json!({"ipFamilies": ["IPv6"]})), &slices, (1, 0, 1));
    let mut stranger = (*slices[0]).clone();
    stranger.metadata.owner_references.as_mut().expect("an owner")[0].uid = "former".into();
    check("a former Service's", &first, &[Arc::new(stranger)], (1, 0, 1));
    let mut going = first.clone();
    going.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).ok();
    check("a Service that is going gets none", &going, &[], (0, 0, 0));
}

#[test]
fn a_pod_of_an_unknown_node_waits_for_it() {
    let pods = [pod(1, "ready"), pod(999, "ready")];
    let (changes, left_out) = plan(&service(json!({})), &pods, node, &[]);
    assert_eq!(changes.create[0].endpoints.len(), 1);
    assert_eq!(left_out, ["skipping Pod p999 for Service shop/web: Node gone Not Found"]);
    let (changes, left_out) = plan(&service(json!({"publishNotReadyAddresses": true})), &pods, node, &[]);
    assert_eq!((changes.create[0].endpoints.len(), left_out.len()), (2, 0));
}

#[test]
fn who_prefers_what_is_near_is_told_what_is() {
    let check = |distribution: Value, state: &str, expected: Value| {
        let service = service(json!({"trafficDistribution": distribution}));
        let (changes, _) = plan(&service, &[pod(1, state)], node, &[]);
        let hints = serde_json::to_value(&changes.create[0].endpoints[0].hints).expect("JSON");
        assert_eq!(hints, expected, "{distribution} {state}");
    };
    check(Value::Null, "ready", Value::Null);
    check(json!("PreferClose"), "ready", json!({"forZones": [{"name": "z"}]}));
    check(json!("PreferSameZone"), "ready", json!({"forZones": [{"name": "z"}]}));
    check(json!("PreferSameNode"), "ready", json!({"forZones": [{"name": "z"}], "forNodes": [{"name": "n"}]}));
    check(json!("PreferClose"), "unready", Value::Null);
}
