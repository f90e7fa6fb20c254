//! Objects made of the schema alone: lists, maps or texts of a kind as long as is asked, the rest as short as can be.

use sampan_schema::{Field, Schema, Shape, Type, TypeDef, TypeId};
use serde_json::{Map, Value, json};
use std::collections::HashSet;

/// The fields of one struct by name.
pub type Fields = Map<String, Value>;

/// Where something long can stand in a kind.
#[derive(Clone, Debug)]
pub struct Place {
    /// The fields from the object down, each with the type that it is a field of.
    pub path: Vec<(TypeId, &'static Field)>,
}

impl Place {
    /// The field at its end.
    ///
    /// # Panics
    /// Never: a place has a field.
    pub fn field(&self) -> &'static Field {
        self.path.last().expect("a place has a field").1
    }

    /// The type that its field belongs to, and the field's name: the same in every kind that has the type.
    ///
    /// # Panics
    /// Never: a place has a field.
    pub fn identity(&self) -> (String, String) {
        let (owner, field) = self.path.last().expect("a place has a field");
        (definition(*owner).openapi_name(), field.json_name.to_string())
    }

    /// The lists and maps that it stands in, itself included.
    pub fn depth(&self) -> usize {
        self.path.iter().filter(|(_, field)| field.shape != Shape::One).count()
    }

    /// Its JSON pointer in an object that [`object`] made.
    pub fn pointer(&self) -> String {
        let mut pointer = String::new();
        for (at, (_, field)) in self.path.iter().enumerate() {
            pointer.push('/');
            pointer.push_str(&field.json_name);
            if at + 1 < self.path.len() {
                pointer.push_str(match field.shape {
                    Shape::One => "",
                    Shape::List => "/0",
                    Shape::Map => "/k",
                });
            }
        }
        pointer
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.path.iter().map(|(_, field)| &*field.json_name).collect();
        f.write_str(&names.join("."))
    }
}

fn definition(id: TypeId) -> &'static TypeDef {
    Schema::builtin().get(id)
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
        // What says what the object is.
        if path.is_empty() && matches!(&*field.json_name, "apiVersion" | "kind") {
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

/// What elements are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elements {
    /// Every scalar is set, each to another value than in the other elements.
    Distinct,
    /// Every scalar is set, each to the same value as in the other elements.
    Equal,
    /// What is required is set, and what tells elements apart: the most of them that fit, and the most often sound.
    Short,
}

/// What stands at the place, and beside it.
#[derive(Clone, Copy, Debug)]
pub enum Long {
    /// So many elements in the list or map.
    Elements(usize, Elements),
    /// So many in it and in each other list and map of the same struct.
    Siblings(usize, Elements),
    /// So many short ones in it, in each other list and map of the same struct, and in each list and map of the first
    /// element of each of these.
    Family(usize),
    /// So many in the first list or map on the way, and as many in the place of each of these.
    Nested(usize),
    /// A text of so many bytes.
    Text(usize),
    /// This number.
    Number(i64),
}

/// An object of the type with something long at the place.
pub fn object(api_version: &str, kind: &str, place: &Place, long: Long, shift: usize) -> Value {
    let mut value = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}});
    let Value::Object(map) = &mut value else { return value };
    let sound = matches!(long, Long::Elements(_, Elements::Short) | Long::Family(_) | Long::Nested(_));
    if let (true, Some((root, _))) = (sound, place.path.first()) {
        let spec = definition(*root).field("spec");
        if let Some(Field { ty: Type::Struct(spec), shape: Shape::One, .. }) = spec {
            map.insert("spec".to_owned(), Value::Object(required(*spec, 0, &mut Vec::new())));
        }
        for (name, value) in required(*root, 0, &mut Vec::new()) {
            map.entry(name).or_insert(value);
        }
    }
    if let Long::Nested(count) = long {
        nested(map, &place.path, count, shift);
        return value;
    }
    let around = if sound { Around::Required } else { Around::Scalars };
    at(map, &place.path, around, &mut |map, owner, field| put(map, owner, field, long, shift));
    value
}

/// The fields of a struct that is made on the way to a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Around {
    /// Those that are required, and those that tell elements apart.
    Required,
    /// All scalars.
    Scalars,
}

