//! Services: a name and an address for pods.

use super::super::columns::{Cell, Tabled};
use super::super::rules::Rules;
use super::connect_options;
use crate::resource::{HistoryClass, Resource, Verbs};
use crate::strategy::Context;
use sampan_api::names;
use sampan_api::object::Object;
use serde_json::Value;
use std::collections::BTreeSet;

pub(super) fn row() -> Resource {
    let any = Verbs::CREATE.or(Verbs::DELETE).or(Verbs::GET).or(Verbs::PATCH).or(Verbs::UPDATE);
    Resource::new("", "v1", "services", "Service")
        .short_names(["svc"])
        .categories(["all"])
        .verbs(Verbs::ALL)
        .connect("proxy", connect_options("ServiceProxyOptions"), any, "proxy")
        .view("status")
        .selectable("spec.clusterIP")
        .selectable("spec.type")
        .history(HistoryClass::Ample)
        .strategy(RULES)
        .table(CELLS)
}

const RULES: Rules = Rules {
    create_on_update: true,
    name: names::dns1035_label,
    prepare_for_create: Some(|_, service| service.set(&["status"], serde_json::json!({"loadBalancer": {}}))),
    prepare_for_update: Some(prepare_for_update),
    ..Rules::NONE
};

/// Addresses that the update leaves out stay: clients that do not know them must not lose them.
fn prepare_for_update(ctx: &Context<'_>, service: &mut Object, old: &Object) {
    if !ctx.subresource.is_empty() {
        return;
    }
    let type_of = |object: &Object| object.get_str(&["spec", "type"]).unwrap_or("ClusterIP").to_owned();
    if type_of(service) == "ExternalName" || type_of(old) == "ExternalName" {
        return;
    }
    for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        let path = ["spec", field];
        let unset = match service.get(&path) {
            None | Some(Value::Null) => true,
            Some(Value::String(text)) => text.is_empty(),
            Some(Value::Array(list)) => list.is_empty(),
            Some(_) => false,
        };
        if let (true, Some(value)) = (unset, old.get(&path)) {
            service.set(&path, value.clone());
        }
    }
}

const CELLS: &[(&str, Cell)] = &[
    ("cluster-ip", |service, _| {
        let ips = service.get(&["spec", "clusterIPs"]).and_then(Value::as_array);
        let first = ips.and_then(|ips| ips.first()).and_then(Value::as_str);
        first.filter(|ip| !ip.is_empty()).unwrap_or("<none>").into()
    }),
    ("external-ip", |service, _| external_ip(service).into()),
    ("ports", |service, _| ports(service).into()),
];

fn external_ip(service: &Object) -> String {
    let list = service.get(&["spec", "externalIPs"]).and_then(Value::as_array);
    let external: Vec<&str> = list.into_iter().flatten().filter_map(Value::as_str).collect();
    let or = |list: Vec<&str>, none: &str| if list.is_empty() { none.to_owned() } else { list.join(",") };
    match service.get_str(&["spec", "type"]).unwrap_or("") {
        "ClusterIP" | "NodePort" => or(external, "<none>"),
        "ExternalName" => service.get_str(&["spec", "externalName"]).unwrap_or("").to_owned(),
        "LoadBalancer" => {
            let ingress = service.get(&["status", "loadBalancer", "ingress"]).and_then(Value::as_array);
            let mut all: Vec<&str> = addresses(ingress.into_iter().flatten()).into_iter().collect();
            all.extend(external);
            or(all, "<pending>")
        }
        _ => "<unknown>".to_owned(),
    }
}

/// The addresses or host names of a load balancer, sorted.
pub(in crate::kinds) fn addresses<'a>(ingress: impl Iterator<Item = &'a Value>) -> BTreeSet<&'a str> {
    let field = |point: &'a Value, name: &str| point.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    ingress.filter_map(|point| field(point, "ip").or_else(|| field(point, "hostname"))).collect()
}

fn ports(service: &Object) -> String {
    let ports = service.get(&["spec", "ports"]).and_then(Value::as_array);
    let words: Vec<String> = ports
        .into_iter()
        .flatten()
        .map(|port| {
            let number = |name: &str| port.get(name).and_then(Value::as_i64).unwrap_or(0);
            let protocol = port.get("protocol").and_then(Value::as_str).unwrap_or("");
            match number("nodePort") {
                node if node > 0 => format!("{}:{node}/{protocol}", number("port")),
                _ => format!("{}/{protocol}", number("port")),
            }
        })
        .collect();
    if words.is_empty() { "<none>".to_owned() } else { words.join(",") }
}
