//! The words in which Go's converter of trees into structs refuses one (apimachinery's `runtime.DefaultUnstructuredConverter`):
//! by it the outcome of a strategic merge becomes an object, and not by the reader of JSON.

use serde_json::Value;

use crate::go_print;
use crate::schema::Schema;
use crate::table::{Field, Shape, Type, TypeId};

/// Why a tree cannot be converted; of several reasons the first by the names of fields. `None`: it can be, or what is wrong is
/// told by the reader of a field's own type.
pub fn unrestorable(schema: &Schema, id: TypeId, value: &Value) -> Option<String> {
    let Value::Object(map) = value else { return Some(format!("cannot restore struct from: {}", kind(value))) };
    let ty = schema.get(id);
    map.iter().find_map(|(name, inner)| of_field(schema, ty.field(name)?, inner))
}

/// The words of the converter for what the reader of JSON says of a field's own type: it knows no way to it.
pub fn without_way(read: &str) -> String {
    if read.starts_with("illegal base64 data") {
        return format!("error decoding from json: {read}");
    }
    let parts =
        read.split_once("Go struct field ").and_then(|(before, rest)| Some((before, rest.split_once(" of type ")?.1)));
    match parts {
        Some((before, wanted)) => format!("{before}Go value of type {wanted}"),
        None => read.to_owned(),
    }
}

fn of_field(schema: &Schema, field: &Field, value: &Value) -> Option<String> {
    match (field.shape, value) {
        (_, Value::Null) => None,
        (Shape::One, value) => of_element(schema, field, value),
        (Shape::List, Value::Array(list)) => list.iter().find_map(|inner| of_element(schema, field, inner)),
        (Shape::Map, Value::Object(map)) => map.values().find_map(|inner| of_element(schema, field, inner)),
        (Shape::List, other) => Some(no_slice(other)),
        (Shape::Map, other) => Some(format!("cannot restore map from {}", kind(other))),
    }
}

fn of_element(schema: &Schema, field: &Field, value: &Value) -> Option<String> {
    let scalar = |wanted: &str| of_scalar(wanted, &schema.go_element_type(field), value);
    match (field.ty, value) {
        (_, Value::Null) => None,
        (Type::Struct(id), value) => unrestorable(schema, id, value),
        (Type::Strings, Value::Array(list)) => list.iter().find_map(|one| of_scalar("string", "string", one)),
        (Type::Bytes, Value::String(_) | Value::Array(_)) => None,
        (Type::Strings | Type::Bytes, other) => Some(no_slice(other)),
        (Type::String, _) => scalar("string"),
        (Type::Bool, _) => scalar("bool"),
        (Type::Int32, _) => scalar("int32"),
        (Type::Int64, _) => scalar("int64"),
        (Type::Double, _) => scalar("float64"),
        _ => None,
    }
}

/// `wanted`: the kind of the Go type, whose name is `go_type`.
fn of_scalar(wanted: &str, go_type: &str, value: &Value) -> Option<String> {
    let number = value.as_number();
    let whole = number.is_some_and(|number| !number.is_f64());
    match (wanted, value) {
        (_, Value::Null) | ("string", Value::String(_)) | ("bool", Value::Bool(_)) | ("float64", Value::Number(_)) => {
            None
        }
        ("int32" | "int64", Value::Number(_)) if whole => None,
        ("int32" | "int64", Value::Number(number)) if number.as_f64().is_some_and(|float| float.fract() == 0.0) => None,
        ("int32" | "int64", Value::Number(_)) => Some(format!("cannot convert float64 to {go_type}")),
        ("string", Value::Number(_)) if whole => Some(format!("cannot convert int64 to {go_type}")),
        _ => Some(format!("unrecognized type: {wanted}")),
    }
}

fn no_slice(value: &Value) -> String {
    format!("cannot restore slice from {}", kind(value))
}

/// The kind of a value's Go type.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Array(_) => "slice",
        Value::Object(_) => "map",
        other => go_print::kept_type_name(other),
    }
}
