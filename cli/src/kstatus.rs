//! Whether an object has become what it says: the rules of kstatus (sigs.k8s.io/cli-utils), as `kubectl wait` and Helm's
//! users know them.

use sampan_api::Object;
use serde_json::Value;

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

/// Readiness of an object, read from its status (the rules of kstatus).
pub fn progress(object: &Object) -> Progress {
    if object.deletion_timestamp().is_some() {
        return Progress::Terminating;
    }
    let seen = object.get(&["status", "observedGeneration"]).and_then(Value::as_i64);
    if seen.is_some_and(|seen| seen < object.generation()) {
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
        ("apps", "Deployment") => deployment(object, seen),
        ("apps", "ReplicaSet") => replica_set(object, seen),
        ("", "ReplicationController") => replica_set(object, seen),
        ("apps", "StatefulSet") => stateful_set(object, seen),
        ("apps", "DaemonSet") => daemon_set(object, seen),
        ("", "Pod") => pod(object),
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
    if let Some(("False", "ProgressDeadlineExceeded", message)) = condition(object, "Progressing") {
        return Progress::Failed(message.to_owned());
    }
    let (updated, all, available) = (status("updatedReplicas"), status("replicas"), status("availableReplicas"));
    if seen.is_none() || updated < wanted {
        Progress::InProgress(format!("{updated} of {wanted} replicas updated"))
    } else if all > updated {
        Progress::InProgress(format!("{} old replicas are ending", all - updated))
    } else if available < wanted {
        Progress::InProgress(format!("{available} of {wanted} replicas available"))
    } else {
        Progress::Current
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
    let counts = [(status("availableReplicas"), "replicas available"), (status("readyReplicas"), "replicas ready")];
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
    let partition = number(object, &["spec", "updateStrategy", "rollingUpdate", "partition"]);
    if partition > 0 {
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

fn pod(object: &Object) -> Progress {
    let phase = object.get_str(&["status", "phase"]).unwrap_or("Pending");
    match phase {
        "Succeeded" => Progress::Current,
        "Failed" => Progress::Failed(object.get_str(&["status", "message"]).unwrap_or("the pod failed").to_owned()),
        _ if condition(object, "Ready").is_some_and(|(status, _, _)| status == "True") => Progress::Current,
        _ => {
            let waiting = object.get(&["status", "containerStatuses"]).and_then(Value::as_array).and_then(|statuses| {
                statuses.iter().find_map(|one| {
                    let waiting = one.get("state")?.get("waiting")?;
                    let text = |name: &str| waiting.get(name).and_then(Value::as_str).unwrap_or_default();
                    Some(format!("{} {}", text("reason"), text("message")).trim().to_owned())
                })
            });
            let unscheduled = condition(object, "PodScheduled").filter(|(status, _, _)| *status == "False");
            let why = unscheduled.map(|(_, reason, message)| format!("{reason}: {message}")).or(waiting);
            Progress::InProgress(why.unwrap_or_else(|| format!("phase {phase}")))
        }
    }
}

/// Kinds without rules of their own say with a Ready condition that they are not there yet, or say nothing.
fn generic(object: &Object) -> Progress {
    match condition(object, "Ready") {
        Some(("True", _, _)) | None => Progress::Current,
        Some((_, reason, message)) => Progress::InProgress(format!("{reason}: {message}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn kinds_become_current() {
        let check = |object: Value, current: bool| {
            let found = progress(&Object::from_value(object.clone()).expect("an object"));
            assert_eq!(found == Progress::Current, current, "{object}: {found:?}");
        };
        let of = |version: &str, kind: &str, status: Value| json!({"apiVersion": version, "kind": kind, "metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": status});
        let deployment = |status: Value| of("apps/v1", "Deployment", status);
        let done = json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2});
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
        let pods = json!({"observedGeneration": 2, "replicas": 2, "readyReplicas": 2, "availableReplicas": 2});
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
