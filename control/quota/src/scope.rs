//! Scopes: the part of a namespace's objects that a quota counts.

use crate::item::Item;
use sampan_api::k8s::api::core::v1::{
    PersistentVolumeClaim, Pod, PodAffinityTerm, ResourceQuotaSpec, ScopedResourceSelectorRequirement,
};
use sampan_api::quantity::Quantity;
use std::collections::BTreeSet;

const PRIORITY_CLASS: &str = "PriorityClass";
const VOLUME_CLASS: &str = "VolumeAttributesClass";

/// A quota's scopes and its scope selector as one list.
pub(crate) fn selectors(spec: &ResourceQuotaSpec) -> Vec<ScopedResourceSelectorRequirement> {
    let scopes = spec.scopes.iter().flatten().map(|scope| ScopedResourceSelectorRequirement {
        scope_name: scope.clone(),
        operator: "Exists".into(),
        values: None,
    });
    let selected = spec.scope_selector.iter().filter_map(|selector| selector.match_expressions.as_ref()).flatten();
    scopes.chain(selected.cloned()).collect()
}

/// Whether the item is in the scope. What has no scopes is in none.
pub(crate) fn contains(selector: &ScopedResourceSelectorRequirement, item: &Item) -> bool {
    match item {
        Item::Pod(pod) => contains_pod(selector, pod),
        Item::VolumeClaim(claim) if selector.scope_name == VOLUME_CLASS => matches(selector, &volume_classes(claim)),
        _ => false,
    }
}

/// Whether a change may take an object out of a scope or into one.
pub(crate) fn differ(old: &Item, new: &Item) -> bool {
    match (old, new) {
        (Item::Pod(old), Item::Pod(new)) => {
            is_terminating(old) != is_terminating(new) || is_best_effort(old) != is_best_effort(new)
        }
        (Item::VolumeClaim(old), Item::VolumeClaim(new)) => volume_classes(old) != volume_classes(new),
        _ => false,
    }
}

fn contains_pod(selector: &ScopedResourceSelectorRequirement, pod: &Pod) -> bool {
    match selector.scope_name.as_str() {
        "Terminating" => is_terminating(pod),
        "NotTerminating" => !is_terminating(pod),
        "BestEffort" => is_best_effort(pod),
        "NotBestEffort" => !is_best_effort(pod),
        PRIORITY_CLASS => {
            let class = pod.spec.as_ref().and_then(|spec| spec.priority_class_name.as_deref());
            matches(selector, &class.into_iter().filter(|class| !class.is_empty()).collect())
        }
        "CrossNamespacePodAffinity" => looks_into_other_namespaces(pod),
        _ => false,
    }
}

/// As a label selector over the one label that is named as the scope. An object with several values is in the scope when
/// one of them is.
fn matches(selector: &ScopedResourceSelectorRequirement, values: &BTreeSet<&str>) -> bool {
    let listed = |value: &&str| selector.values.iter().flatten().any(|one| one == value);
    match selector.operator.as_str() {
        "Exists" => !values.is_empty(),
        "DoesNotExist" => values.is_empty(),
        "In" => values.iter().any(listed),
        "NotIn" => values.is_empty() || values.iter().any(|value| !listed(value)),
        _ => false,
    }
}

/// Whether the pod ends by itself after a time.
pub(crate) fn is_terminating(pod: &Pod) -> bool {
    let seconds = pod.spec.as_ref().and_then(|spec| spec.active_deadline_seconds);
    seconds.is_some_and(|seconds| seconds >= 0)
}

/// Whether neither the pod nor a container of it requests or is limited in cpu or memory (`qos.GetPodQOS`). The class of
/// the status is believed, once it is there.
pub fn is_best_effort(pod: &Pod) -> bool {
    if let Some(class) = pod.status.as_ref().and_then(|status| status.qos_class.as_deref())
        && !class.is_empty()
    {
        return class == "BestEffort";
    }
    let Some(spec) = &pod.spec else { return true };
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let whole = spec.resources.as_ref();
    let all = containers.filter_map(|container| container.resources.as_ref()).chain(whole);
    let amounts = all.flat_map(|resources| [&resources.requests, &resources.limits]).flatten().flatten();
    let mut counted = amounts.filter(|(name, _)| matches!(name.as_str(), "cpu" | "memory"));
    !counted.any(|(_, amount)| amount.0.parse::<Quantity>().is_ok_and(|amount| amount > Quantity::ZERO))
}

