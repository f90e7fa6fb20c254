//! Sets of fields: which parts of an object somebody owns or changed.
//!
//! A set is a tree whose edges are path elements in the text of `fieldsV1`: `f:<name>` a field, `k:{...}` an element
//! of a list by its keys, `v:<json>` an element of a set by itself. A node may itself be in the set.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::table::{Field, ListType, Schema, Shape, Text, Type, TypeId};
use crate::zero;

/// A set of paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    /// Whether the path that leads here is in the set.
    pub member: bool,
    pub children: BTreeMap<Text, FieldSet>,
}

impl FieldSet {
    /// The set of one path of path elements.
    pub fn of_path<'p>(elements: impl IntoIterator<Item = &'p str>) -> FieldSet {
        let mut root = FieldSet::default();
        let mut at = &mut root;
        for element in elements {
            at = at.children.entry(Cow::Owned(element.to_string())).or_default();
        }
        at.member = true;
        root
    }

    /// Every field that a value of the type sets, as an applier of it would own them.
    pub fn of_value(schema: &Schema, id: TypeId, value: &Value) -> FieldSet {
        let mut set = owned(schema, Node::Struct(id), value);
        set.member = false;
        set
    }

    pub fn is_empty(&self) -> bool {
        !self.member && self.children.values().all(FieldSet::is_empty)
    }

    /// Whether a path of path elements is in the set.
    pub fn has<'p>(&self, elements: impl IntoIterator<Item = &'p str>) -> bool {
        let mut elements = elements.into_iter();
        let end = elements.try_fold(self, |at, element| at.children.get(element));
        end.is_some_and(|at| at.member)
    }

    #[must_use]
    pub fn union(mut self, other: &FieldSet) -> FieldSet {
        self.add(other);
        self
    }

    /// Adds all of another set.
    pub fn add(&mut self, other: &FieldSet) {
        self.member |= other.member;
        for (element, theirs) in &other.children {
            match self.children.get_mut(element) {
                Some(ours) => ours.add(theirs),
                None => drop(self.children.insert(element.clone(), theirs.clone())),
            }
        }
    }

    #[must_use]
    pub fn intersection(&self, other: &FieldSet) -> FieldSet {
        let both = |(element, ours): (&Text, &FieldSet)| {
            let inner = ours.intersection(other.children.get(element)?);
            (!inner.is_empty()).then(|| (element.clone(), inner))
        };
        FieldSet { member: self.member && other.member, children: self.children.iter().filter_map(both).collect() }
    }

    /// The paths of this set that are not in the other; those below them stay.
    #[must_use]
    pub fn difference(&self, other: &FieldSet) -> FieldSet {
        let left = |(element, ours): (&Text, &FieldSet)| {
            let inner = other.children.get(element).map_or_else(|| ours.clone(), |theirs| ours.difference(theirs));
            (!inner.is_empty()).then(|| (element.clone(), inner))
        };
        FieldSet { member: self.member && !other.member, children: self.children.iter().filter_map(left).collect() }
    }

    /// Takes out the other's paths with all that stands below them.
    pub fn remove_below(&mut self, other: &FieldSet) {
        if other.member {
            *self = FieldSet::default();
            return;
        }
        for (element, theirs) in &other.children {
            if let Some(ours) = self.children.get_mut(element) {
                ours.remove_below(theirs);
                if ours.is_empty() {
                    self.children.remove(element);
                }
            }
        }
    }

    /// All paths, each as its elements, in order.
    pub fn paths(&self) -> Vec<Vec<&str>> {
        fn walk<'s>(at: &'s FieldSet, path: &mut Vec<&'s str>, out: &mut Vec<Vec<&'s str>>) {
            if at.member {
                out.push(path.clone());
            }
            for (element, inner) in &at.children {
                path.push(element);
                walk(inner, path, out);
                path.pop();
            }
        }
        let mut out = Vec::new();
        walk(self, &mut Vec::new(), &mut out);
        out
    }
}

/// A set as `fieldsV1` holds it.
pub fn to_fields_v1(set: &FieldSet) -> Value {
    let mut map = Map::new();
    for (element, inner) in &set.children {
        if inner.member || !inner.is_empty() {
            map.insert(element.to_string(), to_fields_v1(inner));
        }
    }
    if set.member && !map.is_empty() {
        map.insert(".".to_string(), Value::Object(Map::new()));
    }
    Value::Object(map)
}

/// A `fieldsV1` that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("fieldsV1: {0} is no path element")]
pub struct FieldsError(String);

/// Reads a `fieldsV1`.
///
/// # Errors
/// When a key is no path element or a value no object.
pub fn from_fields_v1(value: &Value) -> Result<FieldSet, FieldsError> {
    let mut root = node(value)?;
    root.member = false;
    Ok(root)
}

