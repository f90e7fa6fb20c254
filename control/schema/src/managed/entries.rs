//! The entries of `managedFields`: who they are of, how many there are, and which ones a client may bring.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::fields::{FieldSet, canonical_fields};
use crate::limits::UPDATE_MANAGERS_MAX;

const OLDEST: &str = "ancient-changes";

/// The kind of write that an entry notes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Apply,
    Update,
}

impl Operation {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        }
    }
}

/// Changes the set of fields that an entry has, in place.
pub(crate) fn with_fields(entry: &mut Value, change: impl FnOnce(&mut FieldSet)) {
    if let Some(Value::Object(fields)) = entry.get_mut("fieldsV1") {
        let mut set = FieldSet::of_fields_v1(std::mem::take(fields));
        change(&mut set);
        *fields = set.into_fields_v1();
    }
}

/// A copy of the set of fields that an entry has.
pub(crate) fn fields_of(entry: &Value) -> FieldSet {
    FieldSet::of_fields_v1(entry.get("fieldsV1").and_then(Value::as_object).cloned().unwrap_or_default())
}

/// Drops the entries that have no fields.
pub(crate) fn without_empty(list: &mut Vec<Value>) {
    list.retain(|entry| entry.get("fieldsV1").and_then(Value::as_object).is_some_and(|map| !map.is_empty()));
}

pub(crate) fn entry(
    operation: Operation,
    api_version: &str,
    manager: &str,
    subresource: &str,
    time: Option<&str>,
    fields: FieldSet,
) -> Value {
    let mut map = Map::new();
    let mut set = |name: &str, value: Value| drop(map.insert(name.to_string(), value));
    set("manager", manager.into());
    set("operation", operation.name().into());
    set("apiVersion", api_version.into());
    if let Some(time) = time {
        set("time", time.into());
    }
    set("fieldsType", "FieldsV1".into());
    set("fieldsV1", Value::Object(fields.into_fields_v1()));
    if !subresource.is_empty() {
        set("subresource", subresource.into());
    }
    Value::Object(map)
}

pub(crate) fn text<'v>(entry: &'v Value, name: &str) -> &'v str {
    entry.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Whether an entry is of that manager, in whatever version it wrote.
pub(crate) fn is_of(entry: &Value, manager: &str, operation: Operation, subresource: &str) -> bool {
    text(entry, "manager") == manager
        && text(entry, "operation") == operation.name()
        && text(entry, "subresource") == subresource
}

/// The parts that tell managers apart: an applier is the same one in all versions.
pub(crate) fn identity(entry: &Value) -> [&str; 4] {
    let operation = text(entry, "operation");
    let version = if operation == Operation::Apply.name() { "" } else { text(entry, "apiVersion") };
    [text(entry, "manager"), operation, version, text(entry, "subresource")]
}

fn order(entry: &Value) -> [&str; 5] {
    // Times in UTC sort as text.
    ["operation", "time", "manager", "apiVersion", "subresource"].map(|name| text(entry, name))
}

/// Puts the entries, in their order, into an object that has none; an empty list leaves it without.
pub(crate) fn set_entries(object: &mut Map<String, Value>, mut list: Vec<Value>) {
    list.sort_by(|a, b| order(a).cmp(&order(b)));
    if let Some(Value::Object(metadata)) = object.get_mut("metadata")
        && !list.is_empty()
    {
        metadata.insert("managedFields".to_string(), Value::Array(list));
    }
}

/// The entries but for those that a later one is of the same manager as: as Kubernetes reads them, the last counts.
pub(crate) fn last_of_each(list: Vec<Value>) -> Vec<Value> {
    if list.len() < 2 {
        return list;
    }
    let last: Vec<bool> = {
        let mut met = BTreeSet::new();
        list.iter().rev().map(|entry| met.insert(identity(entry))).collect()
    };
    if last.iter().all(|last| *last) {
        return list;
    }
    list.into_iter().zip(last.into_iter().rev()).filter(|(_, last)| *last).map(|(entry, _)| entry).collect()
}

