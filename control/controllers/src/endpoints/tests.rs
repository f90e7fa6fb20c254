use super::*;
use sampan_api::k8s::api::core::v1::EndpointSubset;
use serde_json::{Value, json};
use std::sync::Arc;

fn service(more: Value) -> Service {
    let mut value = json!({
        "metadata": {"name": "web", "namespace": "shop", "labels": {"a": "b"}},
        "spec": {"clusterIP": "127.96.0.9", "ipFamilies": ["IPv4"], "selector": {"app": "web"},
            "ports": [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}]},
    });
    for (key, one) in more.as_object().into_iter().flatten() {
        value["spec"][key] = one.clone();
    }
    serde_json::from_value(value).expect("a Service")
}

/// `name ip state`: `ready`, `unready`, `going` (ready), `done`.
fn pod(text: &str) -> Arc<Pod> {
    let words: Vec<&str> = text.split(' ').collect();
    let [name, ip, state] = words[..] else { panic!("three words: {text}") };
    let ready = if state == "unready" { "False" } else { "True" };
    let mut value = json!({
        "metadata": {"name": name, "namespace": "shop", "uid": name, "labels": {"app": "web"}},
        "spec": {"nodeName": "n", "hostname": name, "subdomain": "web",
            "containers": [{"name": "c", "ports": [{"name": "web", "containerPort": 9000, "protocol": "TCP"}]}]},
        "status": {"phase": if state == "done" { "Succeeded" } else { "Running" },
            "conditions": [{"type": "Ready", "status": ready}]},
    });
    if ip != "-" {
        value["status"]["podIP"] = ip.into();
        value["status"]["podIPs"] = json!([{"ip": ip}]);
    }
    if state == "going" {
        value["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    }
    Arc::new(serde_json::from_value(value).expect("a pod"))
}

fn pods(texts: &[&str]) -> Vec<Arc<Pod>> {
    texts.iter().map(|text| pod(text)).collect()
}

/// `ready,ready|unready:port,port`, a subset a word.
fn shown(subsets: &[EndpointSubset]) -> String {
    let one = |subset: &EndpointSubset| {
        let ips = |list: &Option<Vec<sampan_api::k8s::api::core::v1::EndpointAddress>>| {
            list.iter().flatten().map(|one| one.ip.clone()).collect::<Vec<_>>().join(",")
        };
        let ports: Vec<String> = subset.ports.iter().flatten().map(|port| port.port.to_string()).collect();
        format!("{}|{}:{}", ips(&subset.addresses), ips(&subset.not_ready_addresses), ports.join(","))
    };
    subsets.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[test]
fn pods_are_endpoints_as_they_are_ready() {
    let check = |spec: Value, texts: &[&str], expected: &str| {
        assert_eq!(shown(&subsets(&service(spec), &pods(texts))), expected, "{texts:?}");
    };
    let two =
        json!({"ports": [{"name": "a", "port": 1, "targetPort": 8080}, {"name": "b", "port": 2, "targetPort": 8081}]});
    check(json!({}), &[], "");
    check(json!({}), &["a 10.0.0.2 ready", "b 10.0.0.1 ready"], "10.0.0.1,10.0.0.2|:8080");
    check(json!({}), &["a 10.0.0.1 ready", "b 10.0.0.2 unready"], "10.0.0.1|10.0.0.2:8080");
    check(json!({}), &["a 10.0.0.1 going", "b - ready", "c 10.0.0.3 done"], "");
    check(
        json!({"publishNotReadyAddresses": true}),
        &["a 10.0.0.1 going", "b 10.0.0.2 unready"],
        "10.0.0.1,10.0.0.2|:8080",
    );
    check(two, &["a 10.0.0.1 ready"], "10.0.0.1|:8080,8081");
    check(
        json!({"ports": [{"port": 80, "targetPort": "web", "protocol": "TCP"}]}),
        &["a 10.0.0.1 ready"],
        "10.0.0.1|:9000",
    );
    check(json!({"ports": [{"port": 80, "targetPort": "none", "protocol": "TCP"}]}), &["a 10.0.0.1 ready"], "");
    check(json!({"clusterIP": "None", "ports": []}), &["a 10.0.0.1 ready"], "10.0.0.1|:");
    check(json!({"ipFamilies": ["IPv6"]}), &["a 10.0.0.1 ready", "b ::1 ready"], "::1|:8080");
    let named = subsets(&service(json!({})), &pods(&["a 10.0.0.1 ready"]));
    assert_eq!(named[0].addresses.as_ref().expect("one")[0].hostname.as_deref(), Some("a"));
}

#[test]
fn what_is_right_is_left_alone() {
    let (service, all) = (service(json!({})), pods(&["a 10.0.0.1 ready"]));
    let made = wanted(&service, None, subsets(&service, &all), None).expect("made");
    let labels = made.metadata.labels.clone().expect("labels");
    assert_eq!((labels["a"].as_str(), labels[MANAGED_BY].as_str()), ("b", MANAGER));
    assert!(wanted(&service, Some(&made), subsets(&service, &all), None).is_none());
    let other_version = {
        let mut other = made.clone();
        let address = &mut other.subsets.as_mut().expect("one")[0].addresses.as_mut().expect("one")[0];
        address.target_ref.as_mut().expect("a pod").resource_version = Some("7".into());
        other
    };
    assert!(wanted(&service, Some(&other_version), subsets(&service, &all), None).is_none());
    assert!(wanted(&service, Some(&made), Vec::new(), None).is_some(), "the pod is gone");
    let mut stranger = made;
    stranger.metadata.labels = None;
    assert!(wanted(&service, Some(&stranger), subsets(&service, &all), None).is_some(), "it has no manager");
}

#[test]
fn a_thousand_addresses_at_most_ready_ones_first() {
    let check = |ready: usize, unready: usize, expected: (usize, usize, bool)| {
        let text = |index: usize, state: &str| format!("p{index} 10.1.{}.{} {state}", index / 250, index % 250);
        let texts: Vec<String> =
            (0..ready + unready).map(|index| text(index, if index < ready { "ready" } else { "unready" })).collect();
        let all: Vec<Arc<Pod>> = texts.iter().map(|text| pod(text)).collect();
        let service = service(json!({}));
        let made = wanted(&service, None, subsets(&service, &all), None).expect("made");
        let (mut one, mut two) = (0, 0);
        for subset in made.subsets.iter().flatten() {
            one += subset.addresses.as_ref().map_or(0, Vec::len);
            two += subset.not_ready_addresses.as_ref().map_or(0, Vec::len);
        }
        let told =
            made.metadata.annotations.expect("annotations").contains_key("endpoints.kubernetes.io/over-capacity");
        assert_eq!((one, two, told), expected, "{ready} {unready}");
    };
    check(1000, 0, (1000, 0, false));
    check(1001, 5, (1000, 0, true));
    check(990, 20, (990, 10, true));
}