/// Makes the structs on the way to the place, and hands the last one to `leaf` with its type and the field.
pub fn at(
    map: &mut Fields,
    path: &[(TypeId, &'static Field)],
    around: Around,
    leaf: &mut dyn FnMut(&mut Fields, TypeId, &'static Field),
) {
    let [(owner, field), rest @ ..] = path else { return };
    if rest.is_empty() {
        return leaf(map, *owner, field);
    }
    let Type::Struct(inner) = field.ty else { return };
    let name = field.json_name.to_string();
    let mut below = match (map.remove(&name), field.shape) {
        (Some(Value::Object(already)), Shape::One) => already,
        (Some(Value::Array(mut already)), Shape::List) if matches!(already.first(), Some(Value::Object(_))) => {
            match already.swap_remove(0) {
                Value::Object(first) => first,
                _ => Fields::new(),
            }
        }
        _ if around == Around::Required => short(inner, field, 0),
        _ => scalars(inner, 0),
    };
    at(&mut below, rest, around, leaf);
    map.insert(name, wrapped(field, Value::Object(below)));
}

fn put(map: &mut Fields, owner: TypeId, field: &'static Field, long: Long, shift: usize) {
    let name = field.json_name.to_string();
    match long {
        Long::Text(bytes) => drop(map.insert(name, wrapped(field, "a".repeat(bytes).into()))),
        Long::Number(number) => drop(map.insert(name, wrapped(field, number.into()))),
        Long::Elements(count, elements) => drop(map.insert(name, many(field, count, elements, shift))),
        Long::Siblings(count, elements) => {
            for sibling in longish(owner) {
                map.insert(sibling.json_name.to_string(), many(sibling, count, elements, shift));
            }
        }
        Long::Family(count) => {
            for sibling in longish(owner) {
                let mut list = many(sibling, count, Elements::Short, shift);
                let first = match &mut list {
                    Value::Array(list) => list.first_mut(),
                    Value::Object(map) => map.values_mut().next(),
                    _ => None,
                };
                if let (Type::Struct(inner), Some(Value::Object(first))) = (sibling.ty, first) {
                    for below in longish(inner) {
                        first.insert(below.json_name.to_string(), many(below, count, Elements::Short, shift));
                    }
                }
                map.insert(sibling.json_name.to_string(), list);
            }
        }
        // Made by who walks the whole path.
        Long::Nested(_) => {}
    }
}

fn longish(id: TypeId) -> impl Iterator<Item = &'static Field> {
    Schema::builtin().fields(id).iter().filter(|field| field.shape != Shape::One)
}

/// Puts `count` elements into the first list or map of the path, and `count` into the place below each.
fn nested(map: &mut Fields, path: &[(TypeId, &'static Field)], count: usize, shift: usize) {
    let Some(first) = path.iter().position(|(_, field)| field.shape != Shape::One) else { return };
    let (outer, inner) = path.split_at(first + 1);
    at(map, outer, Around::Required, &mut |map, _, field| {
        let Type::Struct(id) = field.ty else { return };
        let element = |number: usize| {
            let mut element = short(id, field, number);
            at(&mut element, inner, Around::Required, &mut |map, owner, field| {
                put(map, owner, field, Long::Elements(count, Elements::Short), shift);
            });
            Value::Object(element)
        };
        let list = match field.shape {
            Shape::Map => (0..count).map(|number| (format!("n{number}"), element(number))).collect(),
            _ => (0..count).map(element).collect(),
        };
        map.insert(field.json_name.to_string(), list);
    });
}

fn wrapped(field: &Field, value: Value) -> Value {
    match field.shape {
        Shape::One => value,
        Shape::List => json!([value]),
        Shape::Map => json!({"k": value}),
    }
}

/// So many elements of the field, numbered from `shift` on.
pub fn many(field: &Field, count: usize, elements: Elements, shift: usize) -> Value {
    let number = |index: usize| match elements {
        Elements::Equal => shift,
        _ => index + shift,
    };
    if matches!(field.ty, Type::FieldsV1) {
        return (0..count).map(|index| (format!("f:n{}", index + shift), json!({}))).collect();
    }
    match field.shape {
        // Keys always differ.
        Shape::Map => {
            (0..count).map(|index| (format!("n{}", index + shift), element(field, number(index), elements))).collect()
        }
        _ => (0..count).map(|index| element(field, number(index), elements)).collect(),
    }
}

/// One element of the field.
pub fn element(field: &Field, number: usize, elements: Elements) -> Value {
    if &*field.json_name == "managedFields" {
        let fields = json!({"f:metadata": {"f:labels": {(format!("f:n{number}")): {}}}});
        return json!({"manager": format!("n{number}"), "operation": "Update", "apiVersion": "v1",
            "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": fields});
    }
    match field.ty {
        Type::Struct(id) if elements == Elements::Short => Value::Object(short(id, field, number)),
        Type::Struct(id) => Value::Object(scalars(id, number)),
        _ if elements == Elements::Short => sound(field, number),
        other => scalar(other, number).unwrap_or_else(|| json!({})),
    }
}

/// What is required of the struct, and what tells it from the other elements of the field that it stands in.
fn short(id: TypeId, field: &Field, number: usize) -> Fields {
    let mut map = required(id, number, &mut Vec::new());
    for key in field.map_keys.iter().chain([&field.merge_key]) {
        if let Some(key) = definition(id).field(key).filter(|key| key.shape == Shape::One && key.allowed.is_empty()) {
            map.insert(key.json_name.to_string(), sound(key, number));
        }
    }
    map
}

/// The struct with what is required in it and below it. `above`: the structs that it stands in.
fn required(id: TypeId, number: usize, above: &mut Vec<TypeId>) -> Fields {
    if above.contains(&id) {
        return Fields::new();
    }
    above.push(id);
    let fields = Schema::builtin().fields(id).iter().filter(|field| field.required);
    let map = fields
        .map(|field| {
            let value = match field.ty {
                Type::Struct(inner) => Value::Object(required(inner, number, above)),
                _ => sound(field, number),
            };
            (field.json_name.to_string(), wrapped(field, value))
        })
        .collect();
    above.pop();
    map
}

/// A scalar of the field that is allowed, as far as the schema tells.
fn sound(field: &Field, number: usize) -> Value {
    match field.allowed.len() {
        0 => scalar(field.ty, number).unwrap_or_else(|| json!({})),
        count => field.allowed[number % count].clone(),
    }
}

/// A struct with its scalars set, and nothing else.
fn scalars(id: TypeId, number: usize) -> Fields {
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
