use super::plan::{Failure, differs};
use super::*;
use sampan_reconcile::claim::{Claim, claim};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn ago(seconds: u64) -> String {
    sampan_api::time::rfc3339(now() - Duration::from_secs(seconds))
}

fn set(replicas: i32, min_ready: i32) -> ReplicaSet {
    serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "set", "generation": 3},
        "spec": {"replicas": replicas, "minReadySeconds": min_ready, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web", "v": "1"}}, "spec": {"containers": [{"name": "c"}]}}},
    }))
    .expect("a ReplicaSet")
}

/// `name phase ready-since-seconds(-: not ready) node`, and more metadata and status.
fn pod(text: &str, more: Value) -> Arc<Pod> {
    let words: Vec<&str> = text.split(' ').collect();
    let [name, phase, ready, node] = words[..] else { panic!("four words: {text}") };
    let since = ready.parse().unwrap_or(0);
    let mut value = json!({
        "metadata": {"name": name, "namespace": "shop", "uid": name, "labels": {"app": "web", "v": "1"},
            "creationTimestamp": ago(5000)},
        "spec": {"containers": [], "nodeName": node.trim_matches('-')},
        "status": {"phase": phase, "conditions": [
            {"type": "Ready", "status": if ready == "-" { "False" } else { "True" }, "lastTransitionTime": ago(since)}]},
    });
    for part in ["metadata", "status"] {
        for (key, one) in more[part].as_object().into_iter().flatten() {
            value[part][key] = one.clone();
        }
    }
    Arc::new(serde_json::from_value(value).expect("a pod"))
}

fn plain(text: &str) -> Arc<Pod> {
    pod(text, Value::Null)
}

#[test]
fn as_many_pods_are_made_or_deleted_as_are_missing_or_too_many() {
    let check = |replicas: i32, pods: &[&str], expected: &str| {
        let owned: Vec<Arc<Pod>> = pods.iter().map(|text| plain(text)).collect();
        let got = match scale(&set(replicas, 0), &owned, &owned, now()) {
            None => "nothing".to_owned(),
            Some(Action::Create(count)) => format!("create {count}"),
            Some(Action::Delete(pods)) => {
                let names: Vec<&str> = pods.iter().map(|one| owner::name(&one.metadata)).collect();
                format!("delete {}", names.join(" "))
            }
        };
        assert_eq!(got, expected, "{replicas} of {pods:?}");
    };
    check(2, &[], "create 2");
    check(0, &[], "nothing");
    check(2, &["a Running 9 n", "b Pending - -"], "nothing");
    check(2, &["a Running 9 n", "b Failed - n", "c Succeeded - n"], "create 1");
    check(1000, &[], "create 500");
    check(0, &["a Running 9 n", "b Pending - -"], "delete a b");
    check(1, &["a Running 9 n", "b Pending - -"], "delete b");
    check(1, &["a Running 9 n", "b Running - m"], "delete b");
}

#[test]
fn the_least_worth_goes_first() {
    let check = |pods: &[(&str, Value)], expected: &str| {
        let pods: Vec<Arc<Pod>> = pods.iter().map(|(text, more)| pod(text, more.clone())).collect();
        let sorted = rank::least_worth_first(pods.clone(), &pods, now());
        let names: Vec<&str> = sorted.iter().map(|one| owner::name(&one.metadata)).collect();
        assert_eq!(names.join(" "), expected);
    };
    let none = || Value::Null;
    let cost = |cost: &str| json!({"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": cost}}});
    let restarted = |count: i32| json!({"status": {"containerStatuses": [{"name": "c", "image": "", "imageID": "", "ready": true, "restartCount": count}]}});
    check(
        &[("a Running 9 n", none()), ("b Running - n", none()), ("c Pending - n", none()), ("d Pending - -", none())],
        "d c b a",
    );
    check(&[("a Running 9 n", cost("5")), ("b Running 9 n", cost("-1")), ("c Running 9 n", cost("x"))], "b c a");
    check(&[("a Running 9 n", none()), ("b Running 9 m", none()), ("c Running 9 m", none())], "b c a");
    check(&[("a Running 900 n", none()), ("b Running 5 n", none()), ("c Running 90 n", none())], "b c a");
    check(&[("a Running 9 n", restarted(0)), ("b Running 9 n", restarted(3))], "b a");
    check(&[("a Running 9 n", none()), ("b Running 9 n", json!({"metadata": {"creationTimestamp": ago(5)}}))], "b a");
}

