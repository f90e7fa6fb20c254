use super::*;
use serde_json::Value;
use std::time::{Duration, SystemTime};

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn ago(seconds: u64) -> String {
    sampan_api::time::rfc3339(now() - Duration::from_secs(seconds))
}

fn budget(spec: Value, status: Value) -> PodDisruptionBudget {
    let value =
        json!({"metadata": {"name": "b", "namespace": "shop", "generation": 3}, "spec": spec, "status": status});
    serde_json::from_value(value).expect("a budget")
}

/// `name state`: `ready`, `unready`, `going` (ready).
fn pods(texts: &[&str]) -> Vec<Arc<Pod>> {
    let pod = |text: &&str| {
        let (name, state) = text.split_once(' ').expect("two words");
        let ready = if state == "unready" { "False" } else { "True" };
        let mut value = json!({"metadata": {"name": name}, "status": {"phase": "Running",
            "conditions": [{"type": "Ready", "status": ready}]}});
        if state == "going" {
            value["metadata"]["deletionTimestamp"] = ago(1).into();
        }
        Arc::new(serde_json::from_value(value).expect("a pod"))
    };
    texts.iter().map(pod).collect()
}

#[test]
fn what_is_expected_and_must_be_healthy() {
    let check = |spec: Value, pods: usize, scale: i32, expected: Option<(i32, i32)>| {
        let budget = budget(spec.clone(), Value::Null);
        let scale =
            if needs_scale(&budget) { Scale { expected: scale, unmanaged: Vec::new() } } else { Scale::default() };
        assert_eq!(wanted(&budget, pods, &scale).ok(), expected, "{spec}");
    };
    check(json!({"minAvailable": 2}), 5, 9, Some((5, 2)));
    check(json!({"minAvailable": "50%"}), 5, 9, Some((9, 5)));
    check(json!({"minAvailable": "100%"}), 5, 3, Some((3, 3)));
    check(json!({"maxUnavailable": 1}), 5, 9, Some((9, 8)));
    check(json!({"maxUnavailable": 10}), 5, 9, Some((9, 0)));
    check(json!({"maxUnavailable": "10%"}), 5, 9, Some((9, 8)));
    check(json!({"maxUnavailable": "0%"}), 5, 9, Some((9, 9)));
    check(json!({"minAvailable": "many"}), 5, 9, None);
    check(json!({}), 5, 9, Some((0, 0)));
}

#[test]
fn as_many_may_go_as_are_healthy_beyond_what_must_be() {
    // Pods; expected and desired; healthy and allowed.
    let check = |texts: &[&str], wanted: (i32, i32), expected: (i32, i32, &str)| {
        let budget = budget(json!({}), Value::Null);
        let got = status(&budget, &pods(texts), wanted, Default::default(), now());
        let conditions = got.conditions.clone().expect("conditions");
        let reason = format!("{} {}", conditions[0].status, conditions[0].reason);
        assert_eq!((got.current_healthy, got.disruptions_allowed, reason.as_str()), expected, "{texts:?}");
        assert_eq!((got.observed_generation, got.expected_pods, got.desired_healthy), (Some(3), wanted.0, wanted.1));
    };
    check(&["a ready", "b ready", "c ready"], (3, 2), (3, 1, "True SufficientPods"));
    check(&["a ready", "b unready", "c ready"], (3, 2), (2, 0, "False InsufficientPods"));
    check(&["a ready", "b going", "c ready"], (3, 2), (2, 0, "False InsufficientPods"));
    check(&[], (0, 0), (0, 0, "False InsufficientPods"));
    check(&["a ready"], (0, 0), (1, 0, "False InsufficientPods"));
    check(&["a ready"], (3, 5), (1, 0, "False InsufficientPods"));
}

#[test]
fn a_disruption_that_was_allowed_counts_until_it_is_seen_or_given_up() {
    let told = json!({"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0,
        "disruptedPods": {"a": ago(10), "b": ago(500), "c": ago(10), "gone": ago(10)}});
    let budget = budget(json!({}), told);
    let all = pods(&["a ready", "b ready", "c going", "d ready"]);
    let (waiting, never, requeue) = disrupted(&budget, &all, now());
    assert_eq!(waiting.keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!(never.iter().map(|one| owner::name(&one.metadata)).collect::<Vec<_>>(), ["b"]);
    assert_eq!(requeue, Requeue::After(Duration::from_secs(111)));
    let got = status(&budget, &all, (4, 1), waiting, now());
    assert_eq!((got.current_healthy, got.disruptions_allowed), (2, 1), "b and d");
    let same = PodDisruptionBudget { status: Some(got.clone()), ..budget.clone() };
    assert_eq!(
        status(&same, &all, (4, 1), got.disrupted_pods.clone().expect("a"), now() + Duration::from_secs(1)),
        got
    );
}

#[test]
fn a_budget_that_cannot_be_counted_allows_nothing() {
    let told = json!({"currentHealthy": 3, "desiredHealthy": 1, "disruptionsAllowed": 2, "expectedPods": 3, "observedGeneration": 2});
    let got = failed(&budget(json!({}), told), "found no controllers for pod \"a\"", now());
    let one = &got.conditions.as_ref().expect("conditions")[0];
    assert_eq!((got.disruptions_allowed, got.current_healthy, got.observed_generation), (0, 3, Some(2)));
    assert_eq!((one.status.as_str(), one.reason.as_str()), ("False", "SyncFailed"));
    assert_eq!(one.message, "found no controllers for pod \"a\"");
}

#[test]
fn a_pod_that_was_to_go_and_is_there_is_told_of_no_more() {
    let check = |status: &str, reason: &str, since: u64, going: bool, expected: Option<u64>| {
        let mut value = json!({"metadata": {"name": "a"}, "status": {"phase": "Running", "conditions": [
            {"type": "DisruptionTarget", "status": status, "reason": reason, "lastTransitionTime": ago(since)}]}});
        if going {
            value["metadata"]["deletionTimestamp"] = ago(1).into();
        }
        let one: Pod = serde_json::from_value(value).expect("a pod");
        assert_eq!(stale_in(&one, now()), expected.map(Duration::from_secs), "{status} {reason} {since}");
    };
    check("True", "EvictionByEvictionAPI", 20, false, Some(100));
    check("True", "EvictionByEvictionAPI", 300, false, Some(0));
    check("True", "EvictionByEvictionAPI", 300, true, None);
    check("True", "TerminationByKubelet", 300, false, None);
    check("False", "", 300, false, None);
}
