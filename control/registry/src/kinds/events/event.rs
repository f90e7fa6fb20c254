//! Events as `events.k8s.io` shows them; stored as the core group's.

use super::super::columns::Tabled;
use super::super::core::event::{self, CELLS};
use super::super::rules::Rules;
use super::super::validation::checks::named;
use super::super::validation::{At, FieldErrors};
use crate::metadata::masked;
use crate::resource::{HistoryClass, Resource};
use sampan_api::meta::GroupVersionResource;
use sampan_api::names;
use sampan_api::object::Object;
use serde_json::Value;

/// (field here, field of the core group's).
const RENAMED: [(&str, &str); 7] = [
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

pub(super) fn row() -> Resource {
    Resource::new("events.k8s.io", "v1", "events", "Event")
        .short_names(["ev"])
        .selectable("reason")
        .selectable_as("regarding.kind", "involvedObject.kind")
        .selectable_as("regarding.namespace", "involvedObject.namespace")
        .selectable_as("regarding.name", "involvedObject.name")
        .selectable_as("regarding.uid", "involvedObject.uid")
        .selectable_as("regarding.apiVersion", "involvedObject.apiVersion")
        .selectable_as("regarding.resourceVersion", "involvedObject.resourceVersion")
        .selectable_as("regarding.fieldPath", "involvedObject.fieldPath")
        .selectable_as("reportingController", "reportingComponent")
        .selectable("type")
        .history(HistoryClass::Scant)
        .strategy(RULES)
        .stored_as(GroupVersionResource::new("", "v1", "events"), to_core, from_core)
        .table(CELLS)
}

fn to_core(event: &mut Object) {
    for (here, core) in RENAMED {
        if let Some(value) = event.remove(&[here]) {
            event.set(&[core], value);
        }
    }
}

fn from_core(event: &mut Object) {
    for (here, core) in RENAMED {
        if let Some(value) = event.remove(&[core]) {
            event.set(&[here], value);
        }
    }
}

const RULES: Rules = Rules {
    // Those of the core group, and of a creation those of `names_of`.
    name: names::path_segment,
    create_on_update: true,
    validate: Some(|_, event| {
        let mut errors = FieldErrors::default();
        event::common(event, "reportingController", &mut errors);
        names_of(At::object(event).get("metadata"), &mut errors);
        strict(At::object(event), &mut errors);
        errors
    }),
    validate_update: Some(|_, event, old| {
        let mut errors = FieldErrors::default();
        event::common(event, "reportingController", &mut errors);
        let (at, old) = (At::object(event), At::object(old));
        if at.get("series").value() != old.get("series").value() {
            series(at, &mut errors);
        }
        for field in FIXED {
            fixed(field, at, old, &mut errors);
        }
        errors
    }),
    ..Rules::NONE
};

/// Names as most kinds have them, which the core group does not ask for.
fn names_of(metadata: At<'_>, errors: &mut FieldErrors) {
    let (prefix, name) = (metadata.get("generateName"), metadata.get("name"));
    if !prefix.is_empty() {
        prefix.invalid_each(errors, names::dns1123_subdomain(&masked(prefix.text())));
    }
    if !name.is_empty() {
        named(name, errors, names::dns1123_subdomain);
    }
}

/// Fields of an event that cannot change in this version, by the core group's names.
const FIXED: [&str; 13] = [
    "involvedObject",
    "reason",
    "message",
    "source",
    "firstTimestamp",
    "lastTimestamp",
    "count",
    "type",
    "eventTime",
    "action",
    "related",
    "reportingComponent",
    "reportingInstance",
];

/// As Go compares structs: what is unset equals what is empty. A text that is taken away is shown as the empty one.
fn fixed(field: &str, now: At<'_>, before: At<'_>, errors: &mut FieldErrors) {
    let (new, old) = (now.get(field), before.get(field));
    let is_empty = |at: At<'_>| match at.value() {
        Value::Number(number) => number.as_i64() == Some(0),
        Value::Bool(on) => !on,
        _ => at.is_empty(),
    };
    if new.value() == old.value() || is_empty(new) && is_empty(old) {
        return;
    }
    let shown = if field == "reportingComponent" { now.get("reportingController") } else { new };
    let value = match old.value() {
        Value::String(_) if new.is_empty() => Value::from(""),
        _ => new.value().clone(),
    };
    shown.invalid_as(errors, value, "field is immutable");
}

fn series(at: At<'_>, errors: &mut FieldErrors) {
    let series = at.get("series");
    if !series.is_set() {
        return;
    }
    if series.get("count").number() < 2 {
        at.get("series.count").invalid_as(errors, "", "should be at least 2");
    }
    if series.get("lastObservedTime").is_empty() {
        at.get("series.lastObservedTime").required(errors, "");
    }
}

/// This version's own rules: a time, a type, and none of the old fields.
fn strict(at: At<'_>, errors: &mut FieldErrors) {
    series(at, errors);
    if at.get("eventTime").is_empty() {
        at.get("eventTime").required(errors, "");
    }
    let type_ = at.get("type");
    if !matches!(type_.text(), "Normal" | "Warning") {
        type_.invalid_as(errors, "", format!("has invalid value: {}", type_.text()));
    }
    for field in ["firstTimestamp", "lastTimestamp"] {
        if !at.get(field).is_empty() {
            at.get(field).invalid_as(errors, "", "needs to be unset");
        }
    }
    if at.get("count").number() != 0 {
        at.get("count").invalid_as(errors, "", "needs to be unset");
    }
    let source = at.get("source");
    if !source.get("component").is_empty() || !source.get("host").is_empty() {
        source.invalid_as(errors, "", "needs to be unset");
    }
}
