//! HTTP routes into the cluster.

use super::super::columns::{Cell, Tabled};
use super::super::rules::Rules;
use sampan_api::object::Object;
use serde_json::Value;
use super::super::core::service;
use crate::resource::{Resource};
use crate::strategy::Generation;

pub(super) fn row() -> Resource {
    Resource::new("networking.k8s.io", "v1", "ingresses", "Ingress").short_names(["ing"]).view("status").strategy(RULES).table(CELLS)
}

const RULES: Rules = Rules { generation: Generation::Spec, ..Rules::NONE };

const CELLS: &[(&str, Cell)] = &[
    ("hosts", |ingress, _| hosts(ingress).into()),
    ("address", |ingress, _| {
        let points = ingress.get(&["status", "loadBalancer", "ingress"]).and_then(Value::as_array);
        service::addresses(points.into_iter().flatten()).into_iter().collect::<Vec<_>>().join(",").into()
    }),
    ("ports", |ingress, _| {
        let tls = ingress.get(&["spec", "tls"]).and_then(Value::as_array).is_some_and(|tls| !tls.is_empty());
        if tls { "80, 443".into() } else { "80".into() }
    }),
];

/// How many hosts are shown before the rest is only counted.
const SHOWN: usize = 3;

fn hosts(ingress: &Object) -> String {
    let rules = ingress.get(&["spec", "rules"]).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let hosts = rules.iter().filter_map(|rule| rule.get("host").and_then(Value::as_str)).filter(|host| !host.is_empty());
    let hosts: Vec<&str> = hosts.collect();
    match hosts.len() {
        0 => "*".to_owned(),
        count if count > SHOWN || (count == SHOWN && rules.len() > SHOWN) => {
            format!("{} + {} more...", hosts[..SHOWN].join(","), rules.len() - SHOWN)
        }
        _ => hosts.join(","),
    }
}