fn looks_into_other_namespaces(pod: &Pod) -> bool {
    let Some(affinity) = pod.spec.as_ref().and_then(|spec| spec.affinity.as_ref()) else { return false };
    let crosses = |term: &PodAffinityTerm| {
        term.namespaces.as_ref().is_some_and(|names| !names.is_empty()) || term.namespace_selector.is_some()
    };
    let required =
        affinity.pod_affinity.iter().filter_map(|one| one.required_during_scheduling_ignored_during_execution.as_ref());
    let required = required.chain(
        affinity
            .pod_anti_affinity
            .iter()
            .filter_map(|one| one.required_during_scheduling_ignored_during_execution.as_ref()),
    );
    let preferred = affinity
        .pod_affinity
        .iter()
        .filter_map(|one| one.preferred_during_scheduling_ignored_during_execution.as_ref());
    let preferred = preferred.chain(
        affinity
            .pod_anti_affinity
            .iter()
            .filter_map(|one| one.preferred_during_scheduling_ignored_during_execution.as_ref()),
    );
    required.flatten().any(crosses) || preferred.flatten().any(|weighted| crosses(&weighted.pod_affinity_term))
}

/// The classes that a claim has, had or is to have.
fn volume_classes(claim: &PersistentVolumeClaim) -> BTreeSet<&str> {
    let wanted = claim.spec.as_ref().and_then(|spec| spec.volume_attributes_class_name.as_deref());
    let status = claim.status.as_ref();
    let current = status.and_then(|status| status.current_volume_attributes_class_name.as_deref());
    let target = status.and_then(|status| status.modify_volume_status.as_ref());
    let target = target.and_then(|modify| modify.target_volume_attributes_class_name.as_deref());
    [wanted, current, target].into_iter().flatten().filter(|class| !class.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::sync::Arc;

    #[test]
    fn pods_are_in_scopes() {
        let check = |spec: Value, scope: Value, expected: bool| {
            let pod: Pod = serde_json::from_value(json!({"spec": spec})).expect("a pod");
            let selector = serde_json::from_value(scope.clone()).expect("a selector");
            assert_eq!(contains(&selector, &Item::Pod(Arc::new(pod))), expected, "{scope}");
        };
        let exists = |scope: &str| json!({"scopeName": scope, "operator": "Exists"});
        let plain = || json!({"containers": [{"name": "a"}]});
        check(plain(), exists("BestEffort"), true);
        check(plain(), exists("NotTerminating"), true);
        check(plain(), exists("PriorityClass"), false);
        check(plain(), exists("CrossNamespacePodAffinity"), false);
        check(plain(), exists("VolumeAttributesClass"), false);
        let limited =
            json!({"containers": [{"name": "a", "resources": {"limits": {"cpu": "1"}}}], "activeDeadlineSeconds": 5});
        check(limited.clone(), exists("BestEffort"), false);
        check(limited.clone(), exists("NotBestEffort"), true);
        check(limited, exists("Terminating"), true);
        let extended = json!({"containers": [{"name": "a", "resources": {"limits": {"x.dev/a": "1", "cpu": "0"}}}]});
        check(extended, exists("BestEffort"), true);
        let classed = |operator: &str, values: Value| json!({"scopeName": "PriorityClass", "operator": operator, "values": values});
        let high = || json!({"containers": [], "priorityClassName": "high"});
        check(high(), classed("In", json!(["high", "low"])), true);
        check(high(), classed("NotIn", json!(["low"])), true);
        check(high(), classed("NotIn", json!(["high"])), false);
        check(high(), classed("DoesNotExist", json!([])), false);
        check(plain(), classed("NotIn", json!(["high"])), true);
        let term = json!({"topologyKey": "k", "namespaceSelector": {}});
        let across = json!({"containers": [], "affinity": {"podAntiAffinity":
            {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": term}]}}});
        check(across, exists("CrossNamespacePodAffinity"), true);
    }

    #[test]
    fn claims_are_in_the_scopes_of_their_classes() {
        let check = |claim: Value, operator: &str, values: &[&str], expected: bool| {
            let claim: PersistentVolumeClaim = serde_json::from_value(claim).expect("a claim");
            let selector = json!({"scopeName": "VolumeAttributesClass", "operator": operator, "values": values});
            let selector = serde_json::from_value(selector).expect("a selector");
            assert_eq!(contains(&selector, &Item::VolumeClaim(Arc::new(claim))), expected, "{operator} {values:?}");
        };
        let moving = || json!({"spec": {"volumeAttributesClassName": "new"}, "status": {"currentVolumeAttributesClassName": "old"}});
        check(moving(), "In", &["old"], true);
        check(moving(), "In", &["other"], false);
        check(moving(), "NotIn", &["old"], true);
        check(json!({"spec": {}}), "Exists", &[], false);
        check(json!({"spec": {}}), "DoesNotExist", &[], true);
    }
}
