use crate::world::{World, told};
use sampan_api::record::Record;
use sampan_registry::DeleteOptions;
use serde_json::{Value, json};
use std::collections::HashSet;

fn door(name: &str, mut spec: Value) -> Value {
    // As the strategy of Services does.
    if let Some(address) = spec.get("clusterIP").cloned() {
        spec["clusterIPs"] = json!([address]);
    }
    json!({"metadata": {"name": name}, "spec": spec})
}

fn address(record: &Record) -> String {
    record.object().get_str(&["spec", "clusterIP"]).expect("an address").to_owned()
}

fn node_port(record: &Record, index: usize) -> u64 {
    record.object().get(&["spec", "ports"]).and_then(|p| p[index]["nodePort"].as_u64()).expect("a port")
}

#[tokio::test]
async fn addresses_and_ports_are_drawn_held_and_given_back() {
    let world = World::new().await;
    let first = world.create("doors", door("first", json!({"clusterIP": "10.96.0.1"}))).await.expect("created");
    assert_eq!(first.object().get(&["spec", "clusterIP"]), Some(&json!("10.96.0.1")));
    let text = "Door \"again\" is invalid: spec.clusterIPs: Invalid value: [\"10.96.0.1\"]: failed to allocate IP 10.96.0.1: \
                provided IP is already allocated";
    let taken = world.create("doors", door("again", json!({"clusterIP": "10.96.0.1"}))).await;
    assert_eq!(told(taken), (422, text.into()));
    let text = "Door \"far\" is invalid: spec.clusterIPs: Invalid value: [\"192.168.1.1\"]: failed to allocate IP 192.168.1.1: \
                the provided network does not match the current range";
    assert_eq!(told(world.create("doors", door("far", json!({"clusterIP": "192.168.1.1"}))).await), (422, text.into()));

    let mut seen = HashSet::new();
    for i in 0..100 {
        let spec = json!({"type": "NodePort", "ports": [{"port": 80}, {"port": 81}]});
        let record = world.create("doors", door(&format!("d{i}"), spec)).await.expect("created");
        assert!(seen.insert(address(&record)) && record.object().get(&["spec", "clusterIPs"]).is_some());
        assert!(seen.insert(node_port(&record, 0).to_string()) && seen.insert(node_port(&record, 1).to_string()));
    }
    world.delete("doors", "first", DeleteOptions::default()).await.expect("deleted");
    world.create("doors", door("again", json!({"clusterIP": "10.96.0.1"}))).await.expect("it was given back");
    world
        .patch("doors", "again", |object| {
            object.set(&["spec", "type"], "ExternalName");
            object.set(&["spec", "clusterIP"], "");
        })
        .await
        .expect("patched");
    world.create("doors", door("third", json!({"clusterIP": "10.96.0.1"}))).await.expect("given back by the update");
    world.create("doors", door("headless", json!({"clusterIP": "None"}))).await.expect("no address");
}

#[tokio::test]
async fn a_full_range_is_told() {
    let world = World::new().await;
    let ports: Vec<Value> = (0..200).map(|i| json!({"port": i + 1})).collect();
    let mut made = 0;
    let error = loop {
        let spec = json!({"type": "NodePort", "ports": ports});
        match world.create("doors", door(&format!("d{made}"), spec)).await {
            Ok(_) => made += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(made, 13, "2768 ports, 200 each");
    assert_eq!(error.status().message, "Internal error occurred: failed to allocate a nodePort: range is full");
}

#[tokio::test]
async fn two_that_ask_for_one_port_do_not_both_get_it() {
    let world = World::new().await;
    let door = |name: &str| door(name, json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]}));
    let (a, b) = tokio::join!(world.create("doors", door("a")), world.create("doors", door("b")));
    assert_eq!([a.is_ok(), b.is_ok()].iter().filter(|ok| **ok).count(), 1);
    let text = "spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated";
    assert!(told(if a.is_ok() { b } else { a }).1.ends_with(text));
}

#[tokio::test]
async fn a_health_check_has_a_port_of_its_own() {
    let world = World::new().await;
    let balanced =
        |policy: &str| json!({"type": "LoadBalancer", "externalTrafficPolicy": policy, "ports": [{"port": 80}]});
    let health = |record: &Record| record.object().get(&["spec", "healthCheckNodePort"]).and_then(Value::as_u64);
    let node_port_of = |port: u64| json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]});
    let refusal = "provided port is already allocated";

    assert_eq!(health(&world.create("doors", door("plain", balanced("Cluster"))).await.expect("created")), None);
    let mut asks = balanced("Local");
    asks["healthCheckNodePort"] = json!(31000);
    world.create("doors", door("asks", asks.clone())).await.expect("created");
    assert!(told(world.create("doors", door("other", node_port_of(31000))).await).1.ends_with(refusal));
    assert!(told(world.create("doors", door("again", asks)).await).1.ends_with(refusal));

    let drawn = health(&world.create("doors", door("any", balanced("Local"))).await.expect("created"));
    let drawn = drawn.expect("a port is drawn");
    assert!(told(world.create("doors", door("other", node_port_of(drawn))).await).1.ends_with(refusal));
    let without = |object: &mut sampan_api::object::Object| {
        object.set(&["spec", "externalTrafficPolicy"], "Cluster");
        object.remove(&["spec", "healthCheckNodePort"]);
    };
    world.patch("doors", "any", without).await.expect("patched");
    world.create("doors", door("other", node_port_of(drawn))).await.expect("it was given back");
}

/// One that names a port which another holds (as objects of older versions may) does not take it along when it goes.
#[tokio::test]
async fn what_another_holds_is_not_given_away() {
    let mut world = World::new().await;
    let spec = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]});
    world.create("doors", door("holder", spec.clone())).await.expect("created");
    let bytes = format!(
        r#"{{"apiVersion":"v1","kind":"Door","metadata":{{"name":"claims","namespace":"default"}},"spec":{spec}}}"#
    );
    let ops = vec![sampan_store::Op::put("/registry/core/doors/default/claims", bytes)];
    let txn = sampan_store::Txn { compares: Vec::new(), ops, writer: Default::default() };
    sampan_store::Store::txn(&*world.store, txn).await.expect("nothing to refuse");
    world.restart().await;
    world.delete("doors", "claims", DeleteOptions::default()).await.expect("deleted");
    let text = "spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated";
    assert!(told(world.create("doors", door("third", spec.clone())).await).1.ends_with(text));
    world.delete("doors", "holder", DeleteOptions::default()).await.expect("deleted");
    world.create("doors", door("third", spec)).await.expect("given back by its holder");
}
