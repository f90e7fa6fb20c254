//! `managedFields` of Update operations, as the real server's field manager computes them with structured-merge-diff.
//!
//! What an update adds or changes is its writer's; whoever owned it before loses it, and what is removed is nobody's.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::fields::{FieldSet, Node, element_of, to_fields_v1};
use crate::limits::UPDATE_MANAGERS_MAX;
use crate::table::{Schema, Text, Type, TypeId};
use crate::zero;

/// Who writes.
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
    "name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation", "managedFields",
    "resourceVersion",
];

const OLDEST: &str = "ancient-changes";

/// Sets `metadata.managedFields` of `new` after an update of `old` (`None` for a create).
///
/// `reset` lists paths that this endpoint does not write, such as `["status"]`: with what is below them they are
/// left out. When nothing changed that anybody owns, the entries stay as they were, time included.
pub fn update(schema: &Schema, id: TypeId, old: Option<&Value>, new: &mut Value, writer: Writer<'_>, reset: &[&[&str]]) {
    let api_version = new.get("apiVersion").and_then(Value::as_str).unwrap_or_default().to_string();
    let mut entries = entries(old, new, writer.subresource);
    if old.is_some() && entries.is_empty() {
        // Nobody tracks it, or the request asked to forget: tracking begins at a create only.
        if let Some(Value::Object(metadata)) = new.get_mut("metadata") {
            metadata.remove("managedFields");
        }
        return;
    }
    let mut changes = match old {
        Some(old) => compare_objects(schema, id, old, new),
        None => compare_objects(schema, id, &zero::element(schema, Type::Struct(id)), new),
    };
    for path in reset {
        let elements: Vec<String> = path.iter().map(|name| format!("f:{name}")).collect();
        let set = FieldSet::of_path(elements.iter().map(String::as_str));
        changes.taken.remove_below(&set);
        changes.removed.remove_below(&set);
    }
    let mut lost = changes.taken.clone();
    lost.add(&changes.removed);
    let manager = if writer.manager.is_empty() { "unknown" } else { writer.manager };
    let is_own = |entry: &Value| {
        text(entry, "manager") == manager
            && text(entry, "operation") == "Update"
            && text(entry, "apiVersion") == api_version
            && text(entry, "subresource") == writer.subresource
    };
    if !lost.is_empty() {
        for entry in &mut entries {
            // The writer's own keep what is changed, and lose what is removed.
            let taken = if is_own(entry) { &changes.removed } else { &lost };
            if let Some(Value::Object(fields)) = entry.get_mut("fieldsV1") {
                subtract(fields, taken);
            }
        }
        entries.retain(|entry| entry.get("fieldsV1").and_then(Value::as_object).is_some_and(|map| !map.is_empty()));
    }
    if !changes.taken.is_empty() {
        match entries.iter_mut().find(|entry| is_own(entry)) {
            Some(entry) => {
                if let Some(Value::Object(fields)) = entry.get_mut("fieldsV1") {
                    insert(fields, &changes.taken);
                }
                entry["time"] = writer.time.into();
            }
            None => entries.push(entry(&api_version, manager, &writer, to_fields_v1(&changes.taken))),
        }
    }
    cap(&mut entries);
    entries.sort_by(|a, b| order(a).cmp(&order(b)));
    if let Some(Value::Object(metadata)) = new.get_mut("metadata") {
        if entries.is_empty() {
            metadata.remove("managedFields");
        } else {
            metadata.insert("managedFields".to_string(), Value::Array(entries));
        }
    }
}

