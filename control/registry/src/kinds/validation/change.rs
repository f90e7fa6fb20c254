//! Changes to a pod that its views allow, and the text of a difference.

use super::{At, app_armor};
use sampan_api::field::{FieldErrors, Path};
use sampan_api::object::Object;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::fmt::Write as _;

/// Marks a pod that shows what a node runs by itself.
pub(super) const MIRROR: &str = "kubernetes.io/config.mirror";

/// The path of an error of the whole request, as Kubernetes writes one without a name.
pub(super) fn of_no_field() -> Path {
    Path::from_rendered("[]")
}

/// Annotations that a pod keeps as it was made (ValidatePodSpecificAnnotationUpdates).
pub(super) fn fixed_annotations(pod: &Object, old: &Object, errors: &mut FieldErrors) {
    let (at, old_at) = (At::object(pod), At::object(old));
    let (metadata, old_metadata) = (at.get("metadata"), old_at.get("metadata"));
    let (annotations, before) = (metadata.get("annotations"), old_metadata.get("annotations"));
    let mut forbid = |key: &str, app_armor: &str, mirror: &str| {
        if key.starts_with(app_armor::PREFIX) {
            annotations.key(key).forbidden(errors, app_armor);
        } else if key == MIRROR {
            annotations.key(key).forbidden(errors, mirror);
        }
    };
    for (key, value) in before.entries() {
        if annotations.key(key).value() != value.value() {
            forbid(
                key,
                "may not remove or update AppArmor annotations",
                "may not remove or update mirror pod annotation",
            );
        }
    }
    for (key, _) in annotations.entries() {
        if !before.key(key).is_set() {
            forbid(key, "may not add AppArmor annotations", "may not add mirror pod annotation");
        }
    }
}

/// The first index of each name in a list.
pub(super) fn places(list: At<'_>) -> HashMap<String, usize> {
    let mut places = HashMap::new();
    for (index, item) in list.items().enumerate() {
        places.entry(item.get("name").text().to_owned()).or_insert(index);
    }
    places
}

pub(super) fn ephemeral_containers(pod: &Object, old: &Object, errors: &mut FieldErrors) {
    let (at, old_at) = (At::object(pod), At::object(old));
    let (spec, old_spec) = (at.get("spec"), old_at.get("spec"));
    let (list, before) = (spec.get("ephemeralContainers"), old_spec.get("ephemeralContainers"));
    let places = places(list);
    for container in before.items() {
        let name = container.get("name").text();
        match places.get(name).map(|index| list.index(*index)) {
            None => {
                let detail =
                    format!("existing ephemeral containers {} may not be removed\n", sampan_api::field::go_quote(name));
                list.forbidden(errors, detail);
            }
            Some(new) if new.value() != container.value() => {
                let difference = match (container.value().as_object(), new.value().as_object()) {
                    (Some(old), Some(new)) => diff(old, new),
                    _ => String::new(),
                };
                let name = sampan_api::field::go_quote(name);
                list.forbidden(
                    errors,
                    format!("existing ephemeral containers {name} may not be changed\n{difference}"),
                );
            }
            Some(_) => {}
        }
    }
}

/// The fields that differ, old before new.
pub(in crate::kinds) fn diff(old: &Map<String, Value>, new: &Map<String, Value>) -> String {
    let mut text = String::new();
    compare("", &Value::Object(old.clone()), &Value::Object(new.clone()), &mut text);
    text
}

fn compare(path: &str, old: &Value, new: &Value, text: &mut String) {
    match (old, new) {
        (Value::Object(a), Value::Object(b)) => {
            let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                let (old, new) = (a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null));
                compare(&if path.is_empty() { key.clone() } else { format!("{path}.{key}") }, old, new, text);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (old, new)) in a.iter().zip(b).enumerate() {
                compare(&format!("{path}[{index}]"), old, new, text);
            }
        }
        (old, new) if old != new => {
            // Writing to a String cannot fail.
            writeln!(text, "- {path}: {old}\n+ {path}: {new}").unwrap_or_default();
        }
        _ => {}
    }
}
