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
    match object.kind() {
        "Deployment" => deployment(object, seen),
        "ReplicaSet" | "StatefulSet" | "ReplicationController" => replicas(object, seen),
        "Pod" => pod(object),
        "Namespace" => match object.get_str(&["status", "phase"]) {
            Some("Active") => Progress::Current,
            _ => Progress::InProgress("its phase is not Active".into()),
        },
        _ => generic(object),
    }
}

fn deployment(object: &Object, seen: Option<i64>) -> Progress {
    let wanted = object.get(&["spec", "replicas"]).and_then(Value::as_i64).unwrap_or(1);
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

fn replicas(object: &Object, seen: Option<i64>) -> Progress {
    let wanted = object.get(&["spec", "replicas"]).and_then(Value::as_i64).unwrap_or(1);
    let ready = number(object, &["status", "readyReplicas"]);
    if seen.is_none() || ready < wanted {
        return Progress::InProgress(format!("{ready} of {wanted} replicas ready"));
    }
    Progress::Current
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
        let deployment = |status: Value| json!({"kind": "Deployment", "metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": status});
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
        check(json!({"kind": "ConfigMap"}), true);
        check(json!({"kind": "Pod", "status": {"phase": "Succeeded"}}), true);
        check(
            json!({"kind": "Pod", "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}}),
            false,
        );
        check(
            json!({"kind": "SchedulingPolicy", "status": {"conditions": [{"type": "Ready", "status": "False"}]}}),
            false,
        );
    }
}
