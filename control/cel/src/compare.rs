//! Equality and order of values.

use crate::decl::{Decl, ListKind};
use crate::error::EvalError;
use crate::value::{Library, List, Made, Map, Value};
use serde_json::{Map as JsonMap, Value as Json};
use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

/// Whether two values are equal; those of different types are not, but numbers are compared by their amounts.
pub(crate) fn equal<'a>(a: &Value<'a>, b: &Value<'a>) -> Result<bool, EvalError> {
    Ok(match (a, b) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::String(a), Value::String(b)) => **a == **b,
        (Value::Bytes(a), Value::Bytes(b)) => a == b,
        (Value::Duration(a), Value::Duration(b)) => a == b,
        (Value::Timestamp(a), Value::Timestamp(b)) => a == b,
        (Value::Type(a), Value::Type(b)) => a == b,
        (Value::Int(_) | Value::Uint(_) | Value::Double(_), Value::Int(_) | Value::Uint(_) | Value::Double(_)) => {
            order_numbers(a, b) == Some(Ordering::Equal)
        }
        (Value::Optional(a), Value::Optional(b)) => match (a, b) {
            (None, None) => true,
            (Some(a), Some(b)) => equal(a, b)?,
            _ => false,
        },
        (Value::List(a), Value::List(b)) => equal_lists(a, b)?,
        (Value::Map(a), Value::Map(b)) => equal_maps(a, b)?,
        (Value::Object(a, decl), Value::Object(b, _)) => equal_objects(a, b, decl)?,
        (Value::Object(a, _), Value::Map(Map::Data(b, _))) | (Value::Map(Map::Data(a, _)), Value::Object(b, _)) => {
            a == b
        }
        (Value::Made(a), Value::Made(b)) => equal_made(a, b)?,
        (Value::Unknown(a), Value::Unknown(b)) => a == b,
        (Value::Library(a), Value::Library(b)) => a == b,
        _ => false,
    })
}

