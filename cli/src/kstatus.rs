//! Whether an object has become what it says: the rules of kstatus (sigs.k8s.io/cli-utils, pkg/kstatus/status), as Helm's and
//! Flux's users know them. Where kstatus takes an object that nobody has acted on for ready, or a pod that failed, this does
//! not: who applies wants to know.

use sampan_api::Object;
use sampan_api::time;
use serde_json::Value;
use std::time::{Duration, SystemTime};

/// Time that a pod has to be scheduled before it counts as one that will not be (kstatus' ScheduleWindow).
const SCHEDULE_WINDOW: Duration = Duration::from_secs(15);

/// The command that makes an image known.
const IMPORT: &str = "sampan image import";

/// Readiness of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The object is as its spec wants it.
    Current,
    /// On the way; what is missing.
    InProgress(String),
    /// The object will not get there by itself, for this reason.
    Failed(String),
    /// Being deleted.
    Terminating,
}

fn number(object: &Object, path: &[&str]) -> i64 {
    object.get(path).and_then(Value::as_i64).unwrap_or(0)
}

fn condition<'a>(object: &'a Object, kind: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let conditions = object.get(&["status", "conditions"])?.as_array()?;
    let one = conditions.iter().find(|one| one["type"] == kind)?;
    let text = |name: &str| one.get(name).and_then(Value::as_str).unwrap_or_default();
    Some((text("status"), text("reason"), text("message")))
}

/// Readiness of an object, read from its status.
pub fn progress(object: &Object, now: SystemTime) -> Progress {
    if object.deletion_timestamp().is_some() {
        return Progress::Terminating;
    }
    let seen = object.get(&["status", "observedGeneration"]).and_then(Value::as_i64);
    if seen.is_some_and(|seen| seen != object.generation()) {
        return Progress::InProgress("its latest change has not been taken up".into());
    }
    if let Some(("True", _, message)) = condition(object, "Reconciling") {
        return Progress::InProgress(message.to_owned());
    }
    if let Some(("True", _, message)) = condition(object, "Stalled") {
        return Progress::Failed(message.to_owned());
    }
    let group = object.api_version().split_once('/').map_or("", |(group, _)| group);
    match (group, object.kind()) {
        ("apps" | "extensions", "Deployment") => deployment(object, seen),
        ("apps" | "extensions", "ReplicaSet") => replica_set(object, seen),
        ("", "ReplicationController") => replica_set(object, seen),
        ("apps", "StatefulSet") => stateful_set(object, seen),
        ("apps" | "extensions", "DaemonSet") => daemon_set(object, seen),
        ("", "Pod") => pod(object, now),
        ("batch", "Job") => job(object),
        ("", "PersistentVolumeClaim") => match object.get_str(&["status", "phase"]) {
            Some("Bound") => Progress::Current,
            phase => Progress::InProgress(format!("PVC is not Bound. phase: {}", phase.unwrap_or("Pending"))),
        },
        ("", "Service") if object.get_str(&["spec", "type"]) == Some("LoadBalancer") => {
            match object.get_str(&["spec", "clusterIP"]).unwrap_or_default() {
                "" => Progress::InProgress("ClusterIP not set. Service type: LoadBalancer".into()),
                _ => Progress::Current,
            }
        }
        ("", "Namespace") => match object.get_str(&["status", "phase"]) {
            Some("Active") => Progress::Current,
            _ => Progress::InProgress("its phase is not Active".into()),
        },
        ("policy", "PodDisruptionBudget") if seen.is_none() => {
            Progress::InProgress("its pods have not been counted".into())
        }
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition(object),
        _ => generic(object),
    }
}

fn wanted(object: &Object) -> i64 {
    object.get(&["spec", "replicas"]).and_then(Value::as_i64).unwrap_or(1)
}

/// The first of the counts that is lower than it should be; each with what it counts.
fn short(counts: &[(i64, &str)], of: i64) -> Option<Progress> {
    let short = counts.iter().find(|(count, _)| *count < of);
    short.map(|(count, what)| Progress::InProgress(format!("{count} of {of} {what}")))
}

