use super::*;
use sampan_api::k8s::api::discovery::v1::EndpointSlice;
use serde_json::{Value, json};
use std::sync::Arc;

fn endpoints(subsets: Value) -> Endpoints {
    serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "e", "labels": {"a": "b"}, "annotations": {
            "mine": "kept", "endpoints.kubernetes.io/last-change-trigger-time": "2026-01-01T00:00:00Z"}},
        "subsets": subsets,
    }))
    .expect("Endpoints")
}

fn subset(addresses: &[&str], unready: &[&str], port: u16) -> Value {
    let list = |ips: &[&str]| ips.iter().map(|ip| json!({"ip": ip})).collect::<Vec<Value>>();
    json!({"addresses": list(addresses), "notReadyAddresses": list(unready),
        "ports": [{"name": "p", "port": port, "protocol": "TCP"}]})
}

/// The slices that the changes make of nothing.
fn made(changes: &Changes) -> Vec<Arc<EndpointSlice>> {
    let named = changes.create.iter().enumerate().map(|(at, slice)| {
        let mut slice = slice.clone();
        slice.metadata.name = Some(format!("made-{at}"));
        Arc::new(slice)
    });
    named.collect()
}

#[test]
fn each_family_and_list_of_ports_has_a_slice() {
    let check = |subsets: Value, expected: &[&str]| {
        let (changes, skipped) = plan(&endpoints(subsets), &[]);
        let shown = |slice: &EndpointSlice| {
            let ready = |one: &sampan_api::k8s::api::discovery::v1::Endpoint| {
                one.conditions.as_ref().and_then(|conditions| conditions.ready) == Some(true)
            };
            let all: Vec<String> = slice
                .endpoints
                .iter()
                .map(|one| format!("{}{}", one.addresses[0], if ready(one) { "" } else { "!" }))
                .collect();
            let ports: Vec<String> =
                slice.ports.iter().flatten().filter_map(|port| port.port).map(|port| port.to_string()).collect();
            format!("{} {} {}", slice.address_type, all.join(","), ports.join(","))
        };
        let mut got: Vec<String> = changes.create.iter().map(shown).collect();
        got.sort();
        assert_eq!((got, skipped), (expected.iter().map(|text| (*text).to_owned()).collect(), Skipped::default()));
    };
    check(json!([]), &[]);
    check(json!([subset(&["10.1.2.3"], &["10.1.2.4"], 80)]), &["IPv4 10.1.2.3,10.1.2.4! 80"]);
    check(json!([subset(&["10.1.2.3", "fd00::1"], &[], 80)]), &["IPv4 10.1.2.3 80", "IPv6 fd00::1 80"]);
    check(
        json!([subset(&["10.1.2.3"], &[], 80), subset(&["10.1.2.9"], &[], 81)]),
        &["IPv4 10.1.2.3 80", "IPv4 10.1.2.9 81"],
    );
}

#[test]
fn a_mirror_follows_and_is_left_alone_when_it_is_right() {
    let first = endpoints(json!([subset(&["10.1.2.3"], &[], 80)]));
    let slices = made(&plan(&first, &[]).0);
    let labels = slices[0].metadata.labels.clone().expect("labels");
    assert_eq!(labels["endpointslice.kubernetes.io/managed-by"], MANAGER);
    assert_eq!((labels["a"].as_str(), labels["kubernetes.io/service-name"].as_str()), ("b", "web"));
    let annotations = slices[0].metadata.annotations.clone().expect("annotations");
    assert_eq!(annotations.keys().collect::<Vec<_>>(), ["mine"]);
    let check = |endpoints: &Endpoints, expected: (usize, usize, usize)| {
        let (changes, _) = plan(endpoints, &slices);
        assert_eq!((changes.create.len(), changes.update.len(), changes.delete.len()), expected, "{endpoints:?}");
    };
    check(&first, (0, 0, 0));
    check(&endpoints(json!([subset(&["10.1.2.4"], &[], 80)])), (0, 1, 0));
    check(&endpoints(json!([subset(&["10.1.2.3"], &[], 81)])), (0, 1, 0));
    check(&endpoints(json!([subset(&["fd00::1"], &[], 80)])), (1, 0, 1));
    check(&endpoints(json!([])), (0, 0, 1));
    let mut relabelled = first.clone();
    relabelled.metadata.labels = None;
    check(&relabelled, (0, 1, 0));
    let mut another = first.clone();
    another.metadata.uid = Some("f".into());
    check(&another, (0, 1, 0));
}

#[test]
fn what_says_so_is_not_mirrored_and_a_subset_only_to_a_bound() {
    let mut one = endpoints(json!([]));
    assert!(is_mirrored(&one));
    one.metadata.labels.get_or_insert_default().insert("endpointslice.kubernetes.io/skip-mirror".into(), "true".into());
    assert!(!is_mirrored(&one));
    let mut one = endpoints(json!([]));
    one.metadata.annotations.get_or_insert_default().insert(crate::endpoints::LEADER.into(), "{}".into());
    assert!(!is_mirrored(&one));
    let many: Vec<String> =
        (0..limits::MIRRORED_ADDRESSES_MAX + 2).map(|at| format!("10.1.{}.{}", at / 250, at % 250)).collect();
    let mut texts: Vec<&str> = many.iter().map(String::as_str).collect();
    // Of what no server takes today, and stored objects may have.
    texts.insert(0, "0.no.address");
    let (changes, skipped) = plan(&endpoints(json!([subset(&texts, &[], 80)])), &[]);
    assert_eq!(changes.create[0].endpoints.len(), limits::MIRRORED_ADDRESSES_MAX);
    assert_eq!(skipped, Skipped { invalid: 1, all: 3 });
}
