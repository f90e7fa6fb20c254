//! Sets of fields: which parts of an object somebody owns or changed.
//!
//! A set is a tree whose edges are path elements in the text of `fieldsV1`: `f:<name>` a field, `k:{...}` an element
//! of a list by its keys, `v:<json>` an element of a set by itself. A node may itself be in the set.

use std::collections::HashSet;
use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::schema::Schema;

use crate::table::{Field, ListType, Origin, Shape, Text, Type, TypeId};
use crate::zero;

/// A set of paths, held in the form of `fieldsV1`: reading one and writing one copy nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FieldSet {
    /// Whether the path that leads here is in the set.
    member: bool,
    /// By path element. An inner node is a member when it is empty or has a dot; one that is neither a member nor leads to
    /// one is not there.
    children: Fields,
}

type Fields = Map<String, Value>;

/// Marks a node that is in the set itself and has others below it.
const DOT: &str = ".";

/// Whether the path that leads to these fields is in the set: alone it is written as `{}`, beside others as a dot.
fn is_member(fields: &Fields) -> bool {
    fields.is_empty() || fields.contains_key(DOT)
}

/// Writes into a node that has others below it whether it is in the set itself.
fn mark(fields: &mut Fields, member: bool) {
    let others = fields.len() - usize::from(fields.contains_key(DOT));
    if member && others > 0 {
        fields.insert(DOT.to_string(), Value::Object(Map::new()));
    } else {
        fields.remove(DOT);
    }
}

impl FieldSet {
    /// The set that has the path that leads to it, and nothing below.
    pub fn leaf() -> FieldSet {
        FieldSet { member: true, children: Map::new() }
    }

    /// The set of one path of path elements.
    pub fn of_path<'p>(elements: impl IntoIterator<Item = &'p str, IntoIter: DoubleEndedIterator>) -> FieldSet {
        elements.into_iter().rev().fold(FieldSet::leaf(), |inner, element| {
            let mut outer = FieldSet::default();
            outer.put(element.to_string(), inner);
            outer
        })
    }

    /// Every field that an object sets, as an applier of it would own them.
    pub(crate) fn of_object(schema: &Schema, node: Node<'_>, object: &Map<String, Value>) -> FieldSet {
        // Walked field by field: the object as a whole is owned by nobody.
        let mut set = FieldSet::default();
        for (name, inner) in object {
            let mut child = owned(schema, node.child(schema, name), inner);
            let empty = inner.is_null() || inner.as_object().is_some_and(Map::is_empty);
            child.member |= empty || !node.declares(schema, name);
            set.put(format!("f:{name}"), child);
        }
        set
    }

    /// The set that a `fieldsV1` holds, which is taken as it is: it was written by [`FieldSet::into_fields_v1`], or has
    /// passed [`is_fields_v1`].
    pub fn of_fields_v1(fields: Map<String, Value>) -> FieldSet {
        FieldSet { member: false, children: fields }
    }

    /// The set as `fieldsV1` holds it.
    pub fn into_fields_v1(self) -> Map<String, Value> {
        self.children
    }

    /// Puts the path that leads here into the set.
    pub fn insert_self(&mut self) {
        self.member = true;
    }

    pub fn is_empty(&self) -> bool {
        !self.member && self.children.is_empty()
    }

    /// Whether there is nothing below the path that leads here.
    pub fn has_no_children(&self) -> bool {
        self.children.is_empty()
    }

    /// Whether the path element leads to something in the set.
    pub fn leads_to(&self, element: &str) -> bool {
        self.children.contains_key(element)
    }

    /// Puts a set below a path element, in the place of what stands there.
    pub fn put(&mut self, element: String, mut inner: FieldSet) {
        if !inner.is_empty() {
            mark(&mut inner.children, inner.member);
            self.children.insert(element, Value::Object(inner.children));
        }
    }

    /// Whether a path of path elements is in the set.
    pub fn has<'p>(&self, elements: impl IntoIterator<Item = &'p str>) -> bool {
        let mut elements = elements.into_iter();
        let Some(first) = elements.next() else { return self.member };
        let end = elements.try_fold(self.children.get(first), |at, element| at.map(|at| at.get(element)));
        end.flatten().and_then(Value::as_object).is_some_and(is_member)
    }

    #[must_use]
    pub fn union(mut self, other: FieldSet) -> FieldSet {
        self.add(other);
        self
    }

    /// Adds all of another set.
    pub fn add(&mut self, other: FieldSet) {
        self.member |= other.member;
        add(&mut self.children, other.children);
    }

    /// The paths that are in both sets.
    #[must_use]
    pub fn intersection(&self, other: &FieldSet) -> FieldSet {
        FieldSet { member: self.member && other.member, children: intersection(&self.children, &other.children) }
    }

    /// The paths of this set that are not in the other; those below them stay.
    #[must_use]
    pub fn difference(mut self, other: &FieldSet) -> FieldSet {
        self.subtract(other);
        self
    }

    /// Takes the other's paths out; those below them stay. Costs what the shorter of the two is long: what somebody owns can
    /// be long where changes are short, and one change can be long where thousands own little.
    pub fn subtract(&mut self, other: &FieldSet) {
        self.member &= !other.member;
        subtract(&mut self.children, &other.children);
    }

    /// The set as it is walked.
    pub(crate) fn view(&self) -> View<'_> {
        View(&self.children)
    }

    /// Puts all named fields of structs that lead to something in the set into the set too: a set that has
    /// `spec.replicas` gets `spec`.
    pub(crate) fn with_named_fields(&self, schema: &Schema, node: Node<'_>) -> FieldSet {
        FieldSet { member: self.member, children: with_named_fields(&self.children, schema, node) }
    }

    /// Takes out a path of field names with all that stands below it.
    pub fn remove_below(&mut self, names: &[&str]) {
        remove_below(&mut self.children, names);
    }

    /// All paths, each as its elements, in order.
    pub fn paths(&self) -> Vec<Vec<&str>> {
        fn walk<'s>(at: &'s Fields, path: &mut Vec<&'s str>, out: &mut Vec<Vec<&'s str>>) {
            for (element, inner) in at.iter().filter(|(element, _)| *element != DOT) {
                let Value::Object(inner) = inner else { continue };
                path.push(element);
                if is_member(inner) {
                    out.push(path.clone());
                }
                walk(inner, path, out);
                path.pop();
            }
        }
        let mut out = if self.member { vec![Vec::new()] } else { Vec::new() };
        walk(&self.children, &mut Vec::new(), &mut out);
        out
    }
}