fn node(value: &Value) -> Result<FieldSet, FieldsError> {
    let Value::Object(map) = value else { return Err(FieldsError(value.to_string())) };
    let mut set = FieldSet { member: map.is_empty() || map.contains_key("."), children: BTreeMap::new() };
    for (element, inner) in map.iter().filter(|(element, _)| *element != ".") {
        if !["f:", "k:", "v:", "i:"].iter().any(|prefix| element.starts_with(prefix)) {
            return Err(FieldsError(element.clone()));
        }
        set.children.insert(Cow::Owned(element.clone()), node(inner)?);
    }
    Ok(set)
}

/// What stands at a path, as far as owning parts of it goes.
#[derive(Clone, Copy)]
pub(crate) enum Node<'a> {
    Struct(TypeId),
    Map(&'a Field),
    List(&'a Field),
    /// Owned whole.
    Leaf,
}

impl<'a> Node<'a> {
    pub(crate) fn of_field(schema: &Schema, field: &'a Field) -> Node<'a> {
        match field.shape {
            Shape::One => Node::of_element(schema, field),
            Shape::List if keys(field).is_some() => Node::List(field),
            Shape::Map if !field.atomic => Node::Map(field),
            Shape::List | Shape::Map => Node::Leaf,
        }
    }

    /// One element of a list or map field, or the field itself.
    pub(crate) fn of_element(schema: &Schema, field: &'a Field) -> Node<'a> {
        match field.ty {
            Type::Struct(_) if field.atomic && field.shape == Shape::One => Node::Leaf,
            Type::Struct(id) if schema.get(id).atomic => Node::Leaf,
            Type::Struct(id) => Node::Struct(id),
            _ => Node::Leaf,
        }
    }

    pub(crate) fn child(self, schema: &'a Schema, name: &str) -> Node<'a> {
        match self {
            Node::Struct(id) => schema.field(id, name).map_or(Node::Leaf, |field| Node::of_field(schema, field)),
            Node::Map(field) | Node::List(field) => Node::of_element(schema, field),
            Node::Leaf => Node::Leaf,
        }
    }
}

/// The keys of a list whose elements are told apart: empty for a set. `None` for a list that is owned whole.
fn keys(field: &Field) -> Option<&[Text]> {
    match field.list_type {
        Some(ListType::Map) => Some(&field.map_keys),
        Some(ListType::Set) => Some(&[]),
        Some(ListType::Atomic) => None,
        // What has only the older markers goes by them.
        None if field.patch.merge && !field.merge_key.is_empty() => Some(std::slice::from_ref(&field.merge_key)),
        None if field.patch.merge => Some(&[]),
        None => None,
    }
}

/// The path element of a list's element; `None` when it has none of the keys.
pub(crate) fn element_of(schema: &Schema, field: &Field, value: &Value) -> Option<String> {
    let keys = keys(field)?;
    if keys.is_empty() {
        return (!value.is_null()).then(|| format!("v:{value}"));
    }
    let Value::Object(map) = value else { return None };
    let mut text = String::from("k:{");
    let mut names: Vec<&Text> = keys.iter().collect();
    names.sort();
    for name in names {
        let declared = || match field.ty {
            Type::Struct(id) => schema.field(id, name).map(|f| &*f.default).filter(|d| !d.is_empty()),
            _ => None,
        };
        let comma = if text.len() > 3 { "," } else { "" };
        // Writing to a String cannot fail.
        match (map.get(&**name), declared()) {
            (Some(value), _) => write!(text, "{comma}\"{name}\":{value}").expect("a String takes all writes"),
            (None, Some(default)) => write!(text, "{comma}\"{name}\":{default}").expect("a String takes all writes"),
            (None, None) => {}
        }
    }
    text.push('}');
    (text != "k:{}").then_some(text)
}

/// As structured-merge-diff's `ToFieldSet`.
fn owned(schema: &Schema, at: Node<'_>, value: &Value) -> FieldSet {
    let mut set = FieldSet::default();
    match (at, value) {
        (Node::Struct(_) | Node::Map(_), Value::Object(map)) => {
            for (name, inner) in map {
                let mut child = owned(schema, at.child(schema, name), inner);
                let declared = matches!(at, Node::Struct(_));
                child.member |= !declared || zero::is_empty(inner) && (inner.is_null() || inner.is_object());
                set.children.insert(Cow::Owned(format!("f:{name}")), child);
            }
        }
        (Node::List(field), Value::Array(list)) => {
            for inner in list {
                let Some(element) = element_of(schema, field, inner) else { continue };
                let mut child = owned(schema, Node::of_element(schema, field), inner);
                child.member = true;
                set.children.insert(Cow::Owned(element), child);
            }
        }
        _ => set.member = true,
    }
    set
}
