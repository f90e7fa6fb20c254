//! The addresses that a Service names itself: checked with the rest of it, and before any is drawn.

use super::super::validation::addresses::Legacy;
use super::super::validation::checks::{one_of, parse_ip};
use super::super::validation::{At, FieldErrors};
use super::service_fields::reduced;
use sampan_api::object::Object;
use sampan_schema::gates::Gates;
use serde_json::Value;
use std::collections::HashSet;

const HEADLESS: &str = "None";

/// The texts of a list of the spec before.
pub(super) fn texts<'a>(old: Option<&'a Object>, field: &str) -> impl Iterator<Item = &'a str> + use<'a> {
    let list = old.and_then(|old| old.get(&["spec", field])).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str)
}

/// Whether the Service wants no address.
pub(super) fn headless(spec: At<'_>) -> bool {
    spec.get("clusterIPs").texts() == [HEADLESS]
}

/// What a cluster that has IPv4 alone cannot give (`initIPFamilyFields` in Kubernetes' registry/core/service/storage/alloc.go).
pub(super) fn of_one_family(service: &Object, old: Option<&Object>, errors: &mut FieldErrors) {
    let at = At::object(service);
    let spec = at.get("spec");
    let (policy, list, families) = (spec.get("ipFamilyPolicy"), spec.get("clusterIPs"), spec.get("ipFamilies"));
    let single = policy.text() == "SingleStack";
    for (name, released, several) in [
        ("clusterIPs", "secondary cluster IP", "multiple cluster IPs"),
        ("ipFamilies", "secondary IP family", "multiple IP families"),
    ] {
        if !single && old.is_some_and(|old| reduced(service, old, name)) {
            policy.invalid(errors, format!("must be 'SingleStack' to release the {released}"));
        } else if single && spec.get(name).len() == 2 {
            let detail = format!("must be 'RequireDualStack' or 'PreferDualStack' when {several} are specified");
            policy.invalid(errors, detail);
        }
    }
    for (index, address) in list.items().enumerate().skip(families.len()) {
        if parse_ip(address.text()).is_some_and(|ip| ip.is_ipv6()) {
            list.index(index).invalid_as(errors, list.value(), "IPv6 is not configured on this cluster");
        }
    }
    // A Service whose addresses others make may say what it likes.
    if !errors.is_empty() || (headless(spec) && spec.get("selector").is_empty()) {
        return;
    }
    if policy.text() == "RequireDualStack" {
        policy.invalid(errors, "this cluster is not configured for dual-stack services");
    }
    for family in families.items().filter(|family| family.text() != "IPv4") {
        family.invalid(errors, "not configured on this cluster");
    }
}

/// Everything wrong with the addresses and their families, over those of `old`.
pub(super) fn cluster_ips(gates: &Gates, spec: At<'_>, old: Option<&Object>, errors: &mut FieldErrors) {
    let (single, list) = (spec.get("clusterIP"), spec.get("clusterIPs"));
    match (single.is_empty(), list.is_empty()) {
        (false, true) => list.required(errors, ""),
        (false, false) if list.index(0).text() != single.text() => {
            list.invalid(errors, "first value must match `clusterIP`");
        }
        (true, false) => list.invalid(errors, "must be empty when `clusterIP` is not specified"),
        _ => {}
    }
    let families = spec.get("ipFamilies");
    let listed = families.texts();
    let mut named = HashSet::new();
    for family in families.items() {
        if !matches!(family.text(), "IPv4" | "IPv6") {
            family.not_supported(errors, &["IPv4", "IPv6"]);
        }
        if !named.insert(family.text().to_owned()) {
            family.duplicate(errors);
        }
    }
    let policy = spec.get("ipFamilyPolicy");
    one_of(policy, errors, &["PreferDualStack", "RequireDualStack", "SingleStack"]);
    let before = errors.len();
    let legacy = Legacy::over(gates, texts(old, "clusterIPs"));
    for (index, address) in list.items().enumerate() {
        if index == 0 && address.text() == HEADLESS {
            if list.len() > 1 {
                list.invalid(errors, "'None' must be the first and only value");
            }
            continue;
        }
        legacy.ip(address, errors);
    }
    let usable = errors.len() == before;
    if list.len() > 2 {
        list.invalid(errors, "may only hold up to 2 values");
    }
    if !usable {
        return;
    }
    let stacks: Vec<bool> = list.texts().into_iter().filter_map(parse_ip).map(|ip| ip.is_ipv4()).collect();
    if stacks.len() > 1 && stacks.iter().all(|v4| *v4 == stacks[0]) {
        list.invalid(errors, "may specify no more than one IP for each IP family");
    }
    if headless(spec) {
        return;
    }
    for (index, (family, is_v4)) in listed.iter().zip(&stacks).enumerate() {
        if matches!(*family, "IPv4" | "IPv6") && (*family == "IPv4") != *is_v4 {
            list.index(index)
                .invalid(errors, format!("expected an {family} value as indicated by `ipFamilies[{index}]`"));
        }
    }
}
