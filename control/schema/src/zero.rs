//! The values that Go holds and writes for fields that were not given.

use serde_json::{Map, Value};

use crate::schema::Schema;
use crate::table::{Field, Shape, Type, TypeDef, TypeId};

/// The value that Go writes for an unset field that it does not omit.
pub(crate) fn field(schema: &Schema, field: &Field) -> Value {
    if field.shape != Shape::One || (field.pointer && !field.by_value) {
        return Value::Null;
    }
    match field.ty {
        Type::Struct(_) if !field.by_value => Value::Null,
        _ if !field.by_value && !is_plain(field.ty) => Value::Null,
        Type::Bytes => Value::Null,
        ty => element(schema, ty),
    }
}

/// The value that Go holds for a `null` in a list or map of this type.
pub(crate) fn element(schema: &Schema, ty: Type) -> Value {
    match ty {
        Type::String => Value::String(String::new()),
        Type::Bool => Value::Bool(false),
        Type::Int32 | Type::Int64 | Type::IntOrString | Type::Double => Value::from(0),
        // As it is read back from the protobuf in which Go stores it.
        Type::Bytes => Value::String(String::new()),
        Type::Struct(id) => Value::Object(struct_of(schema, id)),
        Type::Quantity => Value::from("0"),
        Type::Duration => Value::from("0s"),
        Type::FieldsV1 => Value::Object(Map::new()),
        Type::Time | Type::MicroTime | Type::Raw | Type::Json | Type::Strings => Value::Null,
        Type::SchemaOrArray(_) | Type::SchemaOrBool(_) | Type::SchemaOrStrings(_) | Type::Nested(_) => Value::Null,
    }
}

/// The value that stands for a `null` in a map of this type once it was stored: protobuf knows no bytes that are null.
pub(crate) fn entry(schema: &Schema, ty: Type) -> Value {
    if ty == Type::Bytes { Value::String(String::new()) } else { element(schema, ty) }
}

/// The fields that Go writes for a struct of which nothing is set.
pub(crate) fn struct_of(schema: &Schema, id: TypeId) -> Map<String, Value> {
    let mut map = Map::new();
    complete(schema, schema.get(id), &mut map);
    map
}

/// Adds the fields that Go writes whether set or not.
pub(crate) fn complete(schema: &Schema, ty: &TypeDef, map: &mut Map<String, Value>) {
    for at in &ty.always {
        let unset = &ty.fields[*at as usize];
        if !map.contains_key(&*unset.json_name) {
            map.insert(unset.json_name.to_string(), field(schema, unset));
        }
    }
}

pub(crate) fn is_plain(ty: Type) -> bool {
    matches!(ty, Type::String | Type::Bool | Type::Int32 | Type::Int64 | Type::Double | Type::Bytes | Type::Strings)
}

/// Whether Go's `omitempty` drops this scalar.
pub(crate) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

/// A value as it is read where it is not omitted: a map without entries as it is once it was stored, which is null. An empty
/// list stays until its writer is noted ([`crate::stored`]).
pub(crate) fn read(field: &Field, value: Value) -> Value {
    let none = matches!(&value, Value::Object(map) if map.is_empty() && field.shape == Shape::Map);
    if none && !field.keep_empty { Value::Null } else { value }
}

/// Whether `omitempty` applies to the field's value: structs and what Go holds as structs are never empty.
pub(crate) fn omits(field: &Field, value: &Value) -> bool {
    if field.emit_empty || field.keep_empty {
        return false;
    }
    match field.shape {
        Shape::One => !field.pointer && is_plain(field.ty) && is_empty(value),
        // An empty list of managed fields is a request to forget them: the field manager looks for it.
        Shape::List if field.json_name == "managedFields" => value.is_null(),
        Shape::List | Shape::Map => is_empty(value),
    }
}
