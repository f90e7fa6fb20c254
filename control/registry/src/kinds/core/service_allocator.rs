//! The allocator of Services: `spec.clusterIP`, `spec.clusterIPs` and node ports in `spec.ports`.

use super::super::validation::At;
use super::service_fields::ported;
use crate::allocate::{Allocator, Claim, Pool};
use sampan_api::field::{FieldErrors, Path};
use sampan_api::object::Object;
use sampan_schema::gates::Gates;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::net::Ipv4Addr;

/// The pool of cluster addresses.
pub const CLUSTER_IPS: &str = "clusterips";
/// The pool of node ports.
pub const NODE_PORTS: &str = "nodeports";

/// Kubernetes' own ranges: 10.96.0.0/16 and 30000-32767.
pub(super) const POOLS: [(&str, Pool); 2] = [
    (CLUSTER_IPS, Pool::Addresses { network: Ipv4Addr::new(10, 96, 0, 0), prefix: 16 }),
    (NODE_PORTS, Pool::Ports { first: 30000, last: 32767 }),
];

/// Gives an address to those that want one, and a port on all nodes to each port that wants one.
/// One family only: IPv4.
#[derive(Clone, Copy, Debug)]
pub struct ServiceAllocator;

fn type_of(object: &Object) -> &str {
    object.get_str(&["spec", "type"]).unwrap_or("ClusterIP")
}

/// The address that the object holds, or asks for by name.
fn address(object: &Object) -> Option<&str> {
    if type_of(object) == "ExternalName" {
        return None;
    }
    object.get_str(&["spec", "clusterIP"]).filter(|ip| !ip.is_empty() && *ip != "None")
}

fn wants_address(object: &Object) -> bool {
    type_of(object) != "ExternalName" && object.get_str(&["spec", "clusterIP"]).unwrap_or("").is_empty()
}

fn ports(object: &Object) -> &[Value] {
    object.get(&["spec", "ports"]).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The node port that the object holds, or asks for by name, for one of its ports. What one of another type names it does not
/// hold: its rules refuse it, or nobody looks at it.
fn node_port(object: &Object, port: &Value) -> Option<u64> {
    let named = port.get("nodePort").and_then(Value::as_u64).filter(|port| *port > 0);
    named.filter(|_| ported(object))
}

fn wants_node_ports(object: &Object) -> bool {
    match type_of(object) {
        "NodePort" => true,
        "LoadBalancer" => {
            object.get(&["spec", "allocateLoadBalancerNodePorts"]).and_then(Value::as_bool).unwrap_or(true)
        }
        _ => false,
    }
}

/// Whether something outside asks each node, at a port of its own, whether a pod is there.
fn wants_health_port(object: &Object) -> bool {
    type_of(object) == "LoadBalancer" && object.get_str(&["spec", "externalTrafficPolicy"]) == Some("Local")
}

fn health_port(object: &Object) -> Option<u64> {
    let port = object.get(&["spec", "healthCheckNodePort"]).and_then(Value::as_u64).filter(|port| *port > 0);
    port.filter(|_| wants_health_port(object))
}

/// All node ports that the object holds, the health check's among them.
fn node_ports(object: &Object) -> BTreeSet<u64> {
    ports(object).iter().filter_map(|port| node_port(object, port)).chain(health_port(object)).collect()
}

impl Allocator for ServiceAllocator {
    fn pools(&self) -> &'static [&'static str] {
        &[CLUSTER_IPS, NODE_PORTS]
    }

    fn check(&self, gates: &Gates, object: &Object, old: Option<&Object>) -> FieldErrors {
        let mut errors = FieldErrors::default();
        if type_of(object) != "ExternalName" && !super::service_fields::keeps_dual_stack(object, old) {
            super::cluster_ips::cluster_ips(gates, At::object(object).get("spec"), old, &mut errors);
            if errors.is_empty() {
                super::cluster_ips::of_one_family(object, old, &mut errors);
            }
        }
        errors
    }

    fn plan(&self, new: Option<&Object>, old: Option<&Object>) -> Vec<Claim> {
        let mut claims = Vec::new();
        plan_address(new, old, &mut claims);
        let (had, has) = (old.map(node_ports).unwrap_or_default(), new.map(node_ports).unwrap_or_default());
        for gone in had.difference(&has) {
            claims.push(Claim::Release { pool: NODE_PORTS, item: gone.to_string() });
        }
        if let Some(new) = new {
            plan_ports(new, &had, old.is_none(), &mut claims);
            plan_health_port(new, &had, &mut claims);
        }
        claims
    }
}

