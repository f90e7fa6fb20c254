//! Events as `events.k8s.io` shows them; stored as the core group's.

use super::super::columns::Tabled;
use super::super::core::event::{CELLS, RULES};
use crate::resource::{HistoryClass, Resource};
use sampan_api::meta::GroupVersionResource;
use sampan_api::object::Object;

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
