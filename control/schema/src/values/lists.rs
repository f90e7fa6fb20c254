//! What a structural schema says of lists and of embedded resources beyond each value: keys that stand once, and the type
//! and metadata of whole objects.

use std::collections::HashMap;
use std::sync::LazyLock;

use sampan_api::field::{FieldError, FieldErrors, Path};
use sampan_api::names;
use serde_json::{Map, Value};

use super::node::{Inside, Node};
use crate::json;
use crate::schema::Schema;
use crate::table::{Field, ListType, Type, TypeDef, TypeId};

/// Checks the metadata of an embedded resource: the generic rules of objects, which are not this room's.
pub type CheckMetadata<'a> = &'a dyn Fn(&Map<String, Value>, &Path) -> FieldErrors;

/// Elements of lists that are sets, and keys of those that are maps, which stand more than once.
pub(super) fn repeated(schema: &Schema, ty: &TypeDef, object: &Map<String, Value>) -> FieldErrors {
    let mut errors = FieldErrors::new();
    repeated_in(schema, Node::of_type(ty), object, &Path::root(), &mut errors);
    errors
}

fn repeated_in(schema: &Schema, node: Node<'_>, map: &Map<String, Value>, path: &Path, errors: &mut FieldErrors) {
    for (name, value) in map {
        if errors.is_full() {
            return;
        }
        let Some(inner) = node.property(schema, name).filter(|inner| !matches!(inner.inside, Inside::Value(_))) else {
            continue;
        };
        let path = if matches!(node.inside, Inside::Map(_)) { path.key(name) } else { path.child(name) };
        repeated_at(schema, inner, value, &path, errors);
    }
}

fn repeated_at(schema: &Schema, node: Node<'_>, value: &Value, path: &Path, errors: &mut FieldErrors) {
    match value {
        Value::Object(map) => repeated_in(schema, node, map, path, errors),
        Value::Array(list) => {
            if let Inside::List(field) = node.inside {
                match field.list_type {
                    Some(ListType::Set) => {
                        for at in second(list.iter().map(Value::to_string)) {
                            errors.push(FieldError::duplicate(&path.index(at), &list[at]));
                        }
                    }
                    Some(ListType::Map) => repeated_keys(field, list, path, errors),
                    Some(ListType::Atomic) | None => {}
                }
            }
            let Some(items) = node.items(schema) else { return };
            for (at, one) in list.iter().enumerate() {
                if errors.is_full() {
                    return;
                }
                if one.is_object() || one.is_array() {
                    repeated_at(schema, items, one, &path.index(at), errors);
                }
            }
        }
        _ => {}
    }
}

fn repeated_keys(field: &Field, list: &[Value], path: &Path, errors: &mut FieldErrors) {
    if let Some((at, one)) = list.iter().enumerate().find(|(_, one)| !one.is_object() && !one.is_null()) {
        errors.push(FieldError::invalid(&path.index(at), one, "must be an object for an array of list-type map"));
        return;
    }
    let key_of = |one: &Value| {
        let known =
            field.map_keys.iter().filter_map(|name| one.get(&**name).map(|key| (name.to_string(), key.clone())));
        Value::Object(known.collect())
    };
    let keys: Vec<Value> = list.iter().map(key_of).collect();
    for at in second(keys.iter().map(Value::to_string)) {
        errors.push(FieldError::duplicate(&path.index(at), &keys[at]));
    }
}

/// Where something stands for the second time, once for each.
fn second(all: impl Iterator<Item = String>) -> Vec<usize> {
    let mut times: HashMap<String, usize> = HashMap::new();
    let mut found = Vec::new();
    for (at, one) in all.enumerate() {
        let times = times.entry(one).or_default();
        *times += 1;
        if *times == 2 {
            found.push(at);
        }
    }
    found
}

/// What is wrong with the type and the metadata of embedded resources.
pub(super) fn embedded(
    schema: &Schema,
    ty: &TypeDef,
    object: &Map<String, Value>,
    metadata: CheckMetadata<'_>,
) -> FieldErrors {
    let mut errors = FieldErrors::new();
    embedded_in(schema, Node::of_type(ty), object, &Path::root(), metadata, &mut errors);
    errors
}