/// What stands below a path, to be looked at.
#[derive(Clone, Copy)]
pub(crate) struct View<'s>(&'s Fields);

impl<'s> View<'s> {
    /// What stands below a path element, if it leads to anything.
    pub(crate) fn get(self, element: &str) -> Option<View<'s>> {
        self.0.get(element).and_then(Value::as_object).map(View)
    }

    /// Whether the path that leads here is in the set.
    pub(crate) fn is_member(self) -> bool {
        is_member(self.0)
    }

    /// Whether anything stands below it.
    pub(crate) fn has_children(self) -> bool {
        self.0.keys().any(|element| element != DOT)
    }

    /// The path elements that lead on, and what stands below each.
    pub(crate) fn children(self) -> impl Iterator<Item = (&'s str, View<'s>)> {
        let others = self.0.iter().filter(|(element, _)| *element != DOT);
        others.filter_map(|(element, inner)| Some((element.as_str(), View(inner.as_object()?))))
    }
}

fn with_named_fields(fields: &Fields, schema: &Schema, node: Node<'_>) -> Fields {
    let mut out = Map::new();
    for (element, inner) in View(fields).children() {
        let name = element.strip_prefix("f:");
        let child = match (name, node) {
            (Some(name), node) => node.child(schema, name),
            (None, Node::List(_)) => node.child(schema, ""),
            (None, _) => Node::Leaf,
        };
        let named = name.is_some_and(|name| node.declares(schema, name));
        let mut below = with_named_fields(inner.0, schema, child);
        mark(&mut below, inner.is_member() || named && inner.has_children());
        out.insert(element.to_owned(), Value::Object(below));
    }
    out
}

fn add(into: &mut Fields, from: Fields) {
    for (element, theirs) in from {
        match (into.get_mut(&element), theirs) {
            (Some(Value::Object(ours)), Value::Object(theirs)) => {
                let member = is_member(ours) || is_member(&theirs);
                add(ours, theirs);
                mark(ours, member);
            }
            (Some(_), _) => {}
            (None, theirs) => drop(into.insert(element, theirs)),
        }
    }
}

fn intersection(ours: &Fields, theirs: &Fields) -> Fields {
    let both = |(element, ours): (&String, &Value)| {
        let (Value::Object(ours), Value::Object(theirs)) = (ours, theirs.get(element)?) else { return None };
        let member = is_member(ours) && is_member(theirs);
        let mut inner = intersection(ours, theirs);
        mark(&mut inner, member);
        (member || !inner.is_empty()).then(|| (element.clone(), Value::Object(inner)))
    };
    ours.iter().filter(|(element, _)| *element != DOT).filter_map(both).collect()
}