/// The entries that a client sends, in canonical form; of several of one manager the last counts. `None`: one of them is
/// malformed.
pub(crate) fn of_client(list: Vec<Value>) -> Option<Vec<Value>> {
    let mut out: Vec<Value> = Vec::with_capacity(list.len());
    let mut places: BTreeMap<[String; 4], usize> = BTreeMap::new();
    for mut entry in list {
        if malformed(out.len(), &entry).is_some() {
            return None;
        }
        let fields = canonical(entry.get_mut("fieldsV1").map(Value::take))?;
        entry["fieldsV1"] = Value::Object(fields);
        let identity = identity(&entry).map(str::to_owned);
        match places.get(&identity) {
            Some(at) => out[*at] = entry,
            None => {
                places.insert(identity, out.len());
                out.push(entry);
            }
        }
    }
    Some(out)
}

/// Why an entry cannot be read, but for its set of fields.
fn malformed(at: usize, entry: &Value) -> Option<String> {
    if !matches!(text(entry, "operation"), "Update" | "Apply") {
        return Some("operation must be `Apply` or `Update`".to_owned());
    }
    if text(entry, "apiVersion").is_empty() {
        return Some("apiVersion must not be empty".to_owned());
    }
    match text(entry, "fieldsType") {
        "FieldsV1" => None,
        "" => Some(format!("missing fieldsType in managed fields entry {at}")),
        other => {
            let other = sampan_api::field::go_quote(other);
            Some(format!("invalid fieldsType {other} in managed fields entry {at}"))
        }
    }
}

/// An entry's set of fields in canonical form. `None`: it is none.
fn canonical(fields: Option<Value>) -> Option<Map<String, Value>> {
    match fields {
        None | Some(Value::Null) => Some(Map::new()),
        Some(Value::Object(fields)) => canonical_fields(fields),
        Some(_) => None,
    }
}

/// Why entries cannot be read, in the words of Kubernetes' decoder, but for what is wrong within a set of fields.
pub fn problem(entries: &[Value]) -> Option<String> {
    entries.iter().enumerate().find_map(|(at, entry)| {
        malformed(at, entry).or_else(|| {
            let fields = entry.get("fieldsV1");
            canonical(fields.cloned()).is_none().then(|| {
                let shown = fields.map(Value::to_string).unwrap_or_default();
                let [manager, operation, version, subresource] =
                    ["manager", "operation", "apiVersion", "subresource"].map(|name| text(entry, name));
                let time = entry.get("time").and_then(Value::as_str).unwrap_or("<nil>");
                format!(
                    "error decoding versioned set from {{{manager} {operation} {version} {time} FieldsV1 {shown} \
                     {subresource}}}: error decoding set: no set of fields"
                )
            })
        })
    })
}

/// Merges the oldest updaters when there are too many.
pub(crate) fn cap(entries: &mut Vec<Value>) {
    let is_update = |entry: &Value| text(entry, "operation") == "Update";
    let mut count = entries.iter().filter(|entry| is_update(entry)).count();
    if count <= UPDATE_MANAGERS_MAX {
        return;
    }
    let age = |entry: &Value| (text(entry, "time").to_string(), text(entry, "manager").to_string());
    let (mut updates, mut kept): (Vec<Value>, Vec<Value>) = entries.drain(..).partition(is_update);
    updates.sort_by_key(age);
    // The first of each version is only marked: merging it alone would gain nothing.
    let mut first: BTreeMap<String, Value> = BTreeMap::new();
    let mut buckets: BTreeMap<String, Value> = BTreeMap::new();
    let mut rest = Vec::new();
    for entry in updates {
        let version = text(&entry, "apiVersion").to_string();
        if count <= UPDATE_MANAGERS_MAX {
            rest.push(entry);
        } else if let Some(bucket) = buckets.get_mut(&version) {
            absorb(bucket, &entry);
            count -= 1;
        } else if let Some(mut bucket) = first.remove(&version) {
            bucket["manager"] = OLDEST.into();
            if let Some(map) = bucket.as_object_mut() {
                map.remove("subresource");
            }
            absorb(&mut bucket, &entry);
            buckets.insert(version, bucket);
            count -= 1;
        } else {
            first.insert(version, entry);
        }
    }
    kept.extend(first.into_values().chain(buckets.into_values()).chain(rest));
    *entries = kept;
}

fn absorb(bucket: &mut Value, entry: &Value) {
    if let Some(Value::Object(from)) = entry.get("fieldsV1") {
        with_fields(bucket, |fields| fields.add(FieldSet::of_fields_v1(from.clone())));
    }
    match (entry.get("time"), bucket) {
        (Some(time), bucket) => bucket["time"] = time.clone(),
        (None, Value::Object(bucket)) => drop(bucket.remove("time")),
        _ => {}
    }
}
