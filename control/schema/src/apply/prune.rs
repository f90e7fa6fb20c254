//! The fields that an applier had applied and applies no more are removed, unless somebody else owns them.

use serde_json::{Map, Value};

use super::Versions;
use crate::fields::{FieldSet, Node, View, element_of};
use crate::managed::entries::{fields_of, text};
use crate::schema::{ObjectType, Schema};

/// What pruning looks at.
pub(super) struct Pruning<'a> {
    pub(super) ty: &'a ObjectType,
    /// The version of what is applied.
    pub(super) version: &'a str,
    pub(super) versions: &'a Versions<'a>,
}

/// An object in one version.
struct Versioned {
    ty: ObjectType,
    object: Map<String, Value>,
}

impl Versioned {
    fn set(&self) -> FieldSet {
        self.named(&FieldSet::of_object(self.ty.schema(), self.node(), &self.object))
    }

    fn named(&self, set: &FieldSet) -> FieldSet {
        set.with_named_fields(self.ty.schema(), self.node())
    }

    fn node(&self) -> Node<'_> {
        Node::Struct(self.ty.id())
    }

    fn without(&self, set: &FieldSet) -> Versioned {
        let object = match without_in_map(self.ty.schema(), self.node(), &self.object, set.view()) {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        Versioned { ty: self.ty.clone(), object }
    }
}

impl Pruning<'_> {
    /// The object without what only the applier owned, and applies no more: `last`, in the version that it was applied in.
    pub(super) fn prune(
        &self,
        merged: Map<String, Value>,
        entries: &[Value],
        version: &str,
        last: &FieldSet,
    ) -> Map<String, Value> {
        let merged = Versioned { ty: self.ty.clone(), object: merged };
        let Some(whole) = self.convert(&merged, self.version, version) else { return merged.object };
        let pruned = whole.without(&whole.named(last));
        let Some(pruned) = self.keep_owned(&whole, pruned, entries, version) else { return merged.object };
        // What nobody owns, or updaters alone, is not the applier's to remove.
        let gone = whole.set().difference(&pruned.set()).intersection(&whole.named(last));
        let pruned = whole.without(&gone);
        match self.convert(&pruned, version, self.version) {
            Some(pruned) => pruned.object,
            None => merged.object,
        }
    }

    /// What was pruned, with all that anybody owns of it put back.
    fn keep_owned(&self, whole: &Versioned, pruned: Versioned, entries: &[Value], version: &str) -> Option<Versioned> {
        let mut owned: Vec<(&str, FieldSet)> = vec![(version, FieldSet::default())];
        for entry in entries {
            let of = text(entry, "apiVersion");
            match owned.iter_mut().find(|(known, _)| *known == of) {
                Some((_, set)) => set.add(fields_of(entry)),
                None => owned.push((of, fields_of(entry))),
            }
        }
        let mut pruned = pruned;
        for (of, set) in owned {
            let whole = self.convert(whole, version, of);
            let at = self.convert(&pruned, version, of);
            let (Some(whole), Some(at)) = (whole, at) else { continue };
            let gone = whole.set().difference(&at.set().union(whole.named(&set)));
            pruned = self.convert(&whole.without(&gone), of, version)?;
        }
        Some(pruned)
    }

    fn convert(&self, from: &Versioned, version: &str, to: &str) -> Option<Versioned> {
        if version == to {
            return Some(Versioned { ty: from.ty.clone(), object: from.object.clone() });
        }
        let (ty, object) = (self.versions)(&from.object, to)?;
        Some(Versioned { ty, object })
    }
}

/// What is left of a value without the paths of a set that lead on from it; null where nothing is left of a map or list.
fn without(schema: &Schema, node: Node<'_>, value: &Value, set: View<'_>) -> Value {
    match (node, value) {
        (Node::Struct(_) | Node::Map(_) | Node::Deduced, Value::Object(map)) => without_in_map(schema, node, map, set),
        (Node::List(field), Value::Array(list)) => {
            let node = Node::of_element(schema, field);
            let mut out = Vec::with_capacity(list.len());
            for inner in list {
                match element_of(schema, field, inner).and_then(|element| set.get(&element)) {
                    Some(below) if below.is_member() => {}
                    Some(below) if below.has_children() => out.push(without(schema, node, inner, below)),
                    _ => out.push(inner.clone()),
                }
            }
            if out.is_empty() { Value::Null } else { Value::Array(out) }
        }
        // What is owned whole has nothing below it; a set that says otherwise is of another schema.
        (_, Value::Object(_) | Value::Array(_)) => Value::Null,
        (_, scalar) => scalar.clone(),
    }
}

fn without_in_map(schema: &Schema, node: Node<'_>, map: &Map<String, Value>, set: View<'_>) -> Value {
    let mut out = Map::new();
    for (name, inner) in map {
        match set.get(&format!("f:{name}")) {
            Some(below) if below.is_member() => {}
            Some(below) if below.has_children() => {
                out.insert(name.clone(), without(schema, node.child(schema, name), inner, below));
            }
            _ => drop(out.insert(name.clone(), inner.clone())),
        }
    }
    if out.is_empty() { Value::Null } else { Value::Object(out) }
}

/// Brings an entry's fields into the form that the schema has today: what has become owned whole is owned by whoever owned
/// a part of it.
pub(super) fn follow_schema(schema: &Schema, node: Node<'_>, entry: &mut Value) {
    let Some(Value::Object(fields)) = entry.get_mut("fieldsV1") else { return };
    follow(schema, node, fields);
}

fn follow(schema: &Schema, node: Node<'_>, fields: &mut Map<String, Value>) {
    for (element, inner) in fields.iter_mut().filter(|(element, _)| *element != ".") {
        let Value::Object(inner) = inner else { continue };
        if inner.is_empty() {
            continue;
        }
        let child = match (element.strip_prefix("f:"), node) {
            (Some(name), Node::Struct(_)) if !node.declares(schema, name) => continue,
            (Some(name), node) => node.child(schema, name),
            (None, Node::List(_)) => node.child(schema, ""),
            (None, _) => continue,
        };
        match child {
            Node::Leaf => inner.clear(),
            Node::Deduced => {}
            child => follow(schema, child, inner),
        }
    }
}