fn plan_address(new: Option<&Object>, old: Option<&Object>, claims: &mut Vec<Claim>) {
    let (had, has) = (old.and_then(address), new.and_then(address));
    if let Some(gone) = had.filter(|had| has != Some(*had)) {
        // An update that leaves the address out gets the same one back from its strategy: here it is given up.
        claims.push(Claim::Release { pool: CLUSTER_IPS, item: gone.to_owned() });
    }
    if let Some(taken) = has.filter(|has| had != Some(*has)) {
        let path = Path::new("spec").child("clusterIPs");
        claims.push(Claim::Take { pool: CLUSTER_IPS, item: taken.to_owned(), path, shown: json!([taken]).into() });
    }
    if new.is_some_and(wants_address) {
        let set = Box::new(|object: &mut Object, ip: &str| {
            object.set(&["spec", "clusterIP"], ip);
            object.set(&["spec", "clusterIPs"], json!([ip]));
        });
        claims.push(Claim::TakeAny { pool: CLUSTER_IPS, set });
    }
}

/// `had`: the node ports that the object has already. `shared`: a number that stands twice, for two protocols, gets one node
/// port, as where a Service is created.
fn plan_ports(new: &Object, had: &BTreeSet<u64>, shared: bool, claims: &mut Vec<Claim>) {
    // By the protocols that ask for it.
    let mut named: HashMap<u64, BTreeSet<&str>> = HashMap::new();
    let number = |port: &Value| port.get("port").and_then(Value::as_u64);
    // The indexes of those that ask for a number without a node port, by that number.
    let mut unnamed: HashMap<u64, Vec<usize>> = HashMap::new();
    if shared {
        for (index, port) in ports(new).iter().enumerate().filter(|(_, port)| node_port(new, port).is_none()) {
            if let Some(number) = number(port) {
                unnamed.entry(number).or_default().push(index);
            }
        }
    }
    let mut drawn = BTreeSet::new();
    for (index, port) in ports(new).iter().enumerate() {
        match node_port(new, port) {
            Some(wanted) if !had.contains(&wanted) => {
                let protocol = port.get("protocol").and_then(Value::as_str).unwrap_or("TCP");
                // The same port may stand twice, for TCP and for UDP: it is one allocation.
                let protocols = named.entry(wanted).or_default();
                let others = protocols.len() - usize::from(protocols.contains(protocol));
                protocols.insert(protocol);
                if others > 0 {
                    continue;
                }
                let path = Path::new("spec").child("ports").index(index).child("nodePort");
                let (item, shown) = (wanted.to_string(), json!(wanted).into());
                claims.push(Claim::Take { pool: NODE_PORTS, item, path, shown });
            }
            Some(_) => {}
            None if wants_node_ports(new) && (!shared || drawn.insert(number(port))) => {
                let same = number(port).and_then(|number| unnamed.remove(&number));
                let places = same.unwrap_or_else(|| vec![index]);
                let set = Box::new(move |object: &mut Object, item: &str| {
                    let list = object.get_mut(&["spec", "ports"]).and_then(Value::as_array_mut);
                    let (Some(list), Ok(item)) = (list, item.parse::<u16>()) else { return };
                    for place in &places {
                        if let Some(port) = list.get_mut(*place).and_then(Value::as_object_mut) {
                            port.insert("nodePort".into(), item.into());
                        }
                    }
                });
                claims.push(Claim::TakeAny { pool: NODE_PORTS, set });
            }
            None => {}
        }
    }
}

