//! The consequences of a node's silence or illness: a pure function of it and of the time since its last sign of life
//! (pkg/controller/nodelifecycle, pkg/controller/tainteviction).

use crate::{Settings, time};
use sampan_api::k8s::api::core::v1::{Node, NodeCondition, Pod, Taint, Toleration};
use sampan_api::names::decimal_integer;
use sampan_reconcile::condition;
use std::time::{Duration, SystemTime};

/// Taint of a node whose Ready condition is False.
pub const NOT_READY: &str = "node.kubernetes.io/not-ready";
/// Taint of a node that has fallen silent.
pub const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
/// Taint of a node that is cordoned.
pub const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
const NO_SCHEDULE: &str = "NoSchedule";
const NO_EXECUTE: &str = "NoExecute";

/// Conditions that a kubelet reports, and the taint that each stands for when it is True.
const REPORTED: &[(&str, Option<&str>)] = &[
    ("Ready", None),
    ("MemoryPressure", Some("node.kubernetes.io/memory-pressure")),
    ("DiskPressure", Some("node.kubernetes.io/disk-pressure")),
    ("PIDPressure", Some("node.kubernetes.io/pid-pressure")),
];
const NETWORK: (&str, &str) = ("NetworkUnavailable", "node.kubernetes.io/network-unavailable");

/// The node controller's own taints: any other is left alone.
fn is_own(taint: &Taint) -> bool {
    let conditions = REPORTED.iter().filter_map(|(_, taint)| *taint).chain([NETWORK.1]);
    match taint.effect.as_str() {
        NO_EXECUTE => [NOT_READY, UNREACHABLE].contains(&taint.key.as_str()),
        NO_SCHEDULE => {
            [NOT_READY, UNREACHABLE, UNSCHEDULABLE].contains(&taint.key.as_str())
                || conditions.into_iter().any(|key| key == taint.key)
        }
        _ => false,
    }
}

fn conditions(node: &Node) -> &[NodeCondition] {
    node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default()
}

/// The node's condition `Ready`.
pub fn ready(node: &Node) -> Option<&NodeCondition> {
    conditions(node).iter().find(|condition| condition.type_ == "Ready")
}

/// `True`, `False` or `Unknown`; Unknown, too, where there is no such condition.
pub fn readiness(node: &Node) -> &str {
    ready(node).map_or("Unknown", |condition| condition.status.as_str())
}

/// The time after the last sign of life at which the node counts as silent: longer as long as it has never reported.
pub fn grace(node: &Node, settings: &Settings) -> Duration {
    if ready(node).is_some() { settings.node_grace } else { settings.node_startup_grace }
}

/// The conditions of a node that has been silent for too long; `None`: they say so already.
pub fn silent(node: &Node, now: SystemTime) -> Option<Vec<NodeCondition>> {
    let mut all = conditions(node).to_vec();
    let mut changed = false;
    for (kind, _) in REPORTED {
        let unknown = match condition::find(&all, kind) {
            Some(old) if old.status == "Unknown" => continue,
            Some(old) => NodeCondition {
                status: "Unknown".into(),
                reason: Some("NodeStatusUnknown".into()),
                message: Some("Kubelet stopped posting node status.".into()),
                last_transition_time: Some(time::of(now)),
                ..old.clone()
            },
            None => NodeCondition {
                type_: (*kind).into(),
                status: "Unknown".into(),
                reason: Some("NodeStatusNeverUpdated".into()),
                message: Some("Kubelet never posted node status.".into()),
                last_heartbeat_time: node.metadata.creation_timestamp.clone(),
                last_transition_time: Some(time::of(now)),
            },
        };
        condition::set(&mut all, unknown);
        changed = true;
    }
    changed.then_some(all)
}

