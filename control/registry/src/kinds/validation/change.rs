//! Changes to a pod that its views allow, and the text of a difference.

use super::At;
use super::checks::{immutable, ip, named, named_if_set, parse_ip};
use super::resources::canonical;
use sampan_api::field::FieldErrors;
use sampan_api::names;
use sampan_api::object::Object;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::fmt::Write as _;

const ENDED: &str = "may not be transitioned to non-terminated state";

/// Marks a pod that shows what a node runs by itself.
pub(super) const MIRROR: &str = "kubernetes.io/config.mirror";
/// Prefix of the annotations by which AppArmor profiles were set before there was a field.
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Annotations that a pod keeps as it was made (ValidatePodSpecificAnnotationUpdates).
pub(super) fn fixed_annotations(pod: &Object, old: &Object, errors: &mut FieldErrors) {
    let (at, old_at) = (At::object(pod), At::object(old));
    let (metadata, old_metadata) = (at.get("metadata"), old_at.get("metadata"));
    let (annotations, before) = (metadata.get("annotations"), old_metadata.get("annotations"));
    let mut forbid = |key: &str, app_armor: &str, mirror: &str| {
        if key.starts_with(APP_ARMOR) {
            annotations.key(key).forbidden(errors, app_armor);
        } else if key == MIRROR {
            annotations.key(key).forbidden(errors, mirror);
        }
    };
    for (key, value) in before.entries() {
        if annotations.key(key).value() != value.value() {
            forbid(
                key,
                "may not remove or update AppArmor annotations",
                "may not remove or update mirror pod annotation",
            );
        }
    }
    for (key, _) in annotations.entries() {
        if !before.key(key).is_set() {
            forbid(key, "may not add AppArmor annotations", "may not add mirror pod annotation");
        }
    }
}

pub(super) fn pod_status(pod: &Object, old: &Object, errors: &mut FieldErrors) {
    let (at, old_at) = (At::object(pod), At::object(old));
    let (status, old_status) = (at.get("status"), old_at.get("status"));
    let conditions = status.get("conditions");
    for condition in conditions.items() {
        let generation = condition.get("observedGeneration");
        if generation.number() < 0 {
            generation.invalid(errors, "must be a non-negative integer");
        }
        let type_ = condition.get("type").text();
        if !matches!(type_, "PodScheduled" | "Ready" | "Initialized") {
            condition.get("Type").invalid_each_as(errors, type_, names::qualified_name(type_));
        }
    }
    let (spec, old_spec) = (at.get("spec"), old_at.get("spec"));
    if spec.get("nodeName").text() != old_spec.get("nodeName").text() {
        status.get("nodeName").forbidden(errors, "may not be changed directly");
    }
    let nominated = status.get("nominatedNodeName");
    if nominated.text() != old_status.get("nominatedNodeName").text() {
        named_if_set(nominated, errors, names::dns1123_subdomain);
        if !old_spec.get("nodeName").is_empty() && !nominated.is_empty() {
            nominated.forbidden(errors, "may not be set on pods that are already bound to a node");
        }
    }
    if status.get("observedGeneration").number() < 0 {
        status.get("observedGeneration").invalid(errors, "must be a non-negative integer");
    }
    let qos = status.get("qosClass");
    if qos.text() != old_status.get("qosClass").text() {
        immutable(qos, old_status.get("qosClass"), errors);
    }
    for (statuses, containers) in [("containerStatuses", "containers"), ("initContainerStatuses", "initContainers")] {
        transitions(status.get(statuses), old_status.get(statuses), old_spec, containers, errors);
    }
    addresses(status, errors);
}

/// The first index of each name in a list.
fn places(list: At<'_>) -> HashMap<String, usize> {
    let mut places = HashMap::new();
    for (index, item) in list.items().enumerate() {
        places.entry(item.get("name").text().to_owned()).or_insert(index);
    }
    places
}

/// A container that has ended for good stays ended.
fn transitions(new: At<'_>, old: At<'_>, spec: At<'_>, containers: &str, errors: &mut FieldErrors) {
    let list = spec.get(containers);
    let (afters, owners) = (places(new), places(list));
    for (index, before) in old.items().enumerate() {
        let ended = before.get("state");
        let ended = ended.get("terminated");
        let name = before.get("name").text().to_owned();
        let Some(after) = afters.get(&name) else { continue };
        let after = new.index(*after);
        let after_state = after.get("state");
        if !ended.is_set() || after_state.get("terminated").is_set() {
            continue;
        }
        let code = ended.get("exitCode").number();
        let own = owners.get(&name).map(|index| {
            let container = list.index(*index);
            let policy = container.get("restartPolicy").text().to_owned();
            (policy, container.get("restartPolicyRules").is_empty())
        });
        let (policy, no_rules) = own.unwrap_or_default();
        let policy = if policy.is_empty() { spec.get("restartPolicy").text().to_owned() } else { policy };
        // Rules may restart what the policy would not.
        let restarts = match policy.as_str() {
            "Always" => true,
            "OnFailure" => code != 0,
            _ => !no_rules,
        };
        if !restarts {
            let place = new.index(index);
            place.get("state").forbidden(errors, ENDED);
        }
    }
}