fn not_taken_up() -> Progress {
    Progress::InProgress("nobody has taken it up yet".into())
}

fn deployment(object: &Object, seen: Option<i64>) -> Progress {
    let wanted = wanted(object);
    let status = |name: &str| number(object, &["status", name]);
    let progressing = condition(object, "Progressing");
    if let Some((_, "ProgressDeadlineExceeded", message)) = progressing {
        return Progress::Failed(message.to_owned());
    }
    if seen.is_none() {
        return not_taken_up();
    }
    let (all, updated) = (status("replicas"), status("updatedReplicas"));
    if let Some(missing) = short(&[(all, "replicas made"), (updated, "replicas updated")], wanted) {
        return missing;
    }
    if all > wanted {
        return Progress::InProgress(format!("{} old replicas are ending", all - wanted));
    }
    let counts = [(status("availableReplicas"), "replicas available"), (status("readyReplicas"), "replicas ready")];
    if let Some(missing) = short(&counts, wanted) {
        return missing;
    }
    // Without a deadline its controller does not say how far it is.
    let deadline = object.get(&["spec", "progressDeadlineSeconds"]).and_then(Value::as_i64);
    let has_deadline = deadline.is_some_and(|seconds| seconds != i64::from(i32::MAX));
    if has_deadline && !matches!(progressing, Some(("True", "NewReplicaSetAvailable", _))) {
        return Progress::InProgress("its new ReplicaSet is not available yet".into());
    }
    match condition(object, "Available") {
        Some(("True", _, _)) => Progress::Current,
        other => Progress::InProgress(other.map_or("it is not available yet", |(_, _, message)| message).to_owned()),
    }
}

fn replica_set(object: &Object, seen: Option<i64>) -> Progress {
    if seen.is_none() {
        return not_taken_up();
    }
    if let Some(("True", _, message)) = condition(object, "ReplicaFailure") {
        return Progress::InProgress(message.to_owned());
    }
    let (status, wanted) = (|name: &str| number(object, &["status", name]), wanted(object));
    let counts = [
        (status("fullyLabeledReplicas"), "replicas labelled"),
        (status("availableReplicas"), "replicas available"),
        (status("readyReplicas"), "replicas ready"),
    ];
    match short(&counts, wanted) {
        Some(missing) => missing,
        None if status("replicas") > wanted => {
            Progress::InProgress(format!("{} replicas too many are ending", status("replicas") - wanted))
        }
        None => Progress::Current,
    }
}

fn stateful_set(object: &Object, seen: Option<i64>) -> Progress {
    if object.get_str(&["spec", "updateStrategy", "type"]) == Some("OnDelete") {
        return Progress::Current;
    }
    if seen.is_none() {
        return not_taken_up();
    }
    let (status, wanted) = (|name: &str| number(object, &["status", name]), wanted(object));
    if let Some(missing) =
        short(&[(status("replicas"), "replicas made"), (status("readyReplicas"), "replicas ready")], wanted)
    {
        return missing;
    }
    if status("replicas") > wanted {
        return Progress::InProgress(format!("{} replicas too many are ending", status("replicas") - wanted));
    }
    let partition = object.get(&["spec", "updateStrategy", "rollingUpdate", "partition"]).and_then(Value::as_i64);
    if let Some(partition) = partition {
        let updated = [(status("updatedReplicas"), "replicas updated")];
        return short(&updated, wanted - partition).unwrap_or(Progress::Current);
    }
    if let Some(missing) = short(&[(status("currentReplicas"), "replicas of the current revision")], wanted) {
        return missing;
    }
    let revision = |name: &str| object.get_str(&["status", name]).unwrap_or_default();
    if revision("currentRevision") != revision("updateRevision") {
        return Progress::InProgress("the new revision is not rolled out".into());
    }
    Progress::Current
}

