//! The addresses that a Service names itself: checked with the rest of it, and before any is drawn.

use super::super::validation::checks::{ip, one_of, parse_ip};
use super::super::validation::{At, FieldErrors};
use std::collections::HashSet;

const HEADLESS: &str = "None";

/// Whether the Service wants no address.
pub(super) fn headless(spec: At<'_>) -> bool {
    spec.get("clusterIPs").texts() == [HEADLESS]
}

/// Everything wrong with the addresses and their families.
pub(super) fn cluster_ips(spec: At<'_>, errors: &mut FieldErrors) {
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
    // One family only; a Service whose addresses others make may say what it likes.
    let own = !headless(spec) || !spec.get("selector").is_empty();
    if policy.text() == "RequireDualStack" && own {
        policy.invalid(errors, "this cluster is not configured for dual-stack services");
    }
    let before = errors.len();
    for (index, address) in list.items().enumerate() {
        if index == 0 && address.text() == HEADLESS {
            if list.len() > 1 {
                list.invalid(errors, "'None' must be the first and only value");
            }
            continue;
        }
        ip(address, errors);
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
    for (index, (family, is_v4)) in listed.iter().zip(&stacks).enumerate() {
        if matches!(*family, "IPv4" | "IPv6") && (*family == "IPv4") != *is_v4 {
            list.index(index)
                .invalid(errors, format!("expected an {family} value as indicated by `ipFamilies[{index}]`"));
        }
    }
}
