//! Nodes: where pods run.

use super::super::columns::{Cell, Tabled};
use super::super::rules::Rules;
use super::{condition, connect_options};
use crate::resource::{HistoryClass, Resource, Verbs};
use crate::strategy::Context;
use sampan_api::object::Object;
use serde_json::Value;
use std::collections::BTreeSet;

const ROLE_PREFIX: &str = "node-role.kubernetes.io/";
const ROLE_LABEL: &str = "kubernetes.io/role";

pub(super) fn row() -> Resource {
    let any = Verbs::CREATE.or(Verbs::DELETE).or(Verbs::GET).or(Verbs::PATCH).or(Verbs::UPDATE);
    Resource::new("", "v1", "nodes", "Node")
        .cluster_scoped()
        .short_names(["no"])
        .connect("proxy", connect_options("NodeProxyOptions"), any, "proxy")
        .view("status")
        .selectable_or("spec.unschedulable", "false")
        .history(HistoryClass::Usual)
        .strategy(RULES)
        .table(CELLS)
}

const RULES: Rules = Rules {
    prepare_for_update: Some(prepare_for_update),
    ..Rules::NONE
};

/// A node may state its status as it registers; afterwards only through the status view.
fn prepare_for_update(ctx: &Context<'_>, node: &mut Object, old: &Object) {
    let part = if ctx.subresource == "status" { "spec" } else { "status" };
    match old.get(&[part]) {
        Some(value) => node.set(&[part], value.clone()),
        None => {
            node.remove(&[part]);
        }
    }
}

const CELLS: &[(&str, Cell)] = &[
    ("status", |node, _| status(node).into()),
    ("roles", |node, _| roles(node).into()),
    ("internal-ip", |node, _| address(node, "InternalIP").into()),
    ("external-ip", |node, _| address(node, "ExternalIP").into()),
];

fn status(node: &Object) -> String {
    let ready = match condition(node, "Ready").and_then(|ready| ready.get("status")).and_then(Value::as_str) {
        None => "Unknown",
        Some("True") => "Ready",
        Some(_) => "NotReady",
    };
    let cordoned = node.get(&["spec", "unschedulable"]).and_then(Value::as_bool).unwrap_or(false);
    if cordoned { format!("{ready},SchedulingDisabled") } else { ready.to_owned() }
}

fn roles(node: &Object) -> String {
    let mut roles = BTreeSet::new();
    for (key, value) in node.labels() {
        match key.strip_prefix(ROLE_PREFIX) {
            Some("") => {}
            Some(role) => {
                roles.insert(role);
            }
            None if key == ROLE_LABEL && !value.is_empty() => {
                roles.insert(value);
            }
            None => {}
        }
    }
    if roles.is_empty() { "<none>".to_owned() } else { roles.into_iter().collect::<Vec<_>>().join(",") }
}

fn address(node: &Object, type_: &str) -> String {
    let addresses = node.get(&["status", "addresses"]).and_then(Value::as_array);
    let of_type = |address: &&Value| address.get("type").and_then(Value::as_str) == Some(type_);
    let found = addresses.and_then(|list| list.iter().find(of_type)).and_then(|a| a.get("address"));
    found.and_then(Value::as_str).unwrap_or("<none>").to_owned()
}
