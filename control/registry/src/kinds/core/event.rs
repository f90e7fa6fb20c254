//! Events. The core group's is the stored version; `events.k8s.io` shows the same objects with other names of fields.

use super::super::columns::{Cell, Tabled, age};
use super::super::rules::Rules;
use super::super::validation::{At, FieldErrors};
use crate::limits::EVENT_LIFETIME;
use crate::resource::{HistoryClass, Resource};
use sampan_api::names;
use sampan_api::object::Object;
use serde_json::Value;
use std::time::SystemTime;

pub(super) fn row() -> Resource {
    Resource::new("", "v1", "events", "Event")
        .short_names(["ev"])
        .selectable("involvedObject.kind")
        .selectable("involvedObject.namespace")
        .selectable("involvedObject.name")
        .selectable("involvedObject.uid")
        .selectable("involvedObject.apiVersion")
        .selectable("involvedObject.resourceVersion")
        .selectable("involvedObject.fieldPath")
        .selectable("reason")
        .selectable("reportingComponent")
        .selectable_fn("source", |event| first(&[component(event), reporter(event)]).to_owned())
        .selectable("type")
        .history(HistoryClass::Scant)
        .lives_for(EVENT_LIFETIME)
        .strategy(RULES)
        .table(CELLS)
}

const RULES: Rules = Rules {
    // Kubernetes asks no more of it.
    name: names::path_segment,
    validate: Some(|_, event| {
        let mut errors = FieldErrors::default();
        common(event, "reportingComponent", &mut errors);
        errors
    }),
    create_on_update: true,
    bare_metadata: true,
    propagation: None,
    ..Rules::NONE
};

/// The cells of both versions: their fields have different names, so each is looked for under either.
pub(in crate::kinds) const CELLS: &[(&str, Cell)] = &[
    ("last-seen", last_seen),
    ("first-seen", |event, now| first_seen(event, now).into()),
    ("object", |event, _| {
        let field = |name: &str| text(event, &["involvedObject", name], &["regarding", name]);
        let kind = field("kind").to_lowercase();
        match field("name") {
            "" => kind.into(),
            name => format!("{kind}/{name}").into(),
        }
    }),
    ("source", |event, _| {
        let host = text(event, &["source", "host"], &["deprecatedSource", "host"]);
        let instance = first(&[host, event.get_str(&["reportingInstance"]).unwrap_or("")]);
        let component = first(&[component(event), reporter(event)]);
        if instance.is_empty() { component.into() } else { format!("{component}, {instance}").into() }
    }),
    ("message", |event, _| text(event, &["message"], &["note"]).trim().into()),
    ("count", |event, _| {
        let number = |path: &[&str]| event.get(path).and_then(Value::as_i64);
        let count = match event.get(&["series"]) {
            Some(Value::Object(_)) => number(&["series", "count"]),
            _ => number(&["count"]).or_else(|| number(&["deprecatedCount"])).filter(|count| *count != 0).or(Some(1)),
        };
        count.unwrap_or(0).into()
    }),
];

fn last_seen(event: &Object, now: SystemTime) -> Value {
    let series = event.get_str(&["series", "lastObservedTime"]);
    let last = text(event, &["lastTimestamp"], &["deprecatedLastTimestamp"]);
    match (series, last) {
        (Some(series), _) => age(series, now).into(),
        (None, "") => first_seen(event, now).into(),
        (None, last) => age(last, now).into(),
    }
}

fn first_seen(event: &Object, now: SystemTime) -> String {
    let first_seen = text(event, &["firstTimestamp"], &["deprecatedFirstTimestamp"]);
    age(first(&[first_seen, event.get_str(&["eventTime"]).unwrap_or("")]), now)
}

fn component(event: &Object) -> &str {
    text(event, &["source", "component"], &["deprecatedSource", "component"])
}

fn reporter(event: &Object) -> &str {
    text(event, &["reportingComponent"], &["reportingController"])
}

fn text<'a>(event: &'a Object, core: &[&str], events: &[&str]) -> &'a str {
    event.get_str(core).or_else(|| event.get_str(events)).unwrap_or("")
}

fn first<'a>(texts: &[&'a str]) -> &'a str {
    texts.iter().find(|text| !text.is_empty()).copied().unwrap_or("")
}

const TEXT_MAX: usize = 128;
const NOTE_MAX: usize = 1024;

/// The rules for events that both versions share. `reporter`: the name of the reporting component's field in the
/// version.
pub(in crate::kinds) fn common(event: &Object, reporter: &str, errors: &mut FieldErrors) {
    let at = At::object(event);
    let involved = at.get("involvedObject");
    let place = involved.get("namespace");
    let namespace = event.namespace();
    let own = place.text();
    let timed = !at.get("eventTime").is_empty();
    // An event about something without a namespace stands in the default one.
    let fits = match own {
        "" => matches!(namespace, "" | "default") || (timed && namespace == "kube-system"),
        own => timed || own == namespace,
    };
    if !fits {
        place.invalid_as(errors, own, "does not match event.namespace");
    }
    if !timed {
        return;
    }
    let component = at.get("reportingComponent").text();
    let shown = at.get(reporter);
    if component.is_empty() {
        shown.required(errors, "");
    }
    shown.invalid_each_as(errors, component, names::qualified_name(component));
    for (field, max) in [("reportingInstance", TEXT_MAX), ("action", TEXT_MAX), ("reason", TEXT_MAX)] {
        if at.get(field).is_empty() {
            at.get(field).required(errors, "");
        }
        if at.get(field).len() > max {
            at.get(field).invalid_as(errors, "", format!("can have at most {max} characters"));
        }
    }
    if at.get("message").len() > NOTE_MAX {
        at.get("message").invalid_as(errors, "", format!("can have at most {NOTE_MAX} characters"));
    }
}