fn daemon_set(object: &Object, seen: Option<i64>) -> Progress {
    let status = |name: &str| object.get(&["status", name]).and_then(Value::as_i64);
    let Some(wanted) = status("desiredNumberScheduled").filter(|_| seen.is_some()) else { return not_taken_up() };
    let count = |name: &str| status(name).unwrap_or(0);
    let counts = [
        (count("currentNumberScheduled"), "pods scheduled"),
        (count("updatedNumberScheduled"), "pods updated"),
        (count("numberAvailable"), "pods available"),
        (count("numberReady"), "pods ready"),
    ];
    short(&counts, wanted).unwrap_or(Progress::Current)
}

/// A Job that has begun is as its spec wants it: it may run for days.
fn job(object: &Object) -> Progress {
    for kind in ["Failed", "FailureTarget"] {
        if let Some(("True", _, message)) = condition(object, kind) {
            return Progress::Failed(format!("Job Failed. {message}"));
        }
    }
    let complete = condition(object, "Complete").is_some_and(|(status, _, _)| status == "True");
    if complete || object.get_str(&["status", "startTime"]).is_some() {
        return Progress::Current;
    }
    Progress::InProgress("Job not started".into())
}

fn definition(object: &Object) -> Progress {
    if let Some(("False", _, message)) = condition(object, "NamesAccepted") {
        return Progress::Failed(message.to_owned());
    }
    match condition(object, "Established") {
        Some(("True", _, _)) => Progress::Current,
        Some(("False", reason, message)) if reason != "Installing" => Progress::Failed(message.to_owned()),
        _ => Progress::InProgress("Install in progress".into()),
    }
}

fn pod(object: &Object, now: SystemTime) -> Progress {
    let phase = object.get_str(&["status", "phase"]).unwrap_or("Pending");
    match phase {
        "Succeeded" => return Progress::Current,
        "Failed" => {
            let why = object.get_str(&["status", "message"]).unwrap_or("the pod failed");
            return Progress::Failed(ended(object).map_or_else(|| why.to_owned(), |ended| format!("{why}: {ended}")));
        }
        "Running" if condition(object, "Ready").is_some_and(|(status, _, _)| status == "True") => {
            return Progress::Current;
        }
        _ => {}
    }
    let waiting = waiting(object);
    if let Some((name, _, why)) =
        waiting.iter().find(|(_, reason, _)| *reason == "CrashLoopBackOff" && phase == "Running")
    {
        return Progress::Failed(format!("container {name} ends again and again: {why}"));
    }
    if let Some(("False", reason, message)) = condition(object, "PodScheduled") {
        let why = format!("{reason}: {message}");
        let created = object.get_str(&["metadata", "creationTimestamp"]).and_then(time::parse);
        let age = created.and_then(|created| now.duration_since(created).ok());
        let hopeless = reason == "Unschedulable" && age.is_some_and(|age| age > SCHEDULE_WINDOW);
        return if hopeless { Progress::Failed(why) } else { Progress::InProgress(why) };
    }
    let why = waiting.first().map(|(_, reason, message)| match *reason {
        "ErrImagePull" | "ImagePullBackOff" if !message.contains(IMPORT) => {
            format!("{reason} {message}; images are WebAssembly components: `sampan image ls`, `{IMPORT}`")
        }
        _ => format!("{reason} {message}").trim().to_owned(),
    });
    Progress::InProgress(why.unwrap_or_else(|| format!("phase {phase}")))
}

/// The first container that ended with an error, its reason and its exit code.
fn ended(pod: &Object) -> Option<String> {
    let statuses = pod.get(&["status", "containerStatuses"]).and_then(Value::as_array)?;
    statuses.iter().find_map(|status| {
        let terminated = status.get("state")?.get("terminated")?;
        let code = terminated.get("exitCode")?.as_i64().filter(|code| *code != 0)?;
        let text = |of: &Value, name: &str| of.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        Some(format!("container {} ended with {code} ({})", text(status, "name"), text(terminated, "reason")))
    })
}

