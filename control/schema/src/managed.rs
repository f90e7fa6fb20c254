//! `managedFields` of Update operations, as the real server's field manager computes them with structured-merge-diff.
//!
//! A writer comes to own the fields that its update adds or changes, and all other owners lose them. Fields that it removes
//! have no owner.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::fields::{FieldSet, Node, element_of, is_fields_v1};
use crate::limits::UPDATE_MANAGERS_MAX;
use crate::schema::Schema;
use crate::table::{Field, TypeId};
use crate::zero;

/// The writer of an update, as its entry names it.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// The `fieldManager` parameter, else the first word of the user agent; empty becomes `unknown`.
    pub manager: &'a str,
    /// Empty for the object itself.
    pub subresource: &'a str,
    /// RFC 3339, seconds.
    pub time: &'a str,
}

/// Fields of `metadata` that nobody owns.
const UNOWNED_METADATA: &[&str] = &[
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "clusterName",
    "generation",
    "managedFields",
    "resourceVersion",
];

const OLDEST: &str = "ancient-changes";

/// Sets `metadata.managedFields` of `new` after an update of `old` (`None` for a create).
///
/// `reset` lists paths that this endpoint does not write, such as `["status"]`: with what is below them they are
/// left out. When nothing changed that anybody owns, the entries stay as they were, time included.
pub fn update(
    schema: &Schema,
    id: TypeId,
    old: Option<&Map<String, Value>>,
    new: &mut Map<String, Value>,
    writer: Writer<'_>,
    reset: &[&[&str]],
) {
    let api_version = new.get("apiVersion").and_then(Value::as_str).unwrap_or_default().to_string();
    let mut entries = entries(old, new, writer.subresource);
    if old.is_some() && entries.is_empty() {
        // Nobody tracks it, or the request asked to forget: tracking begins at a create only.
        return;
    }
    let zero = || zero::struct_of(schema, id);
    let Changes { mut taken, mut removed } = match old {
        Some(old) => compare_objects(schema, id, old, new),
        None => compare_objects(schema, id, &zero(), new),
    };
    for path in reset {
        taken.remove_below(path);
        removed.remove_below(path);
    }
    let manager = if writer.manager.is_empty() { "unknown" } else { writer.manager };
    let is_own = |entry: &Value| {
        text(entry, "manager") == manager
            && text(entry, "operation") == "Update"
            && text(entry, "apiVersion") == api_version
            && text(entry, "subresource") == writer.subresource
    };
    // Without any change there is nothing to take from anybody.
    if !taken.has_no_children() || !removed.has_no_children() {
        for entry in &mut entries {
            // The writer's own keep what is changed; nobody keeps what is removed.
            let own = is_own(entry);
            with_fields(entry, |fields| {
                fields.subtract(&removed);
                if !own {
                    fields.subtract(&taken);
                }
            });
        }
        entries.retain(|entry| entry.get("fieldsV1").and_then(Value::as_object).is_some_and(|map| !map.is_empty()));
    }
    if !taken.has_no_children() {
        match entries.iter_mut().find(|entry| is_own(entry)) {
            Some(entry) => {
                with_fields(entry, |fields| fields.add(taken));
                entry["time"] = writer.time.into();
            }
            None => entries.push(entry(&api_version, manager, &writer, taken.into_fields_v1())),
        }
    }
    cap(&mut entries);
    entries.sort_by(|a, b| order(a).cmp(&order(b)));
    if let Some(Value::Object(metadata)) = new.get_mut("metadata")
        && !entries.is_empty()
    {
        metadata.insert("managedFields".to_string(), Value::Array(entries));
    }
}

/// Changes the set of fields that an entry has, in place.
fn with_fields(entry: &mut Value, change: impl FnOnce(&mut FieldSet)) {
    if let Some(Value::Object(fields)) = entry.get_mut("fieldsV1") {
        let mut set = FieldSet::of_fields_v1(std::mem::take(fields));
        change(&mut set);
        *fields = set.into_fields_v1();
    }
}

