//! The merge of what is applied into what is there: fields by their names, elements of lists by their keys, all else whole.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use crate::fields::{Node, element_of};
use crate::schema::Schema;
use crate::table::Field;

/// The object that has the fields of both, the applied ones where both have them.
pub(super) fn objects(
    schema: &Schema,
    node: Node<'_>,
    live: &Map<String, Value>,
    config: &Map<String, Value>,
) -> Map<String, Value> {
    let mut out = live.clone();
    for (name, applied) in config {
        let merged = match live.get(name) {
            Some(before) => merge(schema, node.child(schema, name), before, applied),
            None => applied.clone(),
        };
        out.insert(name.clone(), merged);
    }
    out
}

fn merge(schema: &Schema, node: Node<'_>, live: &Value, applied: &Value) -> Value {
    match node {
        Node::Struct(_) | Node::Map(_) => merge_maps(schema, node, live, applied),
        // `null` leaves a map as it is; anything else that is no map takes its place.
        Node::Deduced if matches!(applied, Value::Object(_) | Value::Null) => merge_maps(schema, node, live, applied),
        Node::List(field) => merge_lists(schema, field, live, applied),
        Node::Deduced | Node::Leaf => applied.clone(),
    }
}

fn merge_maps(schema: &Schema, node: Node<'_>, live: &Value, applied: &Value) -> Value {
    let not_empty = |value: &Value| value.as_object().is_some_and(|map| !map.is_empty());
    match (live, applied) {
        // Of two empty ones the applied one stays, so that `null` and `{}` differ.
        _ if !not_empty(live) => applied.clone(),
        (Value::Object(live), Value::Object(applied)) => Value::Object(objects(schema, node, live, applied)),
        _ => live.clone(),
    }
}

/// The elements of two lists in one order: that of the applied list where it has them, with the others where they were in
/// between.
fn merge_lists(schema: &Schema, field: &Field, live: &Value, applied: &Value) -> Value {
    let empty = Vec::new();
    let old = live.as_array().unwrap_or(&empty);
    let new = applied.as_array().unwrap_or(&empty);
    if old.is_empty() {
        return applied.clone();
    }
    if new.is_empty() {
        return live.clone();
    }
    let (old, new) = (Keyed::of(schema, field, old), Keyed::of(schema, field, new));
    let node = Node::of_element(schema, field);
    let merged = |at: usize| match old.single(&new.keys[at]) {
        Some(before) => merge(schema, node, before, new.values[at]),
        None => new.values[at].clone(),
    };
    // Of the elements that both have, in the applied order: which one comes next.
    let mut shared = new.keys.iter().filter(|key| old.has(key));
    let mut next = shared.next();
    let mut done: HashSet<&str> = HashSet::new();
    let mut out = Vec::with_capacity(old.keys.len().max(new.keys.len()));
    let (mut at_old, mut at_new) = (0, 0);
    while at_old < old.keys.len() || at_new < new.keys.len() {
        let (before, after) = (old.keys.get(at_old), new.keys.get(at_new));
        if let (Some(before), Some(after)) = (before, after) {
            if before == after {
                out.push(merged(at_new));
                done.insert(after);
                (at_old, at_new) = (at_old + 1, at_new + 1);
                next = shared.next();
                continue;
            }
            if new.has(before) && next.is_some_and(|next| next != before) {
                at_old += 1;
                continue;
            }
        }
        if let Some(before) = before {
            if !new.has(before) {
                out.push(old.values[at_old].clone());
                at_old += 1;
                continue;
            }
            if done.contains(before.as_str()) {
                at_old += 1;
            }
        }
        if let Some(after) = after {
            out.push(merged(at_new));
            done.insert(after);
            at_new += 1;
            if next == Some(after) {
                next = shared.next();
            }
        }
    }
    Value::Array(out)
}

/// A list's elements with their keys.
struct Keyed<'v> {
    keys: Vec<String>,
    values: Vec<&'v Value>,
    /// By key the place of the one element that has it; `None`: several have.
    places: HashMap<String, Option<usize>>,
}

impl<'v> Keyed<'v> {
    fn of(schema: &Schema, field: &Field, list: &'v [Value]) -> Keyed<'v> {
        let mut keyed = Keyed { keys: Vec::new(), values: Vec::new(), places: HashMap::new() };
        for (at, value) in list.iter().enumerate() {
            // What has no key is told from all others by its place.
            let key = element_of(schema, field, value).unwrap_or_else(|| format!("i:{at}"));
            keyed.places.entry(key.clone()).and_modify(|place| *place = None).or_insert(Some(at));
            keyed.keys.push(key);
            keyed.values.push(value);
        }
        keyed
    }

    fn has(&self, key: &str) -> bool {
        self.places.contains_key(key)
    }

    fn single(&self, key: &str) -> Option<&'v Value> {
        Some(self.values[(*self.places.get(key)?)?])
    }
}