fn entry(api_version: &str, manager: &str, writer: &Writer<'_>, fields: Value) -> Value {
    let mut map = Map::new();
    let mut set = |name: &str, value: Value| drop(map.insert(name.to_string(), value));
    set("manager", manager.into());
    set("operation", "Update".into());
    set("apiVersion", api_version.into());
    set("time", writer.time.into());
    set("fieldsType", "FieldsV1".into());
    set("fieldsV1", fields);
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

/// The entries to start from: those that the request brings, so that they can be edited, unless it brings none; an
/// empty list or a single empty entry means to forget all.
fn entries(old: Option<&Value>, new: &mut Value, subresource: &str) -> Vec<Value> {
    let of = |value: &Value| value.get("metadata").and_then(|m| m.get("managedFields")).and_then(Value::as_array).cloned();
    let sent = of(new);
    let live = || old.and_then(of).unwrap_or_default();
    let sound = |entry: &Value| {
        entry.get("fieldsV1").is_some_and(Value::is_object) && matches!(text(entry, "operation"), "Update" | "Apply")
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
    if let (Some(Value::Object(into)), Some(Value::Object(from))) = (bucket.get_mut("fieldsV1"), entry.get("fieldsV1")) {
        union_fields(into, from);
    }
    bucket["time"] = entry.get("time").cloned().unwrap_or(Value::Null);
}

fn union_fields(into: &mut Map<String, Value>, from: &Map<String, Value>) {
    for (element, theirs) in from {
        match (into.get_mut(element), theirs) {
            (Some(Value::Object(ours)), Value::Object(theirs)) => {
                if ours.is_empty() != theirs.is_empty() {
                    // An empty object is a member without children: beside children it is written as a dot.
                    ours.insert(".".to_string(), Value::Object(Map::new()));
                }
                union_fields(ours, theirs);
            }
            (Some(_), _) => {}
            (None, theirs) => drop(into.insert(element.clone(), theirs.clone())),
        }
    }
}

/// Takes a set out of a `fieldsV1` in place: entries can be long, changes are short.
fn subtract(fields: &mut Map<String, Value>, set: &FieldSet) {
    for (element, inner) in &set.children {
        let Some(Value::Object(owned)) = fields.get_mut(&**element) else { continue };
        if owned.is_empty() {
            if inner.member {
                fields.remove(&**element);
            }
            continue;
        }
        let had = owned.contains_key(".");
        if inner.member {
            owned.remove(".");
        }
        subtract(owned, inner);
        let member = had && !inner.member;
        match owned.len() {
            0 if !member => drop(fields.remove(&**element)),
            1 if member => drop(owned.remove(".")),
            _ => {}
        }
    }
}

/// Adds a set to a `fieldsV1` in place.
fn insert(fields: &mut Map<String, Value>, set: &FieldSet) {
    for (element, inner) in &set.children {
        if inner.is_empty() {
            continue;
        }
        match fields.get_mut(&**element) {
            Some(Value::Object(owned)) => {
                let member = inner.member || owned.is_empty() || owned.contains_key(".");
                insert(owned, inner);
                owned.remove(".");
                if member && !owned.is_empty() {
                    owned.insert(".".to_string(), Value::Object(Map::new()));
                }
            }
            _ => drop(fields.insert(element.to_string(), to_fields_v1(inner))),
        }
    }
}

/// What an update did.
#[derive(Default)]
struct Changes {
    /// Added or modified.
    taken: FieldSet,
    removed: FieldSet,
}

impl Changes {
    fn put(&mut self, element: impl FnOnce() -> Text, inner: Changes) {
        let (taken, removed) = (!inner.taken.is_empty(), !inner.removed.is_empty());
        if taken || removed {
            let element = element();
            if taken {
                self.taken.children.insert(element.clone(), inner.taken);
            }
            if removed {
                self.removed.children.insert(element, inner.removed);
            }
        }
    }
}

fn compare_objects(schema: &Schema, id: TypeId, old: &Value, new: &Value) -> Changes {
    let empty = Map::new();
    let (old, new) = (old.as_object().unwrap_or(&empty), new.as_object().unwrap_or(&empty));
    let mut changes = Changes::default();
    each(old, new, |name, from, to| {
        if name == "apiVersion" || name == "kind" {
            return;
        }
        let node = Node::Struct(id).child(schema, name);
        let element = || Text::Owned(format!("f:{name}"));
        if name != "metadata" {
            changes.put(element, compare(schema, node, from, to));
            return;
        }
        let mut inner = Changes::default();
        let (from, to) = (from.and_then(Value::as_object), to.and_then(Value::as_object));
        each(from.unwrap_or(&empty), to.unwrap_or(&empty), |name, from, to| {
            if !UNOWNED_METADATA.contains(&name) {
                let node = node.child(schema, name);
                inner.put(|| Text::Owned(format!("f:{name}")), compare(schema, node, from, to));
            }
        });
        changes.put(element, inner);
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

fn compare(schema: &Schema, node: Node<'_>, old: Option<&Value>, new: Option<&Value>) -> Changes {
    if old == new {
        return Changes::default();
    }
    let mut changes = Changes::default();
    let nothing = |value: Option<&Value>| value.is_none_or(|v| match v {
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Null => true,
        _ => false,
    });
    // Two empty ones are compared whole, so that `null` and `{}` differ.
    if nothing(old) && nothing(new) {
        return leaf(old, new);
    }
    match (node, old, new) {
        (Node::Leaf, _, _) => return leaf(old, new),
        (Node::List(field), _, _) => {
            let (from, to) = (elements(schema, field, old), elements(schema, field, new));
            let inner_node = Node::of_element(schema, field);
            for (element, before) in &from {
                let after = to.get(element).map_or(&[][..], Vec::as_slice);
                changes.put(|| element.clone(), compare_element(schema, inner_node, before, after));
            }
            for (element, after) in to.iter().filter(|(element, _)| !from.contains_key(*element)) {
                changes.put(|| element.clone(), compare_element(schema, inner_node, &[], after));
            }
        }
        (_, Some(Value::Object(_) | Value::Null) | None, Some(Value::Object(_) | Value::Null) | None) => {
            let empty = Map::new();
            let from = old.and_then(Value::as_object).unwrap_or(&empty);
            let to = new.and_then(Value::as_object).unwrap_or(&empty);
            each(from, to, |name, from, to| {
                let inner = compare(schema, node.child(schema, name), from, to);
                changes.put(|| Text::Owned(format!("f:{name}")), inner);
            });
        }
        _ => return leaf(old, new),
    }
    changes.taken.member = old.is_none();
    changes.removed.member = new.is_none();
    changes
}

fn leaf(old: Option<&Value>, new: Option<&Value>) -> Changes {
    let mut changes = Changes::default();
    match (old, new) {
        (Some(_), None) => changes.removed.member = true,
        (old, new) => changes.taken.member = old != new,
    }
    changes
}

/// The elements of a list by their path elements; duplicates stand together.
fn elements<'v>(schema: &Schema, field: &crate::table::Field, list: Option<&'v Value>) -> BTreeMap<Text, Vec<&'v Value>> {
    let mut map: BTreeMap<Text, Vec<&Value>> = BTreeMap::new();
    for value in list.and_then(Value::as_array).into_iter().flatten() {
        if let Some(element) = element_of(schema, field, value) {
            map.entry(element).or_default().push(value);
        }
    }
    map
}

/// One path element, which may stand for several equal-keyed elements: those are owned together, as one leaf.
fn compare_element(schema: &Schema, node: Node<'_>, old: &[&Value], new: &[&Value]) -> Changes {
    match (old, new) {
        ([_, _, ..], [_, _, ..]) => {
            let mut changes = Changes::default();
            changes.taken.member = old != new;
            changes
        }
        ([_, _, ..], new) => {
            let mut changes = compare(schema, node, None, new.first().copied());
            changes.removed.member = true;
            changes
        }
        (old, [_, _, ..]) => {
            let mut changes = compare(schema, node, old.first().copied(), None);
            changes.taken.member = true;
            changes
        }
        (old, new) => compare(schema, node, old.first().copied(), new.first().copied()),
    }
}