fn entry(api_version: &str, manager: &str, writer: &Writer<'_>, fields: Map<String, Value>) -> Value {
    let mut map = Map::new();
    let mut set = |name: &str, value: Value| drop(map.insert(name.to_string(), value));
    set("manager", manager.into());
    set("operation", "Update".into());
    set("apiVersion", api_version.into());
    set("time", writer.time.into());
    set("fieldsType", "FieldsV1".into());
    set("fieldsV1", Value::Object(fields));
    if !writer.subresource.is_empty() {
        set("subresource", writer.subresource.into());
    }
    Value::Object(map)
}

fn text<'v>(entry: &'v Value, name: &str) -> &'v str {
    entry.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn order(entry: &Value) -> [&str; 5] {
    // Times in UTC sort as text.
    ["operation", "time", "manager", "apiVersion", "subresource"].map(|name| text(entry, name))
}

/// The entries to start from, taken out of the object: those that the request brings, so that they can be edited, unless it brings none; an
/// empty list or a single empty entry means to forget all.
fn entries(old: Option<&Map<String, Value>>, new: &mut Map<String, Value>, subresource: &str) -> Vec<Value> {
    let sent = match new.get_mut("metadata").and_then(|m| m.as_object_mut()?.remove("managedFields")) {
        Some(Value::Array(list)) => Some(list),
        _ => None,
    };
    let live = || {
        let list = old.and_then(|old| old.get("metadata")?.get("managedFields")?.as_array().cloned());
        list.unwrap_or_default()
    };
    let sound = |entry: &Value| {
        entry.get("fieldsV1").is_some_and(is_fields_v1) && matches!(text(entry, "operation"), "Update" | "Apply")
    };
    match sent {
        Some(list) if subresource.is_empty() => {
            let reset = list.is_empty() || (list.len() == 1 && list[0].as_object().is_some_and(Map::is_empty));
            if reset {
                Vec::new()
            } else if list.iter().all(sound) {
                list
            } else {
                live()
            }
        }
        _ => live(),
    }
}

/// Merges the oldest updaters when there are too many.
fn cap(entries: &mut Vec<Value>) {
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
    bucket["time"] = entry.get("time").cloned().unwrap_or(Value::Null);
}

/// The fields that an update changed.
#[derive(Default)]
struct Changes {
    /// Added or modified.
    taken: FieldSet,
    removed: FieldSet,
}

impl Changes {
    fn put(&mut self, element: impl FnOnce() -> String, inner: Changes) {
        match (inner.taken.is_empty(), inner.removed.is_empty()) {
            (true, true) => {}
            (false, true) => self.taken.put(element(), inner.taken),
            (true, false) => self.removed.put(element(), inner.removed),
            (false, false) => {
                let element = element();
                self.taken.put(element.clone(), inner.taken);
                self.removed.put(element, inner.removed);
            }
        }
    }
}

fn f(name: &str) -> String {
    let mut element = String::with_capacity(name.len() + 2);
    element.push_str("f:");
    element.push_str(name);
    element
}

fn compare_objects(schema: &Schema, id: TypeId, old: &Map<String, Value>, new: &Map<String, Value>) -> Changes {
    let empty = Map::new();
    let mut changes = Changes::default();
    each(old, new, |name, from, to| {
        if name == "apiVersion" || name == "kind" {
            return;
        }
        let node = Node::Struct(id).child(schema, name);
        if name != "metadata" {
            changes.put(|| f(name), compare(schema, node, from, to));
            return;
        }
        let mut inner = Changes::default();
        let (from, to) = (from.and_then(Value::as_object), to.and_then(Value::as_object));
        each(from.unwrap_or(&empty), to.unwrap_or(&empty), |name, from, to| {
            if !UNOWNED_METADATA.contains(&name) {
                inner.put(|| f(name), compare(schema, node.child(schema, name), from, to));
            }
        });
        changes.put(|| f(name), inner);
    });
    changes
}

/// Visits the keys of two maps, each once.
fn each<'m>(
    old: &'m Map<String, Value>,
    new: &'m Map<String, Value>,
    mut visit: impl FnMut(&'m str, Option<&'m Value>, Option<&'m Value>),
) {
    for (name, from) in old {
        visit(name, Some(from), new.get(name));
    }
    for (name, to) in new {
        if !old.contains_key(name) {
            visit(name, None, Some(to));
        }
    }
}

