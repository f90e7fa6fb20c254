//! Values for fields that a Service's writer leaves out: address families, and on updates those that it already had.

use sampan_api::object::Object;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};

const HEADLESS: &str = "None";

fn kind(service: &Object) -> &str {
    service.get_str(&["spec", "type"]).unwrap_or("ClusterIP")
}

fn unset(service: &Object, field: &str) -> bool {
    match service.get(&["spec", field]) {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(list)) => list.is_empty(),
        Some(Value::Number(number)) => number.as_i64() == Some(0),
        Some(_) => false,
    }
}

fn same(new: &Object, old: &Object, field: &str) -> bool {
    new.get(&["spec", field]) == old.get(&["spec", field])
}

/// The list follows the single address, and the families follow the cluster, which has one.
pub(super) fn create(service: &mut Object) {
    let single = service.get_str(&["spec", "clusterIP"]).unwrap_or("").to_owned();
    if !single.is_empty() && unset(service, "clusterIPs") {
        service.set(&["spec", "clusterIPs"], json!([single]));
    }
    families(service);
}

fn families(service: &mut Object) {
    if kind(service) == "ExternalName" {
        return;
    }
    // Nobody but its writer knows the addresses of a Service without selector and address.
    let unknown = service.get_str(&["spec", "clusterIP"]) == Some(HEADLESS) && unset_map(service, "selector");
    if unset(service, "ipFamilies") {
        service.set(&["spec", "ipFamilies"], if unknown { json!(["IPv4", "IPv6"]) } else { json!(["IPv4"]) });
        if unset(service, "ipFamilyPolicy") && unknown {
            service.set(&["spec", "ipFamilyPolicy"], "RequireDualStack");
        }
    }
    if unset(service, "ipFamilyPolicy") {
        service.set(&["spec", "ipFamilyPolicy"], "SingleStack");
    }
}

fn unset_map(service: &Object, field: &str) -> bool {
    service.get(&["spec", field]).and_then(Value::as_object).is_none_or(serde_json::Map::is_empty)
}

/// Clients that do not know what was allotted must not lose it; what another type cannot have goes.
pub(super) fn update(service: &mut Object, old: &Object) {
    let addressed = |service: &Object| kind(service) != "ExternalName";
    if addressed(old) && addressed(service) {
        for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            keep(service, old, field);
        }
        let changed = !same(service, old, "clusterIP");
        if changed && same(service, old, "clusterIPs") {
            let single = service.get_str(&["spec", "clusterIP"]).unwrap_or("").to_owned();
            service.set(&["spec", "clusterIPs"], json!([single]));
        }
    } else if addressed(old) {
        drop_same(service, old, &["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"]);
    } else {
        create(service);
    }
    let ported = |service: &Object| matches!(kind(service), "NodePort" | "LoadBalancer");
    match (ported(old), ported(service)) {
        (true, true) => keep_node_ports(service, old),
        (true, false) => drop_node_ports(service, old),
        _ => {}
    }
    let balanced = |service: &Object| kind(service) == "LoadBalancer";
    if balanced(old) && !balanced(service) {
        drop_same(service, old, &["allocateLoadBalancerNodePorts", "loadBalancerClass"]);
        service.set(&["status", "loadBalancer"], json!({}));
    }
    let checked =
        |service: &Object| balanced(service) && service.get_str(&["spec", "externalTrafficPolicy"]) == Some("Local");
    match (checked(old), checked(service)) {
        (true, true) => keep(service, old, "healthCheckNodePort"),
        (true, false) => drop_same(service, old, &["healthCheckNodePort"]),
        _ => {}
    }
    let external = !unset(service, "externalIPs");
    if ported(old) && !ported(service) && !external {
        drop_same(service, old, &["externalTrafficPolicy"]);
    }
}

fn keep(service: &mut Object, old: &Object, field: &str) {
    if let (true, Some(value)) = (unset(service, field), old.get(&["spec", field])) {
        service.set(&["spec", field], value.clone());
    }
}

fn drop_same(service: &mut Object, old: &Object, fields: &[&str]) {
    for field in fields.iter().filter(|field| same(service, old, field)).copied().collect::<Vec<_>>() {
        service.remove(&["spec", field]);
    }
}

fn ports(service: &Object) -> Vec<Value> {
    service.get(&["spec", "ports"]).and_then(Value::as_array).cloned().unwrap_or_default()
}

fn node_port(port: &Value) -> i64 {
    port.get("nodePort").and_then(Value::as_i64).unwrap_or(0)
}

/// A port that names no node port keeps the one of its name, unless another port has taken it.
fn keep_node_ports(service: &mut Object, old: &Object) {
    let name = |port: &Value| port.get("name").and_then(Value::as_str).unwrap_or("").to_owned();
    // The last of a name counts.
    let before: HashMap<String, i64> = ports(old).iter().map(|port| (name(port), node_port(port))).collect();
    let taken: HashSet<i64> = ports(service).iter().map(node_port).collect();
    let Some(list) = service.get_mut(&["spec", "ports"]).and_then(Value::as_array_mut) else { return };
    for port in list.iter_mut().filter(|port| node_port(port) == 0) {
        let kept = before.get(&name(port)).copied().unwrap_or(0);
        if kept != 0 && !taken.contains(&kept) {
            port["nodePort"] = kept.into();
        }
    }
}

fn drop_node_ports(service: &mut Object, old: &Object) {
    let numbers = |service: &Object| ports(service).iter().map(node_port).collect::<Vec<_>>();
    if numbers(service) != numbers(old) {
        return;
    }
    let list = service.get_mut(&["spec", "ports"]).and_then(Value::as_array_mut);
    for port in list.into_iter().flatten().filter_map(Value::as_object_mut) {
        port.remove("nodePort");
    }
}