fn addresses(status: At<'_>, errors: &mut FieldErrors) {
    let hosts = status.get("hostIPs");
    for (list, own) in [(status.get("podIPs"), None), (hosts, Some("hostIP"))] {
        if let (Some(own), false) = (own, list.is_empty()) {
            let first = list.index(0);
            if first.get("ip").text() != status.get(own).text() {
                first.get("ip").invalid(errors, "must be equal to `hostIP`");
            }
        }
        let mut families = Vec::new();
        for address in list.items() {
            let text = address.get("ip").text();
            match parse_ip(text) {
                Some(ip) => families.push(ip.is_ipv4()),
                None => address.invalid_as(errors, text, super::checks::BAD_IP),
            }
        }
        if list.len() > 2 || (list.len() == 2 && families.first() == families.get(1)) {
            list.invalid(errors, "may specify no more than one IP for each IP family");
        }
    }
}

pub(super) fn ephemeral_containers(pod: &Object, old: &Object, errors: &mut FieldErrors) {
    let (at, old_at) = (At::object(pod), At::object(old));
    let (spec, old_spec) = (at.get("spec"), old_at.get("spec"));
    let (list, before) = (spec.get("ephemeralContainers"), old_spec.get("ephemeralContainers"));
    let places = places(list);
    for container in before.items() {
        let name = container.get("name").text();
        match places.get(name).map(|index| list.index(*index)) {
            None => {
                let detail =
                    format!("existing ephemeral containers {} may not be removed\n", sampan_api::field::go_quote(name));
                list.forbidden(errors, detail);
            }
            Some(new) if new.value() != container.value() => {
                let difference = match (container.value().as_object(), new.value().as_object()) {
                    (Some(old), Some(new)) => diff(old, new),
                    _ => String::new(),
                };
                let name = sampan_api::field::go_quote(name);
                list.forbidden(
                    errors,
                    format!("existing ephemeral containers {name} may not be changed\n{difference}"),
                );
            }
            Some(_) => {}
        }
    }
}

pub(super) fn pod_resize(pod: &Object, old: &Object, errors: &mut FieldErrors) {
    let (at, old_at) = (At::object(pod), At::object(old));
    let (spec, old_spec) = (at.get("spec"), old_at.get("spec"));
    let before = super::qos::qos_class(old);
    if before != super::qos::qos_class(pod) {
        let status = at.get("status");
        spec.invalid_as(errors, status.get("qosClass").text(), "Pod QOS Class may not change as a result of resizing");
    }
    for (list, what) in [("containers", "only cpu and memory resources are mutable")] {
        let (new, old) = (spec.get(list), old_spec.get(list));
        if new.len() != old.len() {
            new.forbidden(errors, "containers may not be added or removed on resize");
            return;
        }
        for (index, container) in new.items().enumerate() {
            let old = old.index(index);
            let (resources, old_resources) = (container.get("resources"), old.get("resources"));
            for (amounts, text) in
                [("requests", "resource requests cannot be removed"), ("limits", "resource limits cannot be removed")]
            {
                let (amounts, before) = (resources.get(amounts), old_resources.get(amounts));
                if before.entries().any(|(name, _)| !amounts.key(name).is_set()) {
                    amounts.forbidden(errors, text);
                }
                let fixed = |at: &At<'_>| -> Vec<(String, String)> {
                    let others = at.entries().filter(|(name, _)| !matches!(*name, "cpu" | "memory"));
                    others.map(|(name, amount)| (name.to_owned(), canonical(amount.value()))).collect()
                };
                if fixed(&amounts) != fixed(&before) {
                    spec.forbidden(errors, what);
                }
            }
        }
    }
}

/// Whether every pair of the old map is still there.
pub(super) fn only_added_pairs(new: Option<&Value>, old: Option<&Value>) -> bool {
    let old = old.and_then(Value::as_object).into_iter().flatten();
    old.into_iter().all(|(key, value)| new.and_then(|new| new.get(key)) == Some(value))
}

/// The fields that differ, old before new.
pub(in crate::kinds) fn diff(old: &Map<String, Value>, new: &Map<String, Value>) -> String {
    let mut text = String::new();
    compare("", &Value::Object(old.clone()), &Value::Object(new.clone()), &mut text);
    text
}

fn compare(path: &str, old: &Value, new: &Value, text: &mut String) {
    match (old, new) {
        (Value::Object(a), Value::Object(b)) => {
            let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                let (old, new) = (a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null));
                compare(&if path.is_empty() { key.clone() } else { format!("{path}.{key}") }, old, new, text);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (old, new)) in a.iter().zip(b).enumerate() {
                compare(&format!("{path}[{index}]"), old, new, text);
            }
        }
        (old, new) if old != new => {
            // Writing to a String cannot fail.
            writeln!(text, "- {path}: {old}\n+ {path}: {new}").unwrap_or_default();
        }
        _ => {}
    }
}

/// Addresses of a load balancer.
pub(in crate::kinds) fn load_balancer(at: At<'_>, errors: &mut FieldErrors) {
    let points = at.get("ingress");
    for point in points.items() {
        let (address, hostname, mode) = (point.get("ip"), point.get("hostname"), point.get("ipMode"));
        if !address.is_empty() {
            ip(address, errors);
        }
        if mode.is_set() && address.is_empty() {
            mode.forbidden(errors, "may not be specified when `ip` is not set");
        }
        if mode.is_set() && !matches!(mode.text(), "VIP" | "Proxy") {
            mode.not_supported(errors, &["Proxy", "VIP"]);
        }
        if !hostname.is_empty() {
            named(hostname, errors, names::dns1123_subdomain);
            if hostname.text().parse::<std::net::IpAddr>().is_ok() {
                hostname.invalid(errors, "must be a DNS name, not an IP address");
            }
        }
    }
}
