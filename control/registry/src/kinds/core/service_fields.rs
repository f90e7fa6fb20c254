//! Values for fields that a Service's writer leaves out: address families, and on updates those that it already had.

use super::super::validation::checks::parse_ip;
use sampan_api::object::Object;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};

const HEADLESS: &str = "None";
const ALLOCATES: &str = "allocateLoadBalancerNodePorts";

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
    let single = text(service, "clusterIP").to_owned();
    if !single.is_empty() && unset(service, "clusterIPs") {
        service.set(&["spec", "clusterIPs"], json!([single]));
    }
    families(service, None);
    if ported(service) {
        share_node_ports(service);
    }
}

fn text<'a>(service: &'a Object, field: &str) -> &'a str {
    service.get_str(&["spec", field]).unwrap_or("")
}

fn addressed(service: &Object) -> bool {
    kind(service) != "ExternalName"
}

/// Whether it is of a type that has ports of nodes.
pub(super) fn ported(service: &Object) -> bool {
    matches!(kind(service), "NodePort" | "LoadBalancer")
}

fn balanced(service: &Object) -> bool {
    kind(service) == "LoadBalancer"
}

fn health_checked(service: &Object) -> bool {
    balanced(service) && text(service, "externalTrafficPolicy") == "Local"
}

fn externally_accessible(service: &Object) -> bool {
    ported(service) || (kind(service) == "ClusterIP" && !unset(service, "externalIPs"))
}

/// The families of addresses and their policy, where they are left out (`initIPFamilyFields` in Kubernetes'
/// registry/core/service/storage/alloc.go). What a cluster of one family cannot have is refused by the allocator.
fn families(service: &mut Object, old: Option<&Object>) {
    const DUAL: &str = "RequireDualStack";
    if !addressed(service) || keeps_dual_stack(service, old) {
        return;
    }
    // Nobody but its writer knows the addresses of a Service without selector and address.
    let unknown = text(service, "clusterIP") == HEADLESS && unset_map(service, "selector");
    if unset(service, "ipFamilyPolicy") {
        let kept = old.map(|old| text(old, "ipFamilyPolicy")).filter(|kept| !kept.is_empty());
        let policy = kept.unwrap_or(if unknown { DUAL } else { "SingleStack" }).to_owned();
        service.set(&["spec", "ipFamilyPolicy"], policy);
    }
    let single = text(service, "ipFamilyPolicy") == "SingleStack";
    if let Some(old) = old.filter(|_| single) {
        for list in ["clusterIPs", "ipFamilies"] {
            if same(service, old, list) {
                first_only(service, list);
            }
        }
    }
    let reduced = !single && old.is_some_and(|old| reduced(service, old, "ipFamilies"));
    if unset(service, "ipFamilies") && !asks_for_ipv6(service) {
        service.set(&["spec", "ipFamilies"], json!(["IPv4"]));
    }
    let listed = service.get_mut(&["spec", "ipFamilies"]).and_then(Value::as_array_mut);
    if let Some(listed) = listed.filter(|listed| listed.len() == 1 && unknown && !single && !reduced) {
        let other = if listed[0] == "IPv4" { "IPv6" } else { "IPv4" };
        listed.push(other.into());
    }
}

/// Whether nothing of a Service's families changes that prefers two of them: then it stays as it is, whatever the cluster
/// has (isMatchingPreferDualStackClusterIPFields).
pub(super) fn keeps_dual_stack(service: &Object, old: Option<&Object>) -> bool {
    const PREFER: &str = "PreferDualStack";
    old.is_some_and(|old| {
        addressed(service)
            && kind(service) == kind(old)
            && text(service, "ipFamilyPolicy") == PREFER
            && matches!(text(old, "ipFamilyPolicy"), "" | PREFER)
            && ["clusterIPs", "ipFamilies"].iter().all(|list| same_lists(service, old, list))
    })
}

/// Whether its first address is one of the family that the cluster has not: the families are left to be told of.
fn asks_for_ipv6(service: &Object) -> bool {
    let list = service.get(&["spec", "clusterIPs"]).and_then(Value::as_array);
    let first = list.and_then(|list| list.first()).and_then(Value::as_str);
    first.and_then(parse_ip).is_some_and(|ip| ip.is_ipv6())
}

/// Whether a list has fewer items than it had, and some.
pub(super) fn reduced(service: &Object, old: &Object, list: &str) -> bool {
    let len = |service: &Object| service.get(&["spec", list]).and_then(Value::as_array).map_or(0, Vec::len);
    (1..len(old)).contains(&len(service))
}

fn first_only(service: &mut Object, list: &str) {
    if let Some(list) = service.get_mut(&["spec", list]).and_then(Value::as_array_mut) {
        list.truncate(1);
    }
}

fn unset_map(service: &Object, field: &str) -> bool {
    service.get(&["spec", field]).and_then(Value::as_object).is_none_or(serde_json::Map::is_empty)
}

/// Clients that do not know what was allotted must not lose it; what another type cannot have goes.
pub(super) fn update(service: &mut Object, old: &Object) {
    keep_allotted(service, old);
    sync_addresses(service, old);
    families(service, Some(old));
    drop_what_the_type_has_not(service, old);
}