fn equal_lists<'a>(a: &List<'a>, b: &List<'a>) -> Result<bool, EvalError> {
    if a.len() != b.len() {
        return Ok(false);
    }
    if let (List::Data(a, decl, kind), List::Data(b, _, _)) = (a, b) {
        match kind {
            ListKind::Set => return Ok(same_set(a, b)),
            ListKind::Map(keys) => return same_by_keys(a, b, decl, keys),
            ListKind::Atomic => {}
        }
    }
    if let (List::Data(all, _, ListKind::Set), List::Made(other)) = (a, b) {
        let known: HashSet<String> = all.iter().map(Json::to_string).collect();
        return Ok(other.iter().all(|one| scalar(one).is_some_and(|one| known.contains(&one.to_string()))));
    }
    for (a, b) in a.iter().zip(b.iter()) {
        if !equal(&a?, &b?)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A scalar as JSON.
fn scalar(value: &Value<'_>) -> Option<Json> {
    Some(match value {
        Value::String(text) => (**text).into(),
        Value::Int(value) => (*value).into(),
        Value::Double(value) => (*value).into(),
        Value::Bool(value) => (*value).into(),
        _ => return None,
    })
}

/// Whether all of `b` are in `a`, which has as many.
fn same_set(a: &[Json], b: &[Json]) -> bool {
    let known: HashSet<String> = a.iter().map(Json::to_string).collect();
    b.iter().all(|one| known.contains(&one.to_string()))
}

/// The keys of an element, as one text.
pub(crate) fn list_key(element: &Json, keys: &[String]) -> String {
    let values: Vec<String> = keys.iter().map(|key| element[key.as_str()].to_string()).collect();
    values.join("\u{0}")
}

fn same_by_keys(a: &[Json], b: &[Json], decl: &Decl, keys: &[String]) -> Result<bool, EvalError> {
    let known: HashMap<String, &Json> = a.iter().map(|one| (list_key(one, keys), one)).collect();
    for one in b {
        let Some(other) = known.get(&list_key(one, keys)) else { return Ok(false) };
        if !equal(&Value::of(other, decl)?, &Value::of(one, decl)?)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn equal_maps<'a>(a: &Map<'a>, b: &Map<'a>) -> Result<bool, EvalError> {
    if a.len() != b.len() {
        return Ok(false);
    }
    for key in a.keys() {
        let (Some(one), Some(other)) = (a.get(&key), b.get(&key)) else { return Ok(false) };
        if !equal(&one?, &other?)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn equal_made<'a>(a: &Made<'a>, b: &Made<'a>) -> Result<bool, EvalError> {
    if a.name() != b.name() || a.len() != b.len() {
        return Ok(false);
    }
    for (name, one) in a.fields() {
        match b.field(name) {
            Some(other) if equal(one, other)? => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

fn equal_objects<'a>(
    a: &'a JsonMap<String, Json>,
    b: &'a JsonMap<String, Json>,
    decl: &'a Decl,
) -> Result<bool, EvalError> {
    if a.len() != b.len() {
        return Ok(false);
    }
    for (property, one) in a {
        let Some(other) = b.get(property) else { return Ok(false) };
        let same = match decl.property(property) {
            Some(decl) => equal(&Value::of(one, decl)?, &Value::of(other, decl)?)?,
            None => one == other,
        };
        if !same {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The order of two numbers; `None` where one is no number.
fn order_numbers(a: &Value<'_>, b: &Value<'_>) -> Option<Ordering> {
    let whole = |value: &Value<'_>| match value {
        Value::Int(value) => Some(i128::from(*value)),
        Value::Uint(value) => Some(i128::from(*value)),
        _ => None,
    };
    match (a, b) {
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
        (Value::Double(a), b) => order_double(*a, whole(b)?),
        (a, Value::Double(b)) => order_double(*b, whole(a)?).map(Ordering::reverse),
        (a, b) => Some(whole(a)?.cmp(&whole(b)?)),
    }
}

/// The order of a double and an integer, without rounding the integer.
fn order_double(a: f64, b: i128) -> Option<Ordering> {
    if a.is_nan() {
        return None;
    }
    if a.abs() >= 3e19 {
        return a.partial_cmp(&0.0);
    }
    let whole = a.trunc() as i128;
    Some(whole.cmp(&b).then(a.partial_cmp(&a.trunc())?))
}

/// Why two values have no order.
pub(crate) enum Unordered {
    /// Values of their types have none among each other.
    Types,
    /// One of them is no number.
    NotANumber,
}

impl From<Unordered> for EvalError {
    fn from(why: Unordered) -> Self {
        match why {
            Unordered::Types => Self::no_such_overload(),
            Unordered::NotANumber => Self::failed("NaN values cannot be ordered"),
        }
    }
}

/// The order of two values of one type, or of two numbers.
pub(crate) fn order(a: &Value<'_>, b: &Value<'_>) -> Result<Ordering, Unordered> {
    Ok(match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::String(a), Value::String(b)) => (**a).cmp(&**b),
        (Value::Bytes(a), Value::Bytes(b)) => a.cmp(b),
        (Value::Duration(a), Value::Duration(b)) => a.cmp(b),
        (Value::Timestamp(a), Value::Timestamp(b)) => a.cmp(b),
        (Value::Int(_) | Value::Uint(_) | Value::Double(_), Value::Int(_) | Value::Uint(_) | Value::Double(_)) => {
            order_numbers(a, b).ok_or(Unordered::NotANumber)?
        }
        _ => return Err(Unordered::Types),
    })
}

impl PartialEq for Library<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Quantity(a), Self::Quantity(b)) => a == b,
            (Self::Ip(a), Self::Ip(b)) => a == b,
            (Self::Cidr(a), Self::Cidr(b)) => a == b,
            (Self::Url(a), Self::Url(b)) => a == b,
            (Self::Semver(a), Self::Semver(b)) => a == b,
            (Self::Format(a), Self::Format(b)) => a == b,
            (Self::Authorization(a), Self::Authorization(b)) => a == b,
            _ => false,
        }
    }
}
