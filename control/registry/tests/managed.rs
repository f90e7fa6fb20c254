//! managedFields against what the real API server recorded: creates of `golden/defaulting.jsonl` and the writes of
//! `golden/updates.jsonl` and `golden/patches.jsonl`. What an endpoint does not write is what the kind's row says.

use std::collections::HashMap;

use sampan_api::{GroupVersionKind, Object};
use sampan_registry::versions;
use sampan_registry::{ManagedWrite, ResourceTable, shapes};
use sampan_schema::{json, patch};
use sampan_testing::reference::{self, Comparison};
use serde_json::Value;

/// Cases that differ, and why.
const DIFFERENT: &[(&str, &str)] = &[];

const TIME: &str = "2026-01-02T03:04:05Z";

/// Entries without their times, in the order of their text (the recording does not keep order).
fn entries(object: &Value) -> Vec<String> {
    let list = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let mut entries: Vec<String> = list
        .into_iter()
        .map(|mut entry| {
            entry.as_object_mut().expect("an entry").remove("time");
            entry.to_string()
        })
        .collect();
    entries.sort();
    entries
}

/// The stored object before a step: with its managedFields, but none of the recording's placeholders for times.
fn stored(object: &Value) -> Value {
    let mut object = object.clone();
    let metadata = object["metadata"].as_object_mut().expect("metadata");
    metadata.remove("creationTimestamp");
    for entry in metadata.get_mut("managedFields").and_then(Value::as_array_mut).into_iter().flatten() {
        entry["time"] = "2026-01-01T00:00:00Z".into();
    }
    object
}

fn subresource(path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    path.ends_with("/status") || path.ends_with("/scale") || path.ends_with("/finalize")
}

#[test]
fn managed_fields_as_recorded() {
    let table = ResourceTable::builtin().expect("the built-in rows make a table");
    let mut comparison = Comparison::new("managedFields", DIFFERENT.iter().copied());
    for file in ["defaulting", "updates", "patches"] {
        let Some(text) = reference::text(&format!("golden/{file}.jsonl")) else { return };
        for line in text.lines() {
            let case: Value = serde_json::from_str(line).expect("JSON");
            let mut live: HashMap<String, Value> = HashMap::new();
            for step in case["steps"].as_array().expect("steps") {
                let (method, path) = (step["method"].as_str().unwrap_or(""), step["path"].as_str().unwrap_or(""));
                let bare = path.split('?').next().unwrap_or_default().to_string();
                let part = subresource(&bare);
                let answer = &step["response"]["body"];
                let Some(name) = answer["metadata"]["name"].as_str() else { continue };
                let key = match (method, part) {
                    ("POST", _) => format!("{bare}/{name}"),
                    (_, true) => bare.rsplit_once('/').map_or_else(String::new, |(parent, _)| parent.to_string()),
                    _ => bare.clone(),
                };
                let (api_version, kind) =
                    (answer["apiVersion"].as_str().unwrap_or(""), answer["kind"].as_str().unwrap_or(""));
                let gvk = GroupVersionKind::parse(api_version, kind).unwrap_or_default();
                let Some(row) = table.of_kind(&gvk) else { continue };
                let ty = row.ty.as_ref().expect("a built-in row has a type");
                let (schema, id) = (ty.schema(), ty.id());
                let old = live.get(&key).cloned();
                let content = step["headers"]["content-type"].as_str().unwrap_or("");
                let sent = match (method, &old) {
                    ("POST", _) => Some(step["body"].clone()),
                    ("PUT", Some(_)) => Some(step["body"].clone()),
                    ("PATCH", Some(old)) if content.contains("/merge") => {
                        Some(patch::merge(old.clone(), &step["body"]))
                    }
                    ("PATCH", Some(old)) if content.contains("strategic") => {
                        patch::strategic(schema, id, old.clone(), step["body"].clone()).ok()
                    }
                    ("PATCH", Some(old)) if content.contains("json-patch") => {
                        patch::json(old.clone(), &step["body"]).ok()
                    }
                    _ => None,
                };
                let dry = path.contains("dryRun");
                if !dry && answer["kind"] != "Status" && answer["metadata"]["uid"].is_string() {
                    live.insert(key, stored(answer));
                }
                let good = step["response"]["status"].as_u64().is_some_and(|s| s < 300);
                let Some(sent) = sent.filter(|sent| sent.is_object() && good && !part) else { continue };
                let Ok(decoded) = json::from_value(schema, id, &sent) else { continue };
                let mut new = Object::from_value(decoded.value).expect("an object");
                if method == "POST" {
                    // The registry wipes these before anybody can own them.
                    new.metadata_mut().remove("deletionTimestamp");
                    new.metadata_mut().remove("deletionGracePeriodSeconds");
                }
                shapes::apply_defaults(row, &mut new).expect("short");
                let manager = path.split("fieldManager=").nth(1).map_or("golden", |m| m.split('&').next().unwrap_or(m));
                let old = old.and_then(Object::from_value);
                let write = ManagedWrite { manager, subresource: "", time: TIME };
                shapes::track_managers(row, old.as_ref(), &mut new, &write, &*versions::of_row(&table, row));
                let new = new.into_value();
                let (ours, theirs) = (entries(&new), entries(answer));
                let differs =
                    || format!("{method}\n  real {}\n  ours {}", theirs.join("\n       "), ours.join("\n       "));
                comparison.case(case["id"].as_str().unwrap_or_default(), (ours != theirs).then(differs));
            }
        }
    }
    comparison.finish(178);
}

/// A manager that wrote in v1 loses what a write in v2 changed, as v1 has it.
#[test]
fn owners_in_other_versions_are_compared_there() {
    let table = ResourceTable::builtin().expect("the built-in rows make a table");
    let row = table.lookup("autoscaling", "v2", "horizontalpodautoscalers").expect("a row");
    let of = |metrics: Value| {
        let entry = serde_json::json!({"manager": "old", "operation": "Update", "apiVersion": "autoscaling/v1",
            "fieldsType": "FieldsV1", "time": TIME,
            "fieldsV1": {"f:spec": {"f:maxReplicas": {}, "f:targetCPUUtilizationPercentage": {}}}});
        let object = serde_json::json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "h", "managedFields": [entry]}, "spec": {"maxReplicas": 3, "metrics": metrics}});
        Object::from_value(object).expect("an object")
    };
    let target = |utilization: u32| {
        serde_json::json!([{"type": "Resource", "resource": {"name": "cpu",
            "target": {"type": "Utilization", "averageUtilization": utilization}}}])
    };
    let mut new = of(target(80));
    let write = ManagedWrite { manager: "new", subresource: "", time: TIME };
    shapes::track_managers(row, Some(&of(target(70))), &mut new, &write, &*versions::of_row(&table, row));
    let list = new.metadata()["managedFields"].as_array().cloned().expect("entries");
    let fields = |manager: &str| {
        list.iter().find(|entry| entry["manager"] == manager).map(|entry| entry["fieldsV1"].to_string())
    };
    assert_eq!(fields("old").as_deref(), Some(r#"{"f:spec":{"f:maxReplicas":{}}}"#));
    assert_eq!(fields("new").as_deref(), Some(r#"{"f:spec":{"f:metrics":{}}}"#));
}
