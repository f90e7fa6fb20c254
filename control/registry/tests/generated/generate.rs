//! Objects made of the schema alone: one list, map or text of a kind as long as is asked, the rest as short as can be.

use sampan_schema::{Field, Schema, Shape, Type, TypeId};
use serde_json::{Map, Value, json};
use std::collections::HashSet;

/// Where something long can stand in a kind.
#[derive(Clone, Debug)]
pub struct Place {
    /// The fields from the object down, each with the type that it is a field of.
    pub path: Vec<(TypeId, &'static Field)>,
}

impl Place {
    pub fn field(&self) -> &'static Field {
        self.path.last().expect("a place has a field").1
    }

    /// The same in every kind that has the type.
    pub fn identity(&self) -> (String, String) {
        let (owner, field) = self.path.last().expect("a place has a field");
        (Schema::builtin().get(*owner).openapi_name(), field.json_name.to_string())
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.path.iter().map(|(_, field)| &*field.json_name).collect();
        f.write_str(&names.join("."))
    }
}

/// Every field below a type, however deep. A type is not entered again below itself.
pub fn places(id: TypeId) -> Vec<Place> {
    let mut found = Vec::new();
    descend(id, &mut Vec::new(), &mut HashSet::new(), &mut found);
    found
}

fn descend(id: TypeId, path: &mut Vec<(TypeId, &'static Field)>, above: &mut HashSet<TypeId>, found: &mut Vec<Place>) {
    if !above.insert(id) {
        return;
    }
    for field in Schema::builtin().fields(id) {
        // The server's own, and what says what the object is.
        let fixed = path.is_empty() && matches!(&*field.json_name, "apiVersion" | "kind");
        if fixed || &*field.json_name == "managedFields" {
            continue;
        }
        path.push((id, field));
        found.push(Place { path: path.clone() });
        if let Type::Struct(inner) = field.ty {
            descend(inner, path, above, found);
        }
        path.pop();
    }
    above.remove(&id);
}

/// Whether elements differ from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elements {
    Distinct,
    Equal,
}

/// What stands at the place, and beside it.
#[derive(Clone, Copy, Debug)]
pub enum Long {
    /// So many elements in the list or map.
    Elements(usize, Elements),
    /// So many in it and in each other list and map of the same struct.
    Siblings(usize, Elements),
    /// A text of so many bytes.
    Text(usize),
    /// This number.
    Number(i64),
}

/// An object of the type with something long at the place.
pub fn object(api_version: &str, kind: &str, place: &Place, long: Long, shift: usize) -> Value {
    let mut value = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}});
    let map = value.as_object_mut().expect("an object");
    fill(map, &place.path, long, shift);
    value
}

fn fill(map: &mut Map<String, Value>, path: &[(TypeId, &'static Field)], long: Long, shift: usize) {
    let [(owner, field), rest @ ..] = path else { return };
    let name = field.json_name.to_string();
    if rest.is_empty() {
        match long {
            Long::Text(bytes) => drop(map.insert(name, one(field, "a".repeat(bytes).into()))),
            Long::Number(number) => drop(map.insert(name, one(field, number.into()))),
            Long::Elements(count, elements) => {
                map.insert(name, many(field, count, elements, shift));
            }
            Long::Siblings(count, elements) => {
                for sibling in Schema::builtin().fields(*owner).iter().filter(|field| field.shape != Shape::One) {
                    map.insert(sibling.json_name.to_string(), many(sibling, count, elements, shift));
                }
            }
        }
        return;
    }
    let Type::Struct(inner) = field.ty else { return };
    let mut below = match map.remove(&name) {
        Some(Value::Object(already)) if field.shape == Shape::One => already,
        _ => scalars(inner, 0),
    };
    fill(&mut below, rest, long, shift);
    let value = match field.shape {
        Shape::One => Value::Object(below),
        Shape::List => json!([below]),
        Shape::Map => json!({"k": below}),
    };
    map.insert(name, value);
}

fn one(field: &Field, value: Value) -> Value {
    match field.shape {
        Shape::One => value,
        Shape::List => json!([value]),
        Shape::Map => json!({"k": value}),
    }
}

fn many(field: &Field, count: usize, elements: Elements, shift: usize) -> Value {
    let number = |index: usize| match elements {
        Elements::Distinct => index + shift,
        Elements::Equal => shift,
    };
    match field.shape {
        // Keys always differ.
        Shape::Map => {
            (0..count).map(|index| (format!("n{}", index + shift), element(field.ty, number(index)))).collect()
        }
        _ => (0..count).map(|index| element(field.ty, number(index))).collect(),
    }
}

fn element(ty: Type, number: usize) -> Value {
    match ty {
        Type::Struct(id) => Value::Object(scalars(id, number)),
        other => scalar(other, number).unwrap_or_else(|| json!({})),
    }
}

/// A struct with its scalars set, and nothing else.
fn scalars(id: TypeId, number: usize) -> Map<String, Value> {
    let fields = Schema::builtin().fields(id).iter().filter(|field| field.shape == Shape::One);
    fields.filter_map(|field| Some((field.json_name.to_string(), scalar(field.ty, number)?))).collect()
}

fn scalar(ty: Type, number: usize) -> Option<Value> {
    Some(match ty {
        Type::String => format!("n{number}").into(),
        Type::Bool => true.into(),
        Type::Int32 | Type::Int64 => (number % 60_000 + 1).into(),
        Type::Double => (number as f64).into(),
        Type::Quantity => (number + 1).to_string().into(),
        Type::IntOrString => (number % 60_000 + 1).into(),
        Type::Bytes => "YQ==".into(),
        Type::Time => "2026-01-01T00:00:00Z".into(),
        Type::MicroTime => "2026-01-01T00:00:00.000000Z".into(),
        Type::Duration => "1s".into(),
        _ => return None,
    })
}
