//! Nodes: the machines that run pods.

use super::super::columns::{Cell, Tabled};
use super::super::rules::Rules;
use super::super::validation::addresses::{Legacy, cidr_warning};
use super::super::validation::affinity::taint_effect;
use super::super::validation::checks::{named, ordered, parse_cidr};
use super::super::validation::resources::resource_quantity;
use super::super::validation::{At, FieldErrors};
use super::{condition, connect_options};
use crate::resource::{HistoryClass, Resource, Verbs};
use crate::strategy::{Context, Warned};
use sampan_api::field::{FieldError, Path};
use sampan_api::names;
use sampan_api::object::Object;
use serde_json::Value;
use std::collections::{BTreeSet, HashSet};

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
    validate: Some(|ctx, node| {
        let mut errors = FieldErrors::default();
        let at = At::object(node);
        taints(at, &mut errors);
        amounts(at, &mut errors);
        pod_ranges(ctx, at, &mut errors);
        errors
    }),
    validate_change: Some(|_, node, old| changes(node, old)),
    validate_status: Some(|_, node, old| changes(node, old)),
    // A node says how it is as it joins.
    keeps_created_status: true,
    prepare_for_create: Some(prepare_for_create),
    warnings: &[(Warned::Object, |_, node, _| {
        let mut all = Vec::new();
        let at = At::object(node);
        let spec = at.get("spec");
        spec.get("podCIDRs").items().for_each(|range| cidr_warning(range, &mut all));
        all
    })],
    ..Rules::NONE
};

/// What is asked of a change of the node, and of its status alone (ValidateNodeUpdate).
fn changes(node: &Object, old: &Object) -> FieldErrors {
    let mut errors = FieldErrors::default();
    let (at, old) = (At::object(node), At::object(old));
    amounts(at, &mut errors);
    addresses(at, &mut errors);
    assigned_once(at, old, &mut errors);
    let (spec, old) = (at.get("spec"), old.get("spec"));
    taints(at, &mut errors);
    let outside = spec.get("externalID");
    if outside.text() != old.get("externalID").text() {
        outside.forbidden(&mut errors, "may not be updated");
    }
    errors
}

/// Fields that are always written of a node, known or not.
fn prepare_for_create(_: &Context<'_>, node: &mut Object) {
    // A feature that is gone.
    node.remove(&["spec", "configSource"]);
    const INFO: [&str; 10] = [
        "architecture",
        "bootID",
        "containerRuntimeVersion",
        "kernelVersion",
        "kubeProxyVersion",
        "kubeletVersion",
        "machineID",
        "operatingSystem",
        "osImage",
        "systemUUID",
    ];
    for field in INFO {
        let path = ["status", "nodeInfo", field];
        if node.get(&path).is_none() {
            node.set(&path, "");
        }
    }
    let path = ["status", "daemonEndpoints", "kubeletEndpoint", "Port"];
    if node.get(&path).is_none() {
        node.set(&path, 0);
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

const TAINTS_UNIQUE: &str = "taints must be unique by key and effect pair";

/// Kubernetes reports taints at the metadata.
fn taints(at: At<'_>, errors: &mut FieldErrors) {
    let spec = at.get("spec");
    let list = spec.get("taints");
    let mut found = FieldErrors::default();
    let mut seen: HashSet<(String, String)> = HashSet::new();
    for taint in list.items() {
        let (key, value, effect) = (taint.get("key"), taint.get("value"), taint.get("effect"));
        named(key, &mut found, names::qualified_name);
        let messages = names::label_value(value.text());
        if !messages.is_empty() {
            value.invalid(&mut found, messages.join(";"));
        }
        taint_effect(effect, &mut found);
        let pair = (key.text().to_owned(), effect.text().to_owned());
        if !seen.insert(pair) {
            let shown = serde_json::json!({
                "Key": key.text(), "Value": value.text(), "Effect": effect.text(), "TimeAdded": taint.get("timeAdded").value(),
            });
            let mut error =
                FieldError::duplicate(&taint.path(), ordered(&shown, &["Key", "Value", "Effect", "TimeAdded"]));
            TAINTS_UNIQUE.clone_into(&mut error.detail);
            found.push(error);
        }
    }
    for mut error in found {
        error.field = error.field.replacen("spec.", "metadata.", 1);
        errors.push(error);
    }
}

/// Kubernetes joins the resource's name to the path as if it were a field.
fn amounts(at: At<'_>, errors: &mut FieldErrors) {
    let status = at.get("status");
    for list in ["capacity", "allocatable"] {
        let amounts = status.get(list);
        for (name, _) in amounts.entries() {
            resource_quantity(amounts.get(name), name, errors);
        }
    }
}

fn pod_ranges(ctx: &Context<'_>, at: At<'_>, errors: &mut FieldErrors) {
    let spec = at.get("spec");
    let list = spec.get("podCIDRs");
    let legacy = Legacy::new(ctx.gates);
    for range in list.items() {
        legacy.cidr(range, errors);
    }
    if list.len() < 2 {
        return;
    }
    let (mut wrong, mut fourth, mut sixth) = (None, false, false);
    for (index, range) in list.texts().into_iter().enumerate() {
        match parse_cidr(range) {
            Some((network, _)) if network.is_ipv4() => fourth = true,
            Some(_) => sixth = true,
            None => wrong = wrong.or(Some((index, range))),
        }
    }
    if let Some((index, range)) = wrong {
        let why = format!("invalid CIDR[{index}]: <nil> (invalid CIDR address: {range})");
        let detail = format!("invalid PodCIDRs. failed to check with dual stack with error:{why}");
        errors.push(FieldError::internal(&list.path(), detail));
    }
    if wrong.is_some() || !(fourth && sixth) || list.len() > 2 {
        list.invalid(errors, "may specify no more than one CIDR for each IP family");
    }
}

fn addresses(at: At<'_>, errors: &mut FieldErrors) {
    let status = at.get("status");
    let list = status.get("addresses");
    let mut seen: HashSet<Value> = HashSet::new();
    for address in list.items() {
        if !seen.insert(address.value().clone()) {
            let shown =
                serde_json::json!({"Type": address.get("type").text(), "Address": address.get("address").text()});
            address.duplicate_as(errors, ordered(&shown, &["Type", "Address"]));
        }
    }
}

/// Fields of a node that are given once and kept.
fn assigned_once(at: At<'_>, old: At<'_>, errors: &mut FieldErrors) {
    let (spec, before) = (at.get("spec"), old.get("spec"));
    let forbid = |field: &str, what: &str, errors: &mut FieldErrors| {
        let detail = format!("node updates may not change {what} except from \"\" to valid");
        errors.push(FieldError::forbidden(&Path::from_rendered(format!("spec.{field}")), detail));
    };
    let (ranges, old_ranges) = (spec.get("podCIDRs").texts(), before.get("podCIDRs").texts());
    if !old_ranges.is_empty() && ranges.len() != old_ranges.len() {
        forbid("podCIDRs", "podCIDR", errors);
    } else {
        for _ in ranges.iter().zip(&old_ranges).filter(|(new, old)| new != old) {
            forbid("podCIDRs", "podCIDR", errors);
        }
    }
    let id = before.get("providerID");
    if !id.is_empty() && id.text() != spec.get("providerID").text() {
        forbid("providerID", "providerID", errors);
    }
}
