//! Defaults against what the real API server answered to the creates of `golden/defaulting.jsonl`.
//!
//! What the server sets by other means (metadata, allocations, admission, strategies) is left out by path.

use crate::support::differences;
use sampan_schema::{Schema, default, json};
use sampan_testing::reference::{self, Comparison};
use serde_json::Value;

/// Paths, with `[]` for any index, that no defaulting sets: (kind or "", path prefix).
const OTHERS: &[(&str, &str)] = &[
    ("", ".metadata.creationTimestamp"),
    ("", ".metadata.managedFields"),
    ("", ".metadata.resourceVersion"),
    ("", ".metadata.uid"),
    ("", ".metadata.generation"),
    ("", ".metadata.namespace"),
    ("", ".metadata.name"),
    ("", ".metadata.finalizers"),
    // Admission: ServiceAccount, Priority, DefaultTolerationSeconds; the pod's strategy.
    ("Pod", ".spec.serviceAccount"),
    ("Pod", ".spec.preemptionPolicy"),
    ("Pod", ".spec.priority"),
    ("Pod", ".spec.tolerations"),
    ("Pod", ".status"),
    // Allocators.
    ("Service", ".spec.clusterIP"),
    ("Service", ".spec.ipFamil"),
    ("Service", ".spec.ports[].nodePort"),
    // Strategies.
    ("PersistentVolumeClaim", ".spec.dataSource"),
    ("PersistentVolume", ".status.lastPhaseTransitionTime"),
    ("Namespace", ".spec.finalizers"),
    ("Node", ".spec.taints"),
    ("Node", ".spec.podCIDRs"),
    ("Job", ".metadata.labels"),
    ("Job", ".spec.selector"),
    ("Job", ".spec.template.metadata.labels"),
    ("DaemonSet", ".metadata.annotations"),
    ("SelfSubjectAccessReview", ".status"),
    ("TokenReview", ".status"),
    ("CertificateSigningRequest", ".spec.groups"),
    ("CertificateSigningRequest", ".spec.username"),
];

/// Takes away the volume that ServiceAccount admission adds to pods.
fn without_token_volume(mut pod: Value) -> Value {
    let is_token = |one: &Value| one["name"].as_str().is_some_and(|name| name.starts_with("kube-api-access-"));
    let drop_from = |holder: &mut Value, list: &str| {
        if let Some(items) = holder.get_mut(list).and_then(Value::as_array_mut) {
            items.retain(|one| !is_token(one));
            if items.is_empty() {
                holder.as_object_mut().expect("an object").remove(list);
            }
        }
    };
    let Some(spec) = pod.get_mut("spec").filter(|spec| spec.get("containers").is_some()) else { return pod };
    drop_from(spec, "volumes");
    for list in ["containers", "initContainers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            drop_from(container, "volumeMounts");
        }
    }
    pod
}

fn general(path: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in path.chars() {
        inside = (inside || c == '[') && c != ']';
        if !inside || c == '[' {
            out.push(c);
        }
    }
    out
}

#[test]
fn defaults_as_recorded() {
    let Some(text) = reference::text("golden/defaulting.jsonl") else { return };
    let schema = Schema::builtin();
    let mut comparison = Comparison::new("defaulting", []);
    for line in text.lines() {
        let case: Value = serde_json::from_str(line).expect("JSON");
        for step in case["steps"].as_array().expect("steps") {
            let body = &step["body"];
            let answer = &without_token_volume(step["response"]["body"].clone());
            if step["method"] != "POST" || step["response"]["status"] != 201 || !body.is_object() || !answer.is_object()
            {
                continue;
            }
            let (api_version, kind) = (body["apiVersion"].as_str().unwrap_or(""), body["kind"].as_str().unwrap_or(""));
            let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
            let Some(id) = schema.find(group, version, kind) else { continue };
            let mut value = match json::from_value(schema, id, body) {
                Ok(decoded) => decoded.value,
                Err(error) => {
                    comparison.case(case["id"].as_str().unwrap_or_default(), [error.to_string()]);
                    continue;
                }
            };
            default::apply(schema, id, value.as_object_mut().expect("an object")).expect("short");
            let mut lines = Vec::new();
            differences("", answer, &value, &mut lines);
            let set_elsewhere = |line: &String| {
                let path = general(line.split(": ").next().unwrap_or_default());
                OTHERS.iter().any(|(of, prefix)| (of.is_empty() || *of == kind) && path.starts_with(prefix))
            };
            lines.retain(|line| !set_elsewhere(line));
            comparison.case(case["id"].as_str().unwrap_or_default(), lines);
        }
    }
    comparison.finish(117);
}
