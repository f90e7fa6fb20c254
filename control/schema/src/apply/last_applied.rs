//! The way from kubectl's client-side apply to server-side apply: the annotation with what was applied last.

use serde_json::{Map, Value};

use crate::fields::{FieldSet, Node};
use crate::go_print;
use crate::managed::compare::compare_objects;
use crate::schema::ObjectType;

/// The manager that goes by the annotation.
pub(super) const MANAGER: &str = "kubectl";

const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";

fn annotation(object: &Map<String, Value>) -> Option<&str> {
    let text = object.get("metadata")?.get("annotations")?.get(ANNOTATION)?.as_str()?;
    Some(text).filter(|text| !text.is_empty())
}

/// The fields that were applied in the client last and are still as they were applied. `None` when the object does not say.
pub(super) fn allowed(ty: &ObjectType, live: &Map<String, Value>) -> Option<FieldSet> {
    let mut last: Map<String, Value> = serde_json::from_str(annotation(live)?).ok()?;
    if last.get("apiVersion") != live.get("apiVersion") || last.get("kind") != live.get("kind") {
        return None;
    }
    super::whole_numbers(&mut last);
    super::validate::validate(ty.schema(), ty.id(), &last).ok()?;
    let mut set = FieldSet::of_object(ty.schema(), Node::Struct(ty.id()), &last);
    let changes = compare_objects(ty.schema(), ty.id(), &last, live);
    set.subtract(&changes.taken);
    set.subtract(&changes.removed);
    Some(set)
}

/// Writes what was applied now into the annotation, where there is one. It goes where annotations would be too long with it.
pub(super) fn refresh(object: &mut Map<String, Value>, config: &Map<String, Value>) {
    if annotation(object).is_none() {
        return;
    }
    let mut config = config.clone();
    if let Some(Value::Object(metadata)) = config.get_mut("metadata") {
        match metadata.get_mut("annotations") {
            Some(Value::Object(annotations)) => drop(annotations.remove(ANNOTATION)),
            _ => drop(metadata.remove("annotations")),
        }
    }
    let text = go_print::json(&Value::Object(config)) + "\n";
    let Some(annotations) = object.get_mut("metadata").and_then(|m| m.get_mut("annotations")?.as_object_mut()) else {
        return;
    };
    annotations.insert(ANNOTATION.to_owned(), Value::String(text));
    let size: usize = annotations.iter().map(|(name, value)| name.len() + value.as_str().map_or(0, str::len)).sum();
    if size > sampan_api::limits::ANNOTATIONS_MAX {
        annotations.remove(ANNOTATION);
    }
}
