//! Trees as Go's converter makes structs of them (apimachinery's `runtime.DefaultUnstructuredConverter`): by it the outcomes of
//! applies and of strategic merges become objects, and not by the reader of JSON. It has words of its own for wrong types, and
//! cuts numbers to what their fields hold.

use sampan_api::limits::NESTING_MAX;
use serde_json::{Number, Value};

use super::source::{Stop, Tree};
use super::{Decoder, from_value};
use crate::problems::Decoded;
use crate::schema::Schema;
use crate::table::{Field, Origin, Shape, Type, TypeId};
use crate::{go_print, nesting, scalar};

/// As [`from_value`], of what Go converts: all but custom resources.
///
/// # Errors
/// Why the tree cannot be converted; of several reasons the first by the names of fields.
pub fn restore(schema: &Schema, id: TypeId, value: &Value) -> Result<Decoded, String> {
    let error = match from_value(schema, id, value) {
        Ok(decoded) => return Ok(decoded),
        Err(error) => error,
    };
    // What was too deep to be read is too deep to be walked.
    if schema.get(id).origin == Origin::Structural || nesting::exceeds(value, NESTING_MAX) {
        return Err(error.to_string());
    }
    // What the reader does not take is taken with its numbers as the converter makes them.
    let mut value = value.clone();
    of_struct(schema, id, &mut value)?;
    from_value(schema, id, &value).map_err(|error| error.to_string())
}

fn of_struct(schema: &Schema, id: TypeId, value: &mut Value) -> Result<(), String> {
    let ty = schema.get(id);
    match value {
        Value::Object(map) => map.iter_mut().try_for_each(|(name, inner)| match ty.field(name) {
            Some(field) => of_field(schema, field, inner),
            None => Ok(()),
        }),
        other => Err(format!("cannot restore struct from: {}", kind(other))),
    }
}

fn of_field(schema: &Schema, field: &Field, value: &mut Value) -> Result<(), String> {
    match (field.shape, value) {
        (_, Value::Null) => Ok(()),
        (Shape::One, value) => of_element(schema, field, value),
        (Shape::List, Value::Array(list)) => list.iter_mut().try_for_each(|inner| of_element(schema, field, inner)),
        (Shape::Map, Value::Object(map)) => map.values_mut().try_for_each(|inner| of_element(schema, field, inner)),
        (Shape::List, other) => Err(no_slice(other)),
        (Shape::Map, other) => Err(format!("cannot restore map from {}", kind(other))),
    }
}

fn of_element(schema: &Schema, field: &Field, value: &mut Value) -> Result<(), String> {
    match (field.ty, value) {
        (_, Value::Null) => Ok(()),
        (Type::Struct(id), value) => of_struct(schema, id, value),
        (Type::String | Type::Bool | Type::Int32 | Type::Int64 | Type::Double, value) => {
            of_scalar(field.ty, &|| schema.go_element_type(field), value)
        }
        (Type::Strings, Value::Array(list)) => {
            list.iter_mut().try_for_each(|one| of_scalar(Type::String, &|| "string".to_owned(), one))
        }
        (Type::Bytes, Value::String(text)) => {
            scalar::base64_text(text).map(drop).map_err(|error| format!("error decoding from json: {error}"))
        }
        (Type::Bytes, Value::Array(list)) => list.iter_mut().try_for_each(of_byte),
        (Type::Strings | Type::Bytes, other) => Err(no_slice(other)),
        (Type::Nested(_), _) => Ok(()),
        (Type::FieldsV1 | Type::Raw | Type::Json, value) => {
            marshal(value);
            Ok(())
        }
        // What is wrong with the text of a time or quantity the reader says in the same words.
        (Type::Quantity | Type::Time | Type::MicroTime | Type::Duration | Type::IntOrString, Value::String(_)) => {
            Ok(())
        }
        (_, value) => {
            marshal(value);
            unmarshal(schema, field, value)
        }
    }
}

/// `ty`: the kind of the Go type, whose name `go_type` tells.
fn of_scalar(ty: Type, go_type: &dyn Fn() -> String, value: &mut Value) -> Result<(), String> {
    let made = match (ty, &*value) {
        (_, Value::Null)
        | (Type::String, Value::String(_))
        | (Type::Bool, Value::Bool(_))
        | (Type::Double, Value::Number(_)) => return Ok(()),
        (Type::Int32 | Type::Int64, Value::Number(number)) => match integer(number) {
            Some(whole) if ty == Type::Int32 => Value::from(whole as i32),
            Some(whole) => Value::from(whole),
            None => return Err(format!("cannot convert float64 to {}", go_type())),
        },
        (Type::String, Value::Number(number)) if number.is_i64() => {
            return Err(format!("cannot convert int64 to {}", go_type()));
        }
        _ => {
            let wanted = match ty {
                Type::Bool => "bool",
                Type::Int32 => "int32",
                Type::Int64 => "int64",
                Type::Double => "float64",
                _ => "string",
            };
            return Err(format!("unrecognized type: {wanted}"));
        }
    };
    *value = made;
    Ok(())
}

fn of_byte(value: &mut Value) -> Result<(), String> {
    let made = match &*value {
        Value::Null => return Ok(()),
        Value::Number(number) => integer(number).ok_or("cannot convert float64 to uint8")?,
        _ => return Err("unrecognized type: uint8".to_owned()),
    };
    *value = Value::from(made as u8);
    Ok(())
}

/// The integer that Go makes of a number; `None`: it has a fraction.
fn integer(number: &Number) -> Option<i64> {
    // The first float above every integer.
    const END: f64 = 9_223_372_036_854_775_808.0;
    if let Some(whole) = number.as_i64() {
        return Some(whole);
    }
    let float = number.as_f64().filter(|float| float.fract() == 0.0)?;
    // Of what has no place in 64 bits x86 makes the least integer.
    Some(if (-END..END).contains(&float) { float as i64 } else { i64::MIN })
}

/// What types that read their own JSON are given: a whole float is written without its point.
fn marshal(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            if let Some(written) = number.as_f64().and_then(scalar::number) {
                *number = written;
            }
        }
        Value::Array(list) => list.iter_mut().for_each(marshal),
        Value::Object(map) => map.values_mut().for_each(marshal),
        _ => {}
    }
}

/// Whether a type that reads its own JSON takes the value: its words know of no field that it stands in.
fn unmarshal(schema: &Schema, field: &Field, value: &Value) -> Result<(), String> {
    let mut decoder = Decoder::new(schema, Tree::new(value));
    match decoder.element(field) {
        Ok(_) => decoder.mismatch.map_or(Ok(()), Err),
        Err(Stop::Invalid(text) | Stop::NoKind(text)) => Err(text),
        Err(Stop::Syntax) => Err("invalid JSON".to_owned()),
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