#[test]
fn the_status_counts_and_says_when_it_will_change() {
    let check = |min_ready: i32, pods: &[&str], counts: [i32; 4], requeue: Requeue| {
        let owned: Vec<Arc<Pod>> = pods.iter().map(|text| plain(text)).collect();
        let (got, when) = status(&set(2, min_ready), &owned, None, now());
        let zero = |value: Option<i32>| value.unwrap_or(-1);
        let got =
            [got.replicas, zero(got.ready_replicas), zero(got.available_replicas), zero(got.fully_labeled_replicas)];
        assert_eq!((got, when), (counts, requeue), "{pods:?}");
    };
    check(0, &["a Running 9 n", "b Running - n", "c Failed - n"], [2, 1, 1, 2], Requeue::Never);
    check(30, &["a Running 10 n", "b Running 40 n"], [2, 2, 1, 2], Requeue::After(Duration::from_secs(21)));
    let going = pod("a Running 9 n", json!({"metadata": {"deletionTimestamp": ago(1)}}));
    let (got, _) = status(&set(1, 0), &[going], None, now());
    assert_eq!((got.replicas, got.terminating_replicas, got.observed_generation), (0, Some(1), Some(3)));
}

#[test]
fn a_failure_is_a_condition_until_it_is_over() {
    let failure: Failure = ("FailedCreate", "no".into());
    let mut failing = set(1, 0);
    let (first, _) = status(&failing, &[], Some(&failure), now());
    assert_eq!(first.conditions.as_ref().expect("one")[0].message.as_deref(), Some("no"));
    failing.status = Some(first.clone());
    let (again, _) = status(&failing, &[], Some(&("FailedCreate", "still no".into())), now() + Duration::from_secs(9));
    assert!(!differs(Some(&first), &again));
    let (over, _) = status(&failing, &[], None, now());
    assert!(over.conditions.is_none() && differs(Some(&first), &over));
}

#[test]
fn a_new_pod_is_the_templates() {
    let set = set(1, 0);
    let made = plan::pod_of(&set, owner::reference(&set));
    assert_eq!(made.metadata.generate_name.as_deref(), Some("web-"));
    assert_eq!(made.metadata.labels.expect("labels")["v"], "1");
    let owners = made.metadata.owner_references.expect("an owner");
    assert_eq!(
        (owners[0].kind.as_str(), owners[0].uid.as_str(), owners[0].controller),
        ("ReplicaSet", "set", Some(true))
    );
}

#[test]
fn whose_a_pod_is() {
    let set = set(1, 0);
    let selector = selector(&set).expect("a selector");
    let check = |labels: Value, owner: Option<&str>, expected: Claim| {
        let owners: Vec<Value> = owner
            .into_iter()
            .map(|uid| json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "x", "uid": uid, "controller": true}))
            .collect();
        let one = pod("a Running 9 n", json!({"metadata": {"labels": labels, "ownerReferences": owners}}));
        assert_eq!(claim(&set.metadata, &selector, &one.metadata), expected);
    };
    check(json!({"app": "web"}), Some("set"), Claim::Mine);
    check(json!({"app": "web"}), Some("other"), Claim::NotMine);
    check(json!({"app": "web"}), None, Claim::Adopt);
    check(json!({"app": "db"}), Some("set"), Claim::Release);
    check(json!({"app": "db"}), None, Claim::NotMine);
}

#[test]
fn a_replication_controller_is_kept_as_a_replica_set() {
    let mut controller: ReplicationController = serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "rc", "generation": 2},
        "spec": {"replicas": 2, "minReadySeconds": 3, "selector": {"app": "web"},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c"}]}}},
    }))
    .expect("a ReplicationController");
    let set = controller.as_set().into_owned();
    assert!(selector(&set).is_some_and(|selector| owner::matches(&selector, &plain("a Running 9 n").metadata)));
    assert_eq!(scale(&set, &[], &[], now()), Some(Action::Create(2)));
    let made = plan::pod_of(&set, owner::reference(&controller));
    let owners = made.metadata.owner_references.expect("an owner");
    assert_eq!((owners[0].api_version.as_str(), owners[0].kind.as_str()), ("v1", "ReplicationController"));
    let failure: Failure = ("FailedCreate", "exceeded quota".into());
    let going = pod("b Running 9 n", json!({"metadata": {"deletionTimestamp": ago(1)}}));
    let (mut got, _) = status(&set, &[plain("a Running 9 n"), going], Some(&failure), now());
    assert_eq!(got.terminating_replicas.take(), Some(1));
    controller.set_status(got.clone());
    assert!(!differs(controller.as_set().status.as_ref(), &got), "nothing is written again");
    let conditions = controller.status.and_then(|status| status.conditions).expect("conditions");
    assert_eq!(
        (conditions[0].type_.as_str(), conditions[0].message.as_deref()),
        ("ReplicaFailure", Some("exceeded quota"))
    );
}
