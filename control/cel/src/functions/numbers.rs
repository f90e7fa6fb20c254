//! Arithmetic, with overflow as an error; sums of texts, lists and times.

use super::{Eval, times};
use crate::compare::list_key;
use crate::decl::ListKind;
use crate::error::EvalError;
use crate::meter::Meter;
use crate::value::{List, Text, Value};
use std::collections::HashMap;
use std::sync::Arc;

fn overflow(kind: &str) -> EvalError {
    EvalError::failed(format!("{kind} overflow"))
}

/// `+`.
pub(super) fn add<'a>(a: &Value<'a>, b: &Value<'a>, meter: &mut Meter) -> Eval<'a> {
    Ok(match (a, b) {
        (Value::Int(a), Value::Int(b)) => Value::Int(a.checked_add(*b).ok_or_else(|| overflow("integer"))?),
        (Value::Uint(a), Value::Uint(b)) => Value::Uint(a.checked_add(*b).ok_or_else(|| overflow("unsigned integer"))?),
        (Value::Double(a), Value::Double(b)) => Value::Double(a + b),
        (Value::String(a), Value::String(b)) => {
            meter.work(a.len() + b.len())?;
            Value::String(Text::from([&**a, &**b].concat()))
        }
        (Value::Bytes(a), Value::Bytes(b)) => Value::Bytes([&**a, &**b].concat().into()),
        (Value::List(a), Value::List(b)) => join(a, b, meter)?,
        (Value::Duration(a), Value::Duration(b)) => {
            Value::Duration(a.checked_add(*b).ok_or_else(|| overflow("integer"))?)
        }
        (Value::Duration(by), Value::Timestamp(at)) | (Value::Timestamp(at), Value::Duration(by)) => {
            Value::Timestamp(times::moved(*at, *by)?)
        }
        _ => return Err(unfit("_+_", a)),
    })
}

/// Why an operator takes no such operands. As in cel-go (interpreter/interpretable.go, `evalBinary.Eval`) it is named where
/// no value of the first operand's type takes it; a type that answers calls itself, or takes other operands, names none.
pub(super) fn unfit(name: &str, first: &Value<'_>) -> EvalError {
    let takes = match first {
        Value::Duration(_) | Value::Timestamp(_) | Value::Int(_) | Value::Uint(_) => true,
        Value::Double(_) => name != "_%_",
        Value::String(_) | Value::Bytes(_) => matches!(name, "_+_" | "_<_" | "_<=_" | "_>_" | "_>=_"),
        Value::List(_) => name == "_+_",
        Value::Bool(_) => matches!(name, "_<_" | "_<=_" | "_>_" | "_>=_"),
        _ => false,
    };
    match takes {
        true => EvalError::no_such_overload(),
        false => EvalError::failed(format!("no such overload: {name}")),
    }
}

/// Lists one after the other; those that are sets or maps by their schema take each member once.
fn join<'a>(a: &List<'a>, b: &List<'a>, meter: &mut Meter) -> Eval<'a> {
    meter.elements(a.len() + b.len())?;
    let mut all = a.iter().collect::<Result<Vec<_>, _>>()?;
    match (a, b) {
        (List::Data(items, _, ListKind::Set), _) => {
            for one in b.iter() {
                let one = one?;
                let known = match &one {
                    Value::String(text) => items.iter().any(|item| item.as_str() == Some(text)),
                    Value::Int(value) => items.iter().any(|item| item.as_i64() == Some(*value)),
                    _ => false,
                };
                meter.work(items.len())?;
                if !known {
                    all.push(one);
                }
            }
        }
        (List::Data(items, _, ListKind::Map(keys)), List::Data(more, _, _)) => {
            let mut places: HashMap<String, usize> =
                items.iter().enumerate().map(|(at, item)| (list_key(item, keys), at)).collect();
            for (item, value) in more.iter().zip(b.iter()) {
                let next = all.len();
                match *places.entry(list_key(item, keys)).or_insert(next) {
                    at if at < next => all[at] = value?,
                    _ => all.push(value?),
                }
            }
        }
        _ => {
            for one in b.iter() {
                all.push(one?);
            }
        }
    }
    Ok(Value::List(List::Made(Arc::new(all))))
}

/// An operation of two integers of one type, checked.
macro_rules! integers {
    ($name:expr, $a:expr, $b:expr, $what:expr) => {
        match $name {
            "_-_" => $a.checked_sub(*$b),
            "_*_" => $a.checked_mul(*$b),
            "_/_" if *$b == 0 => return Err(EvalError::failed("division by zero")),
            "_/_" => $a.checked_div(*$b),
            _ if *$b == 0 => return Err(EvalError::failed("modulus by zero")),
            _ => $a.checked_rem(*$b),
        }
        .ok_or_else(|| overflow($what))?
    };
}

/// `-`, `*`, `/`, `%`.
pub(super) fn binary<'a>(name: &str, a: &Value<'a>, b: &Value<'a>) -> Eval<'a> {
    Ok(match (a, b) {
        (Value::Int(a), Value::Int(b)) => Value::Int(integers!(name, a, b, "integer")),
        (Value::Uint(a), Value::Uint(b)) => Value::Uint(integers!(name, a, b, "unsigned integer")),
        (Value::Double(a), Value::Double(b)) => Value::Double(match name {
            "_-_" => a - b,
            "_*_" => a * b,
            "_/_" => a / b,
            _ => return Err(EvalError::failed(format!("no such overload: {name}"))),
        }),
        (Value::Duration(a), Value::Duration(b)) if name == "_-_" => {
            Value::Duration(a.checked_sub(*b).ok_or_else(|| overflow("integer"))?)
        }
        (Value::Timestamp(at), Value::Duration(by)) if name == "_-_" => {
            Value::Timestamp(times::moved(*at, by.checked_neg().ok_or_else(|| overflow("integer"))?)?)
        }
        (Value::Timestamp(a), Value::Timestamp(b)) if name == "_-_" => {
            let nanos = a.as_nanosecond() - b.as_nanosecond();
            Value::Duration(i64::try_from(nanos).map_err(|_| overflow("integer"))?)
        }
        _ => return Err(unfit(name, a)),
    })
}

/// `-x`.
pub(super) fn negate<'a>(value: &Value<'a>) -> Eval<'a> {
    Ok(match value {
        Value::Int(value) => Value::Int(value.checked_neg().ok_or_else(|| overflow("integer"))?),
        Value::Double(value) => Value::Double(-value),
        Value::Duration(nanos) => Value::Duration(nanos.checked_neg().ok_or_else(|| overflow("integer"))?),
        _ => return Err(EvalError::no_such_overload()),
    })
}

/// `size`.
pub(super) fn size<'a>(value: &Value<'a>) -> Eval<'a> {
    match value {
        Value::String(_) | Value::Bytes(_) | Value::List(_) | Value::Map(_) => Ok(Value::Int(value.size() as i64)),
        Value::Object(data, _) => Ok(Value::Int(data.len() as i64)),
        _ => Err(EvalError::no_such_overload()),
    }
}