/// The taints that the node's conditions stand for; `None`: it has them. A taint that stays keeps its time. A node that
/// has never reported is neither ready nor unreachable yet: the taints that say so stay as they are.
pub fn taints(node: &Node, now: SystemTime) -> Option<Vec<Taint>> {
    let spec = node.spec.clone().unwrap_or_default();
    let old = spec.taints.unwrap_or_default();
    let mut wanted: Vec<(&str, &str)> = Vec::new();
    let unready = [(NOT_READY, NO_SCHEDULE), (NOT_READY, NO_EXECUTE)];
    let unreachable = [(UNREACHABLE, NO_SCHEDULE), (UNREACHABLE, NO_EXECUTE)];
    let is = |taint: &Taint, (key, effect): &(&str, &str)| taint.key == *key && taint.effect == *effect;
    match ready(node).map(|condition| condition.status.as_str()) {
        Some("True") => {}
        Some("False") => wanted.extend(unready),
        Some(_) => wanted.extend(unreachable),
        None => {
            let there = |one: &(&str, &str)| old.iter().any(|taint| is(taint, one));
            wanted.extend(unready.into_iter().chain(unreachable).filter(there));
        }
    }
    let pressure = REPORTED.iter().filter_map(|(kind, taint)| Some((*kind, (*taint)?))).chain([NETWORK]);
    for (kind, taint) in pressure {
        if conditions(node).iter().any(|condition| condition.type_ == kind && condition.status == "True") {
            wanted.push((taint, NO_SCHEDULE));
        }
    }
    if spec.unschedulable == Some(true) {
        wanted.push((UNSCHEDULABLE, NO_SCHEDULE));
    }
    let mut new: Vec<Taint> =
        old.iter().filter(|taint| !is_own(taint) || wanted.iter().any(|one| is(taint, one))).cloned().collect();
    for one in &wanted {
        if !new.iter().any(|taint| is(taint, one)) {
            new.push(Taint {
                key: one.0.into(),
                effect: one.1.into(),
                time_added: Some(time::of(now)),
                ..Taint::default()
            });
        }
    }
    (new != old).then_some(new)
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let key = toleration.key.as_deref().unwrap_or_default();
    let effect = toleration.effect.as_deref().unwrap_or_default();
    let value = toleration.value.as_deref().unwrap_or_default();
    let same_effect = effect.is_empty() || effect == taint.effect;
    let same_key = key.is_empty() || key == taint.key;
    let tainted = taint.value.as_deref().unwrap_or_default();
    let compared = |holds: fn(i64, i64) -> bool| {
        let numbers = (decimal_integer(tainted), decimal_integer(value));
        matches!(numbers, (Some(tainted), Some(own)) if holds(tainted, own))
    };
    let same_value = match toleration.operator.as_deref().unwrap_or_default() {
        "Exists" => true,
        "" | "Equal" => !key.is_empty() && value == tainted,
        "Gt" => compared(|tainted, own| tainted > own),
        "Lt" => compared(|tainted, own| tainted < own),
        _ => false,
    };
    same_effect && same_key && same_value
}

fn evicting(node: &Node) -> impl Iterator<Item = &Taint> {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    taints.iter().filter(|taint| taint.effect == NO_EXECUTE)
}

/// Whether the node has a taint that pods have to leave for.
pub fn evicts(node: &Node) -> bool {
    evicting(node).next().is_some()
}