/// `patchAllocatedValues` in Kubernetes' registry/core/service/storage/storage.go.
fn keep_allotted(service: &mut Object, old: &Object) {
    if addressed(old) && addressed(service) {
        keep(service, old, "clusterIP");
        keep(service, old, "clusterIPs");
    }
    let takes_node_ports = |service: &Object| {
        ported(service) && (!balanced(service) || service.get(&["spec", ALLOCATES]) != Some(&Value::Bool(false)))
    };
    if takes_node_ports(old) && takes_node_ports(service) {
        keep_node_ports(service, old);
    }
    if health_checked(old) && health_checked(service) {
        keep(service, old, "healthCheckNodePort");
    }
}

/// The list and the single address say the same, where only one of them was changed (`normalizeClusterIPs`, as above).
fn sync_addresses(service: &mut Object, old: &Object) {
    let (single, before) = (text(service, "clusterIP").to_owned(), text(old, "clusterIP"));
    if single == before {
        keep(service, old, "clusterIPs");
    } else if same_lists(service, old, "clusterIPs") {
        if single.is_empty() {
            service.remove(&["spec", "clusterIPs"]);
        } else {
            service.set(&["spec", "clusterIPs"], json!([single]));
        }
    }
}

/// Fields that are none of the new type's, where the writer did not change them too: `dropTypeDependentFields` in
/// Kubernetes' registry/core/service/strategy.go. What was changed is left for validation to refuse.
fn drop_what_the_type_has_not(service: &mut Object, old: &Object) {
    if addressed(old) && !addressed(service) {
        if same(service, old, "clusterIP") && same_lists(service, old, "clusterIPs") {
            drop_same(service, old, &["clusterIP"]);
            service.remove(&["spec", "clusterIPs"]);
        }
        drop_same(service, old, &["ipFamilies", "ipFamilyPolicy"]);
    }
    if ported(old) && !ported(service) {
        drop_node_ports(service, old);
    }
    if health_checked(old) && !health_checked(service) {
        drop_same(service, old, &["healthCheckNodePort"]);
    }
    if balanced(old) && !balanced(service) {
        drop_same(service, old, &[ALLOCATES, "loadBalancerClass"]);
    }
    if externally_accessible(old) && !externally_accessible(service) {
        drop_same(service, old, &["externalTrafficPolicy"]);
    }
    if !balanced(service) {
        service.set(&["status", "loadBalancer"], json!({}));
    }
}

/// What every answer leaves out, whatever was defaulted or sent (`defaultOnReadInternalTrafficPolicy`).
pub(super) fn canonicalize(service: &mut Object) {
    if !addressed(service) {
        service.remove(&["spec", "internalTrafficPolicy"]);
    }
}

/// An absent list is an empty one.
fn same_lists(new: &Object, old: &Object, field: &str) -> bool {
    same(new, old, field) || (unset(new, field) && unset(old, field))
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

/// A port whose number another one gives a node port has the same one (`findRequestedNodePort`).
fn share_node_ports(service: &mut Object) {
    let number = |port: &Value| port.get("port").and_then(Value::as_i64).unwrap_or(0);
    let mut named: HashMap<i64, i64> = HashMap::new();
    for port in ports(service).iter().filter(|port| node_port(port) != 0) {
        named.entry(number(port)).or_insert_with(|| node_port(port));
    }
    let list = service.get_mut(&["spec", "ports"]).and_then(Value::as_array_mut);
    for port in list.into_iter().flatten().filter(|port| node_port(port) == 0) {
        if let Some(shared) = named.get(&number(port)) {
            port["nodePort"] = (*shared).into();
        }
    }
}

/// Removes all node ports, unless the new Service names one that the old one had not: then validation refuses it.
fn drop_node_ports(service: &mut Object, old: &Object) {
    let before: HashSet<i64> = ports(old).iter().map(node_port).collect();
    if ports(service).iter().map(node_port).any(|port| port != 0 && !before.contains(&port)) {
        return;
    }
    let list = service.get_mut(&["spec", "ports"]).and_then(Value::as_array_mut);
    for port in list.into_iter().flatten().filter_map(Value::as_object_mut) {
        port.remove("nodePort");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A headless Service that prefers two families keeps those that it has when it loses its selector.
    #[test]
    fn preferred_families_stay_as_they_are() {
        let service = |policy: &str, selector: Value| {
            let spec = json!({
                "clusterIP": HEADLESS,
                "clusterIPs": [HEADLESS],
                "ipFamilyPolicy": policy,
                "ipFamilies": ["IPv4"],
                "selector": selector,
            });
            Object::from_value(json!({"spec": spec})).expect("an object")
        };
        let check = |before: &str, after: &str, expected: Value| {
            let old = service(before, json!({"a": "b"}));
            let mut new = service(after, Value::Null);
            update(&mut new, &old);
            assert_eq!(new.get(&["spec", "ipFamilies"]), Some(&expected), "{before} to {after}");
        };
        check("PreferDualStack", "PreferDualStack", json!(["IPv4"]));
        check("SingleStack", "PreferDualStack", json!(["IPv4", "IPv6"]));
        check("SingleStack", "SingleStack", json!(["IPv4"]));
    }
}
