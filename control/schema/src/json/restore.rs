//! Trees as Go's converter makes structs of them (apimachinery's `runtime.DefaultUnstructuredConverter`): by it the outcomes of
//! applies and of strategic merges become objects, and not by the reader of JSON. It has words of its own for wrong types, and
//! cuts numbers to what their fields hold.

use sampan_api::limits::NESTING_MAX;
use serde_json::{Number, Value};

use super::{from_value, name_of};
use crate::problems::Decoded;
use crate::schema::Schema;
use crate::table::{Field, Origin, Shape, Type, TypeId};
use crate::{go_print, nesting};

/// As [`from_value`], of what Go converts: all but custom resources.
///
/// # Errors
/// Why the tree cannot be converted; of several reasons the first by the names of fields.
pub fn restore(schema: &Schema, id: TypeId, value: &Value) -> Result<Decoded, String> {
    let error = match from_value(schema, id, value) {
        Ok(decoded) => return Ok(decoded),
        Err(error) if schema.get(id).origin == Origin::Structural => return Err(error.to_string()),
        Err(error) => error,
    };
    // What was too deep to be read is too deep to be walked.
    if nesting::exceeds(value, NESTING_MAX) {
        return Err(error.to_string());
    }
    if let Some(why) = unrestorable(schema, id, value) {
        return Err(why);
    }
    let mut value = value.clone();
    cut(schema, id, &mut value);
    from_value(schema, id, &value).map_err(|_| without_way(&error.to_string()))
}

/// Cuts whole numbers to what their fields hold, as Go's conversions do.
fn cut(schema: &Schema, id: TypeId, value: &mut Value) {
    let Value::Object(map) = value else { return };
    let ty = schema.get(id);
    for (name, inner) in map {
        let Some(field) = ty.field(name) else { continue };
        match (field.shape, inner) {
            (Shape::One, inner) => cut_element(schema, field.ty, inner),
            (Shape::List, Value::Array(list)) => {
                list.iter_mut().for_each(|inner| cut_element(schema, field.ty, inner));
            }
            (Shape::Map, Value::Object(map)) => {
                map.values_mut().for_each(|inner| cut_element(schema, field.ty, inner));
            }
            _ => {}
        }
    }
}

fn cut_element(schema: &Schema, ty: Type, value: &mut Value) {
    match (ty, &mut *value) {
        (Type::Struct(id), Value::Object(_)) => cut(schema, id, value),
        (Type::Int32 | Type::IntOrString, Value::Number(number)) => *value = Value::from(whole(number) as i32),
        (Type::Int64, Value::Number(number)) => *value = Value::from(whole(number)),
        _ => {}
    }
}

/// 64 bits of a number without a fraction. What they cannot hold is a float in Go, and becomes the least of them (amd64).
fn whole(number: &Number) -> i64 {
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    number.as_i64().unwrap_or_else(|| match number.as_f64() {
        Some(float) if float.abs() < BEYOND => float as i64,
        _ => i64::MIN,
    })
}

/// Why a tree cannot be converted. `None`: it can be, or what is wrong is told by the reader of a field's own type.
fn unrestorable(schema: &Schema, id: TypeId, value: &Value) -> Option<String> {
    let Value::Object(map) = value else { return Some(format!("cannot restore struct from: {}", kind(value))) };
    let ty = schema.get(id);
    map.iter().find_map(|(name, inner)| of_field(schema, ty.field(name)?, inner))
}

/// The words of the converter for what the reader of JSON says of a field's own type: it knows no way to it.
fn without_way(read: &str) -> String {
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
        (Type::IntOrString, value) => of_own("int32", value),
        (Type::Time | Type::MicroTime | Type::Duration, value) => of_own("string", value),
        _ => None,
    }
}

/// Of types that read JSON themselves, without knowing where it stands; `go_type`: what they take it for that is no text.
fn of_own(go_type: &str, value: &Value) -> Option<String> {
    let seen = match value {
        Value::String(_) => return None,
        Value::Number(number) if go_type == "int32" => match number.as_f64() {
            Some(float) if float.fract() == 0.0 && i32::try_from(whole(number)).is_ok() => return None,
            _ => format!("number {number}"),
        },
        other => name_of(other).to_owned(),
    };
    Some(format!("json: cannot unmarshal {seen} into Go value of type {go_type}"))
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