fn subtract(fields: &mut Fields, set: &Fields) {
    let shared: Vec<(&String, &Value)> = if fields.len() < set.len() {
        fields.keys().filter_map(|element| set.get_key_value(element)).collect()
    } else {
        set.iter().filter(|(element, _)| fields.contains_key(*element)).collect()
    };
    for (element, inner) in shared.into_iter().filter(|(element, _)| *element != DOT) {
        let (Some(Value::Object(owned)), Value::Object(inner)) = (fields.get_mut(element), inner) else { continue };
        let member = is_member(owned) && !is_member(inner);
        owned.remove(DOT);
        subtract(owned, inner);
        match (owned.is_empty(), member) {
            (true, false) => drop(fields.remove(element)),
            (false, true) => drop(owned.insert(DOT.to_string(), Value::Object(Map::new()))),
            _ => {}
        }
    }
}

fn remove_below(fields: &mut Fields, path: &[&str]) {
    let Some((name, rest)) = path.split_first() else { return };
    let element = format!("f:{name}");
    if rest.is_empty() {
        fields.remove(&element);
    } else if let Some(Value::Object(inner)) = fields.get_mut(&element)
        && !inner.is_empty()
    {
        let member = inner.contains_key(DOT);
        remove_below(inner, rest);
        mark(inner, member);
        if inner.is_empty() && !member {
            fields.remove(&element);
        }
    }
}

/// The fields of a `fieldsV1` that a client wrote, in the form in which sets are held: keys and values in their one text,
/// elements of kinds that are not known left out. `None` when it is none.
pub(crate) fn canonical_fields(fields: Map<String, Value>) -> Option<Map<String, Value>> {
    let mut out = Map::new();
    for (element, inner) in fields {
        if element == DOT {
            out.insert(element, Value::Object(Map::new()));
            continue;
        }
        let (kind, text) = element.split_at_checked(2)?;
        let element = match kind {
            "f:" => element,
            "v:" => format!("v:{}", serde_json::from_str::<Value>(text).ok()?),
            "k:" => format!("k:{}", Value::Object(serde_json::from_str(text).ok()?)),
            "i:" => format!("i:{}", text.parse::<i64>().ok()?),
            other if other.ends_with(':') => continue,
            _ => return None,
        };
        let inner = match inner {
            Value::Object(inner) => canonical_fields(inner)?,
            Value::Null => Map::new(),
            _ => return None,
        };
        out.insert(element, Value::Object(inner));
    }
    if out.len() == 1 && out.contains_key(DOT) {
        out.clear();
    }
    Some(out)
}

/// Whether a value is a `fieldsV1`: objects within each other, keyed by path elements.
pub fn is_fields_v1(value: &Value) -> bool {
    let is_element =
        |element: &str| element == DOT || ["f:", "k:", "v:", "i:"].iter().any(|kind| element.starts_with(kind));
    match value {
        Value::Object(map) => map.iter().all(|(element, inner)| is_element(element) && is_fields_v1(inner)),
        _ => false,
    }
}

