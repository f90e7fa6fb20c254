//! Whole answers of a real server to writes that try the rules of fields: errors, warnings, and the object as it is
//! defaulted. They stand in `rules.jsonl` (kube-apiserver v1.35.0; without what admission and the server's state add), as
//! `{id, gates, serves, steps: [{method, path, body, capture, answer: {status, causes, warnings, object}}]}`, `gates`: features
//! that the server was told to have on or off, `serves`: versions that it was told to serve. Most were written by hand; those
//! named `one-...` are valid objects with one field spoilt, one for each text of an error of each kind; those named `oracle-...` are
//! what random requests showed to differ (`tests/tests/kubernetes`).

use serde_json::Value;

use super::replay::Replay;
use sampan_testing::reference::Comparison;

/// Writes that are compared.
const WRITES: usize = 5352;

/// What stands here where the recording has a placeholder for what a server allots.
fn allotted(found: &mut Value, wanted: &Value) {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => {
            for (name, found) in found {
                allotted(found, wanted.get(name).unwrap_or(&Value::Null));
            }
        }
        (Value::Array(found), Value::Array(wanted)) => {
            found.iter_mut().zip(wanted).for_each(|(found, wanted)| allotted(found, wanted));
        }
        (found, Value::String(text)) if text.starts_with('<') && text.ends_with('>') && !found.is_null() => {
            *found = wanted.clone();
        }
        _ => {}
    }
}

/// The object without what the recording leaves out: what each server makes anew, and what admission adds.
fn comparable(mut object: Value) -> Value {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for name in ["uid", "resourceVersion", "creationTimestamp", "managedFields", "namespace"] {
            metadata.remove(name);
        }
    }
    if object["kind"] == "Pod"
        && let Some(spec) = object["spec"].as_object_mut()
    {
        for name in ["tolerations", "priority", "preemptionPolicy", "serviceAccountName", "serviceAccount"] {
            spec.remove(name);
        }
    }
    object
}

#[tokio::test]
async fn rules_of_fields_are_those_of_the_real_server() {
    let mut comparison = Comparison::of_list("answers to writes", include_str!("known-rules.tsv"));
    let text = include_str!("rules.jsonl").replace("${ns}", "golden");
    for line in text.lines() {
        let case: Value = serde_json::from_str(line).expect("a case is JSON");
        let id = case["id"].as_str().unwrap_or_default();
        let mut replay = Replay::with(&case["gates"], &case["serves"]).await;
        for (at, step) in case["steps"].as_array().into_iter().flatten().enumerate() {
            let wanted = &step["answer"];
            let answer = replay.answer(step).await;
            if step["method"] == "DELETE" {
                // Only the state that it leaves counts.
                continue;
            }
            let mut answer = answer.expect("a write of a kind that is stored");
            let name = format!("{id}/{at}");
            let texts = |list: &Value| {
                list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
            };
            comparison.equal(&format!("{name} causes"), &answer.causes, &texts(&wanted["causes"]));
            // Their order is in part that of Go's maps.
            let mut warned = texts(&wanted["warnings"]);
            warned.sort();
            answer.warnings.sort();
            comparison.equal(&format!("{name} warnings"), &answer.warnings, &warned);
            if wanted["object"].is_object() {
                let wanted = comparable(wanted["object"].clone());
                let mut object = comparable(answer.object.take());
                allotted(&mut object, &wanted);
                comparison.equal(&format!("{name} object"), &object.to_string(), &wanted.to_string());
            }
        }
    }
    comparison.finish(WRITES);
}