fn plan_health_port(new: &Object, had: &BTreeSet<u64>, claims: &mut Vec<Claim>) {
    if !wants_health_port(new) {
        return;
    }
    match health_port(new) {
        Some(wanted) if had.contains(&wanted) => {}
        Some(wanted) => {
            let path = Path::new("spec").child("healthCheckNodePort");
            let (item, shown) = (wanted.to_string(), json!(wanted).into());
            claims.push(Claim::Take { pool: NODE_PORTS, item, path, shown });
        }
        None => {
            let set = Box::new(|object: &mut Object, item: &str| {
                if let Ok(number) = item.parse::<u16>() {
                    object.set(&["spec", "healthCheckNodePort"], number);
                }
            });
            claims.push(Claim::TakeAny { pool: NODE_PORTS, set });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A port that asks for the same number, for another protocol, gets the same node port, where it names none.
    #[test]
    fn drawn_node_ports_go_to_those_that_share_them() {
        let ports = json!([
            {"port": 53, "protocol": "TCP"},
            {"port": 80},
            {"port": 53, "protocol": "UDP"},
            {"port": 53, "protocol": "SCTP", "nodePort": 30001},
        ]);
        let service = json!({"spec": {"type": "NodePort", "clusterIP": "10.96.0.9", "ports": ports}});
        let check = |old: Option<Value>, expected: [u64; 4]| {
            let mut service = Object::from_value(service.clone()).expect("an object");
            let old = old.map(|old| Object::from_value(old).expect("an object"));
            let plan = ServiceAllocator.plan(Some(&service), old.as_ref());
            let mut item = 30100;
            for claim in plan {
                if let Claim::TakeAny { pool: NODE_PORTS, set } = claim {
                    set(&mut service, &format!("{item}"));
                    item += 1;
                }
            }
            let found: Vec<u64> = super::ports(&service).iter().filter_map(|port| node_port(&service, port)).collect();
            assert_eq!(found, expected);
        };
        check(None, [30100, 30101, 30100, 30001]);
        check(Some(json!({"spec": {"clusterIP": "10.96.0.9"}})), [30100, 30101, 30102, 30001]);
    }

    /// What a type may not have is for its rules to refuse, whoever has it: it is neither taken nor given back.
    #[test]
    fn node_ports_are_held_by_the_types_that_have_them() {
        let service = |kind: &str| {
            let spec = json!({"type": kind, "clusterIP": "10.96.0.9", "ports": [{"port": 80, "nodePort": 30001}]});
            Object::from_value(json!({"spec": spec})).expect("an object")
        };
        let check = |new: Option<&str>, old: Option<&str>, expected: &[&str]| {
            let (made, was) = (new.map(service), old.map(service));
            let told = |claim: Claim| match claim {
                Claim::Take { pool: NODE_PORTS, item, .. } => Some(format!("+{item}")),
                Claim::Release { pool: NODE_PORTS, item } => Some(format!("-{item}")),
                _ => None,
            };
            let plan = ServiceAllocator.plan(made.as_ref(), was.as_ref());
            assert_eq!(plan.into_iter().filter_map(told).collect::<Vec<_>>(), expected, "{old:?} to {new:?}");
        };
        for kind in ["NodePort", "LoadBalancer"] {
            check(Some(kind), None, &["+30001"]);
            check(Some(kind), Some("NodePort"), &[]);
            check(Some(kind), Some("ExternalName"), &["+30001"]);
            check(None, Some(kind), &["-30001"]);
        }
        for kind in ["ClusterIP", "ExternalName"] {
            check(Some(kind), None, &[]);
            check(Some(kind), Some("NodePort"), &["-30001"]);
            check(None, Some(kind), &[]);
        }
    }
}