/// The value at a path, as far as owning parts of it goes.
#[derive(Clone, Copy)]
pub(crate) enum Node<'a> {
    Struct(TypeId),
    Map(&'a Field),
    List(&'a Field),
    /// Something that no schema describes: maps by their keys, all else whole.
    Deduced,
    /// Owned whole.
    Leaf,
}

impl<'a> Node<'a> {
    pub(crate) fn of_field(schema: &'a Schema, field: &'a Field) -> Node<'a> {
        match field.shape {
            Shape::One => Node::of_element(schema, field),
            Shape::List if keys(field).is_some() => Node::List(field),
            Shape::Map if !field.atomic => Node::Map(field),
            Shape::List | Shape::Map => Node::Leaf,
        }
    }

    /// One element of a list or map field, or the field itself.
    pub(crate) fn of_element(schema: &'a Schema, field: &'a Field) -> Node<'a> {
        match field.ty {
            _ if field.element.as_deref().is_some_and(|element| element.open) => Node::Deduced,
            Type::Struct(_) if field.atomic && field.shape == Shape::One => Node::Leaf,
            Type::Struct(id) if schema.get(id).atomic => Node::Leaf,
            Type::Struct(id) => Node::Struct(id),
            Type::Json | Type::FieldsV1 if !field.atomic || field.shape != Shape::One => Node::Deduced,
            Type::SchemaOrArray(_) | Type::SchemaOrBool(_) | Type::SchemaOrStrings(_) => Node::Deduced,
            Type::Nested(id) => schema.get(id).nested().map_or(Node::Leaf, |inner| Node::of_field(schema, inner)),
            _ => Node::Leaf,
        }
    }

    /// Whether a struct's type has a field of that name.
    pub(crate) fn declares(self, schema: &Schema, name: &str) -> bool {
        matches!(self, Node::Struct(id) if schema.field(id, name).is_some())
    }

    pub(crate) fn child(self, schema: &'a Schema, name: &str) -> Node<'a> {
        match self {
            Node::Struct(id) => match schema.field(id, name) {
                Some(field) => Node::of_field(schema, field),
                // Kept by types that keep what they do not know.
                None if schema.get(id).origin == Origin::Structural => Node::Deduced,
                None => Node::Leaf,
            },
            Node::Map(field) | Node::List(field) => Node::of_element(schema, field),
            Node::Deduced => Node::Deduced,
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
        // Fields that have only the older markers go by them.
        None if field.patch.merge && !field.merge_key.is_empty() => Some(std::slice::from_ref(&field.merge_key)),
        None if field.patch.merge => Some(&[]),
        None => None,
    }
}

/// Whether a list's elements are told apart.
pub(crate) fn is_keyed(field: &Field) -> bool {
    keys(field).is_some()
}

/// The reason why an element of a list has no path element.
#[derive(Debug)]
pub(crate) enum KeyError<'f> {
    NullElement,
    NoMap,
    /// It has none of these.
    NoKeys(&'f [Text]),
    MapInSet,
    ListInSet,
    NullInSet,
}

/// The path element of a list's element; `None` when it has none of the keys.
pub(crate) fn element_of(schema: &Schema, field: &Field, value: &Value) -> Option<String> {
    element_or_error(schema, field, value).ok()
}

/// The value of a key that an element does not name: its default, which for what Go writes in any case is what Go writes.
fn default_of(schema: &Schema, key: &Field) -> Option<String> {
    if !key.default.is_empty() {
        return Some(key.default.to_string());
    }
    (key.emit_empty && !key.pointer).then(|| zero::field(schema, key).to_string())
}

/// [`element_of`], with the reason why there is none.
pub(crate) fn element_or_error<'f>(schema: &Schema, field: &'f Field, value: &Value) -> Result<String, KeyError<'f>> {
    let keys = keys(field).unwrap_or_default();
    if keys.is_empty() {
        return match value {
            Value::Object(_) => Err(KeyError::MapInSet),
            Value::Array(_) => Err(KeyError::ListInSet),
            Value::Null => Err(KeyError::NullInSet),
            value => Ok(format!("v:{value}")),
        };
    }
    let map = match value {
        Value::Object(map) => map,
        Value::Null => return Err(KeyError::NullElement),
        _ => return Err(KeyError::NoMap),
    };
    let mut text = String::from("k:{");
    let mut names: Vec<&Text> = keys.iter().collect();
    names.sort();
    for name in names {
        let declared = || match field.ty {
            Type::Struct(id) => schema.field(id, name).and_then(|key| default_of(schema, key)),
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
    if text == "k:{}" { Err(KeyError::NoKeys(keys)) } else { Ok(text) }
}

/// As structured-merge-diff's `ToFieldSet`.
fn owned(schema: &Schema, at: Node<'_>, value: &Value) -> FieldSet {
    let mut set = FieldSet::default();
    match (at, value) {
        (Node::Struct(_) | Node::Map(_) | Node::Deduced, Value::Object(map)) => {
            return FieldSet::of_object(schema, at, map);
        }
        (Node::List(field), Value::Array(list)) => {
            let mut seen: HashSet<String> = HashSet::with_capacity(list.len());
            for inner in list {
                let Some(element) = element_of(schema, field, inner) else { continue };
                if !seen.insert(element.clone()) {
                    // Equal-keyed elements are owned together, as one leaf.
                    set.put(element, FieldSet::leaf());
                    continue;
                }
                let mut child = owned(schema, Node::of_element(schema, field), inner);
                child.member = true;
                set.put(element, child);
            }
        }
        // A map or list that is not there is owned by whoever names it, which the map that it stands in notes.
        (Node::Struct(_) | Node::Map(_) | Node::List(_) | Node::Deduced, Value::Null) => {}
        _ => set.member = true,
    }
    set
}