/// The time for which a pod bears the node's taints, from when it was first seen with them: `None` for ever; zero not
/// at all. The shortest of the tolerations that hold. When the taint was added does not count: a pod may have come
/// later.
pub fn tolerates_for(node: &Node, pod: &Pod) -> Option<Duration> {
    let tolerations = pod.spec.as_ref().and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default();
    let mut shortest: Option<u64> = None;
    for taint in evicting(node) {
        let holding: Vec<&Toleration> = tolerations.iter().filter(|one| tolerates(one, taint)).collect();
        if holding.is_empty() {
            return Some(Duration::ZERO);
        }
        let seconds = holding.iter().filter_map(|one| one.toleration_seconds).min();
        if let Some(seconds) = seconds.map(|seconds| u64::try_from(seconds).unwrap_or(0)) {
            shortest = Some(shortest.map_or(seconds, |least| least.min(seconds)));
        }
    }
    shortest.map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    fn ago(seconds: u64) -> String {
        sampan_api::time::rfc3339(now() - Duration::from_secs(seconds))
    }

    fn node(ready: &str, more: Value) -> Node {
        let mut value = json!({"metadata": {"name": "n", "uid": "n", "creationTimestamp": ago(900)}, "spec": {},
            "status": {"conditions": [{"type": "Ready", "status": ready}]}});
        for (key, one) in more.as_object().into_iter().flatten() {
            value["spec"][key] = one.clone();
        }
        serde_json::from_value(value).expect("a node")
    }

    #[test]
    fn silence_makes_every_reported_condition_unknown_once() {
        let node = node("True", Value::Null);
        let all = silent(&node, now()).expect("changed");
        let told: Vec<String> = all
            .iter()
            .map(|one| format!("{} {} {}", one.type_, one.status, one.reason.as_deref().unwrap_or_default()))
            .collect();
        assert_eq!(told[0], "Ready Unknown NodeStatusUnknown");
        assert_eq!(told[1], "MemoryPressure Unknown NodeStatusNeverUpdated");
        let mut quiet = node;
        quiet.status.get_or_insert_default().conditions = Some(all);
        assert!(silent(&quiet, now()).is_none());
        assert_eq!(grace(&quiet, &Settings::default()), crate::limits::NODE_GRACE);
        assert_eq!(grace(&Node::default(), &Settings::default()), crate::limits::NODE_STARTUP_GRACE);
    }

    #[test]
    fn taints_follow_conditions_and_others_are_left_alone() {
        let check = |ready: &str, spec: Value, expected: Option<&[&str]>| {
            let got = taints(&node(ready, spec.clone()), now());
            let got: Option<Vec<String>> =
                got.map(|all| all.iter().map(|taint| format!("{}:{}", taint.key, taint.effect)).collect());
            let expected: Option<Vec<String>> =
                expected.map(|all| all.iter().map(|text| text.replace("~", "node.kubernetes.io/")).collect());
            assert_eq!(got, expected, "{ready} {spec}");
        };
        let old = json!({"taints": [{"key": "mine", "effect": "NoExecute"}, {"key": NOT_READY, "effect": "NoExecute", "timeAdded": ago(9)}]});
        check("True", json!({}), None);
        check("True", old.clone(), Some(&["mine:NoExecute"]));
        check("False", json!({}), Some(&["~not-ready:NoSchedule", "~not-ready:NoExecute"]));
        check("False", old, Some(&["mine:NoExecute", "~not-ready:NoExecute", "~not-ready:NoSchedule"]));
        check("Unknown", json!({}), Some(&["~unreachable:NoSchedule", "~unreachable:NoExecute"]));
        check("True", json!({"unschedulable": true}), Some(&["~unschedulable:NoSchedule"]));
        // One that has never reported: what it was given at its creation stays until it does, or its time is up.
        let never = |taints: Value| {
            let mut node = node("True", json!({"taints": taints}));
            node.status = None;
            super::taints(&node, now())
        };
        assert_eq!(never(json!([])), None);
        assert_eq!(never(json!([{"key": NOT_READY, "effect": "NoSchedule"}])), None);
    }

    #[test]
    fn pods_bear_taints_for_as_long_as_they_tolerate_them() {
        let check = |tolerations: Value, expected: Option<u64>| {
            let taints = json!({"taints": [
                {"key": UNREACHABLE, "effect": "NoSchedule", "timeAdded": ago(100)},
                {"key": UNREACHABLE, "effect": "NoExecute", "timeAdded": ago(100)}]});
            let pod: Pod =
                serde_json::from_value(json!({"metadata": {}, "spec": {"containers": [], "tolerations": tolerations}}))
                    .expect("a pod");
            let got = tolerates_for(&node("Unknown", taints), &pod);
            assert_eq!(got, expected.map(Duration::from_secs), "{tolerations}");
        };
        let tolerate = |seconds: Value| json!({"key": UNREACHABLE, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds});
        check(json!([]), Some(0));
        check(json!([tolerate(json!(300))]), Some(300));
        check(json!([tolerate(json!(50)), tolerate(json!(300))]), Some(50));
        check(json!([tolerate(json!(-1))]), Some(0));
        check(json!([tolerate(Value::Null)]), None);
        check(json!([{"operator": "Exists"}]), None);
        check(json!([{"operator": "Exists"}, tolerate(json!(300))]), Some(300));
        check(json!([{"key": "other", "operator": "Exists"}]), Some(0));
        assert_eq!(tolerates_for(&node("True", json!({})), &Pod::default()), None);
    }

    #[test]
    fn tolerations_compare_numbers() {
        let check = |value: &str, operator: &str, own: &str, holds: bool| {
            let toleration = json!({"key": "k", "operator": operator, "value": own, "effect": "NoExecute"});
            let toleration: Toleration = serde_json::from_value(toleration).expect("a toleration");
            let taint: Taint =
                serde_json::from_value(json!({"key": "k", "value": value, "effect": "NoExecute"})).expect("a taint");
            assert_eq!(tolerates(&toleration, &taint), holds, "{value} {operator} {own}");
        };
        check("950", "Gt", "900", true);
        check("900", "Gt", "900", false);
        check("900", "Lt", "900", false);
        check("-1", "Lt", "0", true);
        check("x", "Gt", "0", false);
        check("5", "Gt", "x", false);
        check("007", "Lt", "9", false);
        check("a", "Other", "a", false);
    }
}
