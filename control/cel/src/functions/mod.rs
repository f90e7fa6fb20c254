//! The functions of the environment, by their names.

mod authorization;
mod convert;
mod format;
mod libraries;
mod lists;
mod numbers;
mod strings;
mod times;

use crate::compare::{Unordered, order};
use crate::error::EvalError;
use crate::meter::Meter;
use crate::types::Type;
use crate::value::{Library, Value};
use std::cmp::Ordering;

pub(crate) use authorization::question;
pub(crate) use convert::double;

type Eval<'a> = Result<Value<'a>, EvalError>;

/// Calls a function; `overload` is the only one that fits, or empty.
pub(crate) fn call<'a>(name: &str, overload: &str, args: &[Value<'a>], meter: &mut Meter) -> Eval<'a> {
    if let [Value::Library(Library::Authorization(state)), rest @ ..] = args {
        let texts: Option<Vec<&str>> = rest.iter().map(text_of).collect();
        return authorization::call(state, name, &texts.ok_or_else(EvalError::no_such_overload)?);
    }
    match name {
        "!_" => match args {
            [Value::Bool(value)] => Ok(Value::Bool(!value)),
            _ => Err(EvalError::no_such_overload()),
        },
        "_<_" | "_<=_" | "_>_" | "_>=_" => comparison(name, &args[0], &args[1]),
        "_+_" => numbers::add(&args[0], &args[1], meter),
        "_-_" | "_*_" | "_/_" | "_%_" => numbers::binary(name, &args[0], &args[1]),
        "-_" => numbers::negate(&args[0]),
        "size" => numbers::size(&args[0]),
        "bool" | "bytes" | "double" | "dyn" | "duration" | "int" | "string" | "timestamp" | "type" | "uint" => {
            convert::convert(name, &args[0])
        }
        "optional.none" | "optional.of" | "optional.ofNonZeroValue" | "hasValue" | "value" => optionals(name, args),
        _ => match args {
            [Value::String(_), ..] if strings::knows(name) => strings::call(name, args, meter),
            [Value::List(_), ..] if lists::knows(name) => lists::call(name, args, meter),
            [Value::Timestamp(_) | Value::Duration(_), ..] if name.starts_with("get") => times::get(name, args),
            _ if name == "lists.range" => lists::range(args, meter),
            _ => libraries::call(name, overload, args, meter),
        },
    }
}

fn comparison<'a>(name: &str, a: &Value<'a>, b: &Value<'a>) -> Eval<'a> {
    let order = order(a, b).map_err(|why| match why {
        Unordered::Types => numbers::unfit(name, a),
        Unordered::NotANumber => why.into(),
    })?;
    Ok(Value::Bool(match name {
        "_<_" => order == Ordering::Less,
        "_<=_" => order != Ordering::Greater,
        "_>_" => order == Ordering::Greater,
        _ => order != Ordering::Less,
    }))
}

fn optionals<'a>(name: &str, args: &[Value<'a>]) -> Eval<'a> {
    Ok(match (name, args) {
        ("optional.none", []) => Value::Optional(None),
        ("optional.of", [value]) => Value::some(value.clone()),
        ("optional.ofNonZeroValue", [value]) => match is_zero(value) {
            true => Value::Optional(None),
            false => Value::some(value.clone()),
        },
        ("hasValue", [Value::Optional(inner)]) => Value::Bool(inner.is_some()),
        ("value", [Value::Optional(Some(inner))]) => (**inner).clone(),
        ("value", [Value::Optional(None)]) => return Err(EvalError::failed("optional.none() dereference")),
        _ => return Err(EvalError::no_such_overload()),
    })
}

fn is_zero(value: &Value<'_>) -> bool {
    match value {
        Value::Null | Value::Optional(None) => true,
        Value::Bool(value) => !value,
        Value::Int(value) => *value == 0,
        Value::Uint(value) => *value == 0,
        Value::Double(value) => *value == 0.0,
        Value::String(text) => text.is_empty(),
        Value::Bytes(bytes) => bytes.is_empty(),
        Value::Duration(nanos) => *nanos == 0,
        Value::List(list) => list.is_empty(),
        Value::Map(map) => map.is_empty(),
        Value::Object(data, _) => data.is_empty(),
        Value::Made(made) => made.is_zero(),
        _ => false,
    }
}

fn text_of<'v>(value: &'v Value<'_>) -> Option<&'v str> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

/// The name that the type of a type has as a value.
pub(crate) fn type_name(ty: &Type) -> String {
    match ty {
        Type::Null => "null_type".into(),
        Type::Duration => "google.protobuf.Duration".into(),
        Type::Timestamp => "google.protobuf.Timestamp".into(),
        Type::List(_) => "list".into(),
        Type::Map(..) => "map".into(),
        Type::Type(_) => "type".into(),
        Type::Optional(_) => "optional_type".into(),
        other => other.to_string(),
    }
}

/// A value in an error's text.
pub(crate) fn shown(value: &Value<'_>) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => value.to_string(),
        Value::Double(value) => double(*value),
        Value::String(text) => text.to_string(),
        other => other.type_name().into_owned(),
    }
}

/// Whether a text can be a timestamp.
pub(crate) fn is_timestamp(text: &str) -> bool {
    times::rfc3339(text).is_some()
}

/// What a conversion makes of a value.
pub(crate) fn converted<'a>(function: &str, value: &Value<'a>) -> Eval<'a> {
    convert::convert(function, value)
}