/// The containers that wait, each with the reason and the message.
fn waiting(pod: &Object) -> Vec<(&str, &str, &str)> {
    fn text<'a>(of: &'a Value, name: &str) -> &'a str {
        of.get(name).and_then(Value::as_str).unwrap_or_default()
    }
    let statuses = pod.get(&["status", "containerStatuses"]).and_then(Value::as_array).into_iter().flatten();
    let waiting = statuses.filter_map(|status| Some((status, status.get("state")?.get("waiting")?)));
    waiting.map(|(status, waiting)| (text(status, "name"), text(waiting, "reason"), text(waiting, "message"))).collect()
}

/// Kinds without rules of their own say with a Ready condition that they are not there yet, or say nothing.
fn generic(object: &Object) -> Progress {
    match condition(object, "Ready") {
        Some(("False" | "Unknown", reason, message)) => Progress::InProgress(format!("{reason}: {message}")),
        _ => Progress::Current,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    #[test]
    fn a_deployment_is_current_when_its_controller_says_so_too() {
        let check = |deadline: Value, conditions: Value, expected: Progress| {
            let status = json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1,
                "availableReplicas": 1, "conditions": conditions});
            let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"generation": 1},
                "spec": {"replicas": 1, "progressDeadlineSeconds": deadline}, "status": status});
            assert_eq!(progress(&Object::from_value(object).expect("an object"), NOW), expected);
        };
        let available = json!({"type": "Available", "status": "True"});
        let rolled_out = json!({"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"});
        let rolling = json!({"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"});
        let late =
            json!({"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "late"});
        let missing = |text: &str| Progress::InProgress(text.to_owned());
        check(json!(600), json!([available, rolled_out]), Progress::Current);
        check(json!(i32::MAX), json!([available]), Progress::Current);
        check(json!(600), json!([available, rolling]), missing("its new ReplicaSet is not available yet"));
        check(json!(600), json!([rolled_out]), missing("it is not available yet"));
        check(json!(600), json!([available, late]), Progress::Failed("late".into()));
    }

    #[test]
    fn pods_that_will_not_become_ready_by_themselves_have_failed() {
        let check = |status: Value, age: u64, expected: Progress| {
            let metadata = json!({"creationTimestamp": "1970-01-01T00:00:00Z"});
            let object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": status});
            let now = NOW + Duration::from_secs(age);
            assert_eq!(progress(&Object::from_value(object).expect("an object"), now), expected);
        };
        let lost = json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}]});
        check(lost.clone(), 15, Progress::InProgress("Unschedulable: 0/1 nodes".into()));
        check(lost, 16, Progress::Failed("Unschedulable: 0/1 nodes".into()));
        let waits = |phase: &str, reason: &str| {
            let waiting = json!({"reason": reason, "message": "why"});
            json!({"phase": phase, "containerStatuses": [{"name": "c", "state": {"waiting": waiting}}]})
        };
        let failed = Progress::Failed("container c ends again and again: why".into());
        check(waits("Running", "CrashLoopBackOff"), 1, failed);
        let missing = "ErrImagePull why; images are WebAssembly components: `sampan image ls`, `sampan image import`";
        check(waits("Pending", "ErrImagePull"), 99, Progress::InProgress(missing.into()));
        check(json!({"phase": "Failed", "message": "Evicted"}), 1, Progress::Failed("Evicted".into()));
        let killed = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
        let failed = json!({"phase": "Failed", "containerStatuses": [{"name": "c", "state": killed}]});
        let why = "the pod failed: container c ended with 137 (OOMKilled)";
        check(failed, 1, Progress::Failed(why.into()));
        check(json!({}), 1, Progress::InProgress("phase Pending".into()));
    }

    #[test]
    fn kinds_become_current() {
        let check = |object: Value, current: bool| {
            let found = progress(&Object::from_value(object.clone()).expect("an object"), NOW);
            assert_eq!(found == Progress::Current, current, "{object}: {found:?}");
        };
        let of = |version: &str, kind: &str, status: Value| json!({"apiVersion": version, "kind": kind, "metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": status});
        let deployment = |status: Value| of("apps/v1", "Deployment", status);
        let available = json!([{"type": "Available", "status": "True"}]);
        let done = json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2,
            "readyReplicas": 2, "conditions": available});
        check(deployment(done), true);
        check(
            deployment(json!({"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2})),
            false,
        );
        check(
            deployment(json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 2, "availableReplicas": 2})),
            false,
        );
        check(deployment(json!({})), false);
        let pods = json!({"observedGeneration": 2, "replicas": 2, "readyReplicas": 2, "availableReplicas": 2,
            "fullyLabeledReplicas": 2});
        check(of("apps/v1", "ReplicaSet", pods.clone()), true);
        check(of("v1", "ReplicationController", pods), true);
        let failing = json!({"observedGeneration": 2, "conditions": [{"type": "ReplicaFailure", "status": "True"}]});
        check(of("apps/v1", "ReplicaSet", failing), false);
        let ordered = |current: &str| {
            json!({"observedGeneration": 2, "replicas": 2, "readyReplicas": 2, "currentReplicas": 2,
                "currentRevision": current, "updateRevision": "b"})
        };
        check(of("apps/v1", "StatefulSet", ordered("b")), true);
        check(of("apps/v1", "StatefulSet", ordered("a")), false);
        let everywhere = |ready: i64| {
            json!({"observedGeneration": 2, "desiredNumberScheduled": 3, "currentNumberScheduled": 3,
                "updatedNumberScheduled": 3, "numberAvailable": 3, "numberReady": ready})
        };
        check(of("apps/v1", "DaemonSet", everywhere(3)), true);
        check(of("apps/v1", "DaemonSet", everywhere(2)), false);
        check(of("apps/v1", "DaemonSet", json!({})), false);
        check(of("batch/v1", "Job", json!({})), false);
        check(of("batch/v1", "Job", json!({"startTime": "2026-01-01T00:00:00Z"})), true);
        check(of("batch/v1", "Job", json!({"conditions": [{"type": "Failed", "status": "True"}]})), false);
        check(of("v1", "PersistentVolumeClaim", json!({"phase": "Pending"})), false);
        check(of("v1", "PersistentVolumeClaim", json!({"phase": "Bound"})), true);
        check(json!({"apiVersion": "v1", "kind": "Service", "spec": {"type": "LoadBalancer"}}), false);
        check(json!({"apiVersion": "v1", "kind": "Service", "spec": {"type": "ClusterIP"}}), true);
        let definition = |kind: &str, status: &str, reason: &str| {
            let conditions = json!([{"type": kind, "status": status, "reason": reason}]);
            of("apiextensions.k8s.io/v1", "CustomResourceDefinition", json!({"conditions": conditions}))
        };
        check(definition("Established", "True", ""), true);
        check(definition("Established", "False", "Installing"), false);
        check(definition("NamesAccepted", "False", "Conflict"), false);
        check(of("policy/v1", "PodDisruptionBudget", json!({})), false);
        check(of("example.io/v1", "Thing", json!({"conditions": [{"type": "Stalled", "status": "True"}]})), false);
        check(of("example.io/v1", "Deployment", json!({})), true);
        check(json!({"apiVersion": "v1", "kind": "ConfigMap"}), true);
        check(json!({"apiVersion": "v1", "kind": "Pod", "status": {"phase": "Succeeded"}}), true);
        check(
            json!({"apiVersion": "v1", "kind": "Pod", "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}}),
            false,
        );
        check(
            json!({"apiVersion": "scheduling.sampan.dev/v1", "kind": "SchedulingPolicy", "status": {"conditions": [{"type": "Ready", "status": "False"}]}}),
            false,
        );
    }
}
