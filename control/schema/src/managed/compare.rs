//! The fields in which two objects differ, as structured-merge-diff compares them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::UNOWNED_METADATA;
use crate::fields::{FieldSet, Node, element_of};
use crate::schema::Schema;
use crate::table::{Field, TypeId};

/// The fields that an update changed.
#[derive(Default)]
pub(crate) struct Changes {
    /// Added or modified.
    pub(crate) taken: FieldSet,
    pub(crate) removed: FieldSet,
    /// Whether an element of a list of which one object differs from the other has none of the list's keys: no path leads to it.
    pub(crate) keyless: bool,
}

impl Changes {
    /// Leaves out what stands at and below these paths.
    pub(crate) fn leave_out(&mut self, paths: &[&[&str]]) {
        for path in paths {
            self.taken.remove_below(path);
            self.removed.remove_below(path);
        }
    }

    fn put(&mut self, element: impl FnOnce() -> String, inner: Changes) {
        self.keyless |= inner.keyless;
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

/// Compares two objects of a type; what nobody owns is left out.
pub(crate) fn compare_objects(
    schema: &Schema,
    id: TypeId,
    old: &Map<String, Value>,
    new: &Map<String, Value>,
) -> Changes {
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
fn whole(schema: &Schema, node: Node<'_>, value: &Value, keyless: &mut bool) -> FieldSet {
    let mut part = FieldSet::leaf();
    match (node, value) {
        (Node::Struct(_) | Node::Map(_) | Node::Deduced, Value::Object(map)) => {
            for (name, inner) in map {
                part.put(f(name), whole(schema, node.child(schema, name), inner, keyless));
            }
        }
        (Node::List(field), Value::Array(list)) => {
            let node = Node::of_element(schema, field);
            for inner in list {
                let Some(element) = element_of(schema, field, inner) else {
                    *keyless = true;
                    continue;
                };
                // Equal-keyed elements are owned together, as one leaf.
                let twice = part.leads_to(&element);
                part.put(element, if twice { FieldSet::leaf() } else { whole(schema, node, inner, keyless) });
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
            changes.taken = whole(schema, node, new, &mut changes.keyless);
            return changes;
        }
        (Some(old), None) => {
            changes.removed = whole(schema, node, old, &mut changes.keyless);
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
            let from = elements(schema, field, old, &mut changes.keyless);
            let to = elements(schema, field, new, &mut changes.keyless);
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
            compare_maps(schema, node, old, new, &mut changes);
        }
        Node::Deduced => {
            // What is a map on one side alone is changed as a whole, and its fields are added or removed beside that.
            if !is_object(old) || !is_object(new) {
                changes.taken.insert_self();
            }
            compare_maps(schema, node, old, new, &mut changes);
        }
        _ => changes.taken.insert_self(),
    }
    changes
}

fn compare_maps(schema: &Schema, node: Node<'_>, old: Option<&Value>, new: Option<&Value>, changes: &mut Changes) {
    let empty = Map::new();
    let from = old.and_then(Value::as_object).unwrap_or(&empty);
    let to = new.and_then(Value::as_object).unwrap_or(&empty);
    each(from, to, |name, from, to| {
        changes.put(|| f(name), compare(schema, node.child(schema, name), from, to));
    });
}

/// The elements of a list by their path elements; duplicates stand together.
fn elements<'v>(
    schema: &Schema,
    field: &Field,
    list: Option<&'v Value>,
    keyless: &mut bool,
) -> BTreeMap<String, Vec<&'v Value>> {
    let mut map: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for value in list.and_then(Value::as_array).into_iter().flatten() {
        match element_of(schema, field, value) {
            Some(element) => map.entry(element).or_default().push(value),
            None => *keyless = true,
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