fn is_nothing(value: Option<&Value>) -> bool {
    value.is_none_or(|value| match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Null => true,
        _ => false,
    })
}

/// All of a value, as it is owned when it is new (or as it is lost when it goes).
fn whole(schema: &Schema, node: Node<'_>, value: &Value) -> FieldSet {
    let mut part = FieldSet::leaf();
    match (node, value) {
        (Node::Struct(_) | Node::Map(_), Value::Object(map)) => {
            for (name, inner) in map {
                part.put(f(name), whole(schema, node.child(schema, name), inner));
            }
        }
        (Node::List(field), Value::Array(list)) => {
            let node = Node::of_element(schema, field);
            for inner in list {
                let Some(element) = element_of(schema, field, inner) else { continue };
                // Equal-keyed elements are owned together, as one leaf.
                let twice = part.leads_to(&element);
                part.put(element, if twice { FieldSet::leaf() } else { whole(schema, node, inner) });
            }
        }
        _ => {}
    }
    part
}

fn compare(schema: &Schema, node: Node<'_>, old: Option<&Value>, new: Option<&Value>) -> Changes {
    let mut changes = Changes::default();
    match (old, new) {
        (None, None) => return changes,
        (None, Some(new)) => {
            changes.taken = whole(schema, node, new);
            return changes;
        }
        (Some(old), None) => {
            changes.removed = whole(schema, node, old);
            return changes;
        }
        (Some(old), Some(new)) if old == new => return changes,
        _ => {}
    }
    // Two empty ones are compared whole, so that `null` and `{}` differ.
    if is_nothing(old) && is_nothing(new) {
        changes.taken.insert_self();
        return changes;
    }
    let is_object = |value: Option<&Value>| matches!(value, Some(Value::Object(_) | Value::Null));
    match node {
        Node::List(field) => {
            let (from, to) = (elements(schema, field, old), elements(schema, field, new));
            let node = Node::of_element(schema, field);
            for (element, before) in &from {
                let after = to.get(element).map_or(&[][..], Vec::as_slice);
                changes.put(|| element.clone(), compare_element(schema, node, before, after));
            }
            for (element, after) in to.iter().filter(|(element, _)| !from.contains_key(*element)) {
                changes.put(|| element.clone(), compare_element(schema, node, &[], after));
            }
        }
        Node::Struct(_) | Node::Map(_) if is_object(old) && is_object(new) => {
            let empty = Map::new();
            let from = old.and_then(Value::as_object).unwrap_or(&empty);
            let to = new.and_then(Value::as_object).unwrap_or(&empty);
            each(from, to, |name, from, to| {
                changes.put(|| f(name), compare(schema, node.child(schema, name), from, to));
            });
        }
        _ => changes.taken.insert_self(),
    }
    changes
}

/// The elements of a list by their path elements; duplicates stand together.
fn elements<'v>(schema: &Schema, field: &Field, list: Option<&'v Value>) -> BTreeMap<String, Vec<&'v Value>> {
    let mut map: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for value in list.and_then(Value::as_array).into_iter().flatten() {
        if let Some(element) = element_of(schema, field, value) {
            map.entry(element).or_default().push(value);
        }
    }
    map
}

/// One path element, which may stand for several equal-keyed elements: those are owned together, as one leaf.
fn compare_element(schema: &Schema, node: Node<'_>, old: &[&Value], new: &[&Value]) -> Changes {
    let mut changes = Changes::default();
    match (old, new) {
        ([_, _, ..], [_, _, ..]) if old != new => changes.taken.insert_self(),
        ([_, _, ..], [_, _, ..]) => {}
        ([_, _, ..], new) => {
            changes = compare(schema, node, None, new.first().copied());
            changes.removed.insert_self();
        }
        (old, [_, _, ..]) => {
            changes = compare(schema, node, old.first().copied(), None);
            changes.taken.insert_self();
        }
        (old, new) => return compare(schema, node, old.first().copied(), new.first().copied()),
    }
    changes
}
