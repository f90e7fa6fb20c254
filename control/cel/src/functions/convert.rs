//! Conversions between types.

use super::{Eval, times};
use crate::error::EvalError;
use crate::value::{Library, Text, Value};
use std::fmt::Write as _;

/// The function whose name is that of the wanted type.
pub(super) fn convert<'a>(wanted: &str, value: &Value<'a>) -> Eval<'a> {
    let found = match wanted {
        "dyn" => return Ok(value.clone()),
        "type" => return Ok(Value::Type(value.type_name().as_ref().into())),
        "bool" => boolean(value),
        "bytes" => match value {
            Value::Bytes(_) => Some(value.clone()),
            Value::String(text) => Some(Value::Bytes(text.as_bytes().into())),
            _ => None,
        },
        "double" => float(value),
        "int" => return integer(value),
        "uint" => return unsigned(value),
        "string" => return string(value),
        "duration" => match value {
            Value::Duration(_) => Some(value.clone()),
            Value::Int(nanos) => Some(Value::Duration(*nanos)),
            Value::String(text) => crate::library::go_duration(text).map(Value::Duration),
            _ => None,
        },
        _ => match value {
            Value::Timestamp(_) => Some(value.clone()),
            Value::Int(seconds) => Some(Value::Timestamp(times::of_seconds(*seconds)?)),
            Value::String(text) => match times::rfc3339(text) {
                Some(at) => Some(Value::Timestamp(times::in_range(at)?)),
                None => None,
            },
            _ => None,
        },
    };
    found.ok_or_else(|| wrong(value, wanted))
}

fn wrong(value: &Value<'_>, wanted: &str) -> EvalError {
    let wanted = match wanted {
        "duration" => "google.protobuf.Duration",
        "timestamp" => "google.protobuf.Timestamp",
        other => other,
    };
    EvalError::failed(format!("type conversion error from '{}' to '{wanted}'", value.type_name()))
}

fn boolean<'a>(value: &Value<'a>) -> Option<Value<'a>> {
    match value {
        Value::Bool(_) => Some(value.clone()),
        Value::String(text) => match &**text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(Value::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(Value::Bool(false)),
            _ => None,
        },
        _ => None,
    }
}

fn float<'a>(value: &Value<'a>) -> Option<Value<'a>> {
    Some(Value::Double(match value {
        Value::Double(value) => *value,
        Value::Int(value) => *value as f64,
        Value::Uint(value) => *value as f64,
        Value::String(text) => text.parse::<f64>().ok().filter(|_| !text.starts_with(' '))?,
        _ => return None,
    }))
}

fn integer<'a>(value: &Value<'a>) -> Eval<'a> {
    let overflow = || EvalError::failed("integer overflow");
    Ok(Value::Int(match value {
        Value::Int(value) => *value,
        Value::Uint(value) => i64::try_from(*value).map_err(|_| overflow())?,
        Value::Double(value) => match value.is_finite() && *value > i64::MIN as f64 && *value < i64::MAX as f64 {
            true => *value as i64,
            false => return Err(overflow()),
        },
        Value::Timestamp(at) => at.as_second(),
        Value::Duration(nanos) => *nanos,
        Value::String(text) => text.parse().map_err(|_| wrong(value, "int"))?,
        other => return Err(wrong(other, "int")),
    }))
}

fn unsigned<'a>(value: &Value<'a>) -> Eval<'a> {
    let overflow = || EvalError::failed("unsigned integer overflow");
    Ok(Value::Uint(match value {
        Value::Uint(value) => *value,
        Value::Int(value) => u64::try_from(*value).map_err(|_| overflow())?,
        Value::Double(value) => match value.is_finite() && *value >= 0.0 && *value < u64::MAX as f64 {
            true => *value as u64,
            false => return Err(overflow()),
        },
        Value::String(text) => match text.starts_with('+') {
            true => return Err(wrong(value, "uint")),
            false => text.parse().map_err(|_| wrong(value, "uint"))?,
        },
        other => return Err(wrong(other, "uint")),
    }))
}

fn string<'a>(value: &Value<'a>) -> Eval<'a> {
    Ok(Value::String(match value {
        Value::String(text) => text.clone(),
        Value::Bool(value) => value.to_string().into(),
        Value::Int(value) => value.to_string().into(),
        Value::Uint(value) => value.to_string().into(),
        Value::Double(value) => double(*value).into(),
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned().into(),
            Err(_) => return Err(EvalError::failed("invalid UTF-8 in bytes, cannot convert to string")),
        },
        Value::Duration(nanos) => times::shown_duration(*nanos).into(),
        Value::Timestamp(at) => times::shown(*at).into(),
        Value::Library(Library::Ip(address)) => address.to_string().into(),
        Value::Library(Library::Cidr(cidr)) => cidr.to_string().into(),
        Value::Type(name) => Text::Made(name.clone()),
        other => return Err(wrong(other, "string")),
    }))
}

/// A double as Go's shortest `g` form has it: the shortest digits, with an exponent below -4 and from 6 on.
pub(crate) fn double(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".into() } else { "-Inf".into() };
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) || value == 0.0 {
        return value.to_string();
    }
    let mut out = digits.to_owned();
    let sign = if exponent < 0 { '-' } else { '+' };
    match write!(out, "e{sign}{:02}", exponent.abs()) {
        Ok(()) => out,
        Err(_) => scientific.clone(),
    }
}