fn embedded_in(
    schema: &Schema,
    node: Node<'_>,
    map: &Map<String, Value>,
    path: &Path,
    metadata: CheckMetadata<'_>,
    errors: &mut FieldErrors,
) {
    if let Inside::Object(ty) = node.inside
        && ty.embedded
    {
        let meta = ty.field("metadata").map(|field| field.ty);
        resource(schema, meta, map, path, metadata, errors);
    }
    for (name, value) in map {
        if errors.is_full() {
            return;
        }
        let Some(inner) = node.property(schema, name) else { continue };
        let path = if matches!(node.inside, Inside::Map(_)) { path.key(name) } else { path.child(name) };
        embedded_at(schema, inner, value, &path, metadata, errors);
    }
}

fn embedded_at(
    schema: &Schema,
    node: Node<'_>,
    value: &Value,
    path: &Path,
    metadata: CheckMetadata<'_>,
    errors: &mut FieldErrors,
) {
    match value {
        Value::Object(map) => embedded_in(schema, node, map, path, metadata, errors),
        Value::Array(list) => {
            let Some(items) = node.items(schema) else { return };
            for (at, one) in list.iter().enumerate() {
                embedded_at(schema, items, one, &path.index(at), metadata, errors);
            }
        }
        _ => {}
    }
}

/// The type of metadata.
static OBJECT_META: LazyLock<Option<TypeId>> = LazyLock::new(|| {
    let is_meta = |ty: &TypeDef| ty.package == "apimachinery/pkg/apis/meta/v1" && ty.name == "ObjectMeta";
    Schema::builtin().types().find(|(_, ty)| is_meta(ty)).map(|(id, _)| id)
});

/// As [`embedded`], of a value by a schema that is none of a type.
pub(super) fn embedded_by(
    definition: &Value,
    value: &Value,
    path: &Path,
    metadata: CheckMetadata<'_>,
    errors: &mut FieldErrors,
) {
    if errors.is_full() {
        return;
    }
    match value {
        Value::Object(map) => {
            if definition["x-kubernetes-embedded-resource"] == true {
                resource(Schema::builtin(), OBJECT_META.map(Type::Struct), map, path, metadata, errors);
            }
            for (name, inner) in map {
                match (definition["properties"].get(name), &definition["additionalProperties"]) {
                    (Some(known), _) => embedded_by(known, inner, &path.child(name), metadata, errors),
                    (None, Value::Null | Value::Bool(_)) => {}
                    (None, additional) => embedded_by(additional, inner, &path.key(name), metadata, errors),
                }
            }
        }
        Value::Array(list) => {
            for (at, one) in list.iter().enumerate() {
                embedded_by(&definition["items"], one, &path.index(at), metadata, errors);
            }
        }
        _ => {}
    }
}

/// `meta`: the type of metadata.
fn resource(
    schema: &Schema,
    meta: Option<Type>,
    map: &Map<String, Value>,
    path: &Path,
    metadata: CheckMetadata<'_>,
    errors: &mut FieldErrors,
) {
    for name in ["apiVersion", "kind"] {
        if !map.contains_key(name) {
            errors.push(FieldError::required(&path.child(name), ""));
        }
    }
    let mut word = |name: &str, check: &dyn Fn(&str) -> Option<String>| {
        let Some(value) = map.get(name) else { return };
        let path = path.child(name);
        match value.as_str() {
            None => errors.push(FieldError::invalid(&path, value, "must be a string")),
            Some("") => errors.push(FieldError::invalid(&path, "", "must not be empty")),
            Some(text) => errors.extend(check(text).map(|why| FieldError::invalid(&path, text, why))),
        }
    };
    word("apiVersion", &|text| {
        (text.matches('/').count() > 1).then(|| format!("unexpected GroupVersion string: {text}"))
    });
    word("kind", &|text| {
        let wrong = names::dns1035_label(&text.to_lowercase());
        let why = "may have mixed case, but should otherwise match: ";
        (!wrong.is_empty()).then(|| format!("{why}{}", wrong.join(",")))
    });
    let Some(value) = map.get("metadata") else { return };
    let path = path.child("metadata");
    match (value.as_object(), meta) {
        (Some(object), Some(Type::Struct(id))) => match json::from_value(schema, id, value) {
            Ok(_) => errors.extend(metadata(object, &path)),
            Err(error) => errors.push(FieldError::invalid(&path, value, error.to_string())),
        },
        _ => errors.push(FieldError::invalid(&path, value, "must be an object")),
    }
}
