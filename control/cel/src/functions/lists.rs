//! The functions of lists and sets.

use super::Eval;
use crate::compare::{equal, order};
use crate::error::EvalError;
use crate::meter::Meter;
use crate::value::{List, Value};
use std::cmp::Ordering;
use std::sync::Arc;

/// Whether a function may be one of lists.
pub(super) fn knows(name: &str) -> bool {
    matches!(
        name,
        "isSorted"
            | "sum"
            | "min"
            | "max"
            | "indexOf"
            | "lastIndexOf"
            | "join"
            | "slice"
            | "flatten"
            | "sort"
            | "reverse"
            | "distinct"
            | "@sortByAssociatedKeys"
            | "first"
            | "last"
            | "optional.unwrap"
            | "unwrapOpt"
            | "sets.contains"
            | "sets.equivalent"
            | "sets.intersects"
    )
}

/// Calls one on a list.
pub(super) fn call<'a>(name: &str, args: &[Value<'a>], meter: &mut Meter) -> Eval<'a> {
    let Some(Value::List(list)) = args.first() else { return Err(EvalError::no_such_overload()) };
    let all = || -> Result<Vec<Value<'a>>, EvalError> { list.iter().collect() };
    meter.elements(list.len())?;
    Ok(match (name, &args[1..]) {
        ("isSorted", []) => Value::Bool(is_sorted(&all()?)?),
        ("sum", []) => sum(&all()?, meter)?,
        ("min" | "max", []) => extreme(name, &all()?)?,
        ("indexOf" | "lastIndexOf", [wanted]) => {
            let all = all()?;
            let mut found = -1;
            for (at, one) in all.iter().enumerate() {
                if equal(one, wanted)? {
                    found = at as i64;
                    if name == "indexOf" {
                        break;
                    }
                }
            }
            Value::Int(found)
        }
        ("join", []) => join(list, "", meter)?,
        ("join", [Value::String(separator)]) => join(list, separator, meter)?,
        ("slice", [Value::Int(start), Value::Int(end)]) => slice(list, *start, *end)?,
        ("flatten", []) => flatten(list, 1, meter)?,
        ("flatten", [Value::Int(depth)]) => match usize::try_from(*depth) {
            Ok(depth) => flatten(list, depth, meter)?,
            Err(_) => return Err(EvalError::failed("level must be non-negative")),
        },
        ("sort", []) => sort(all()?, all()?)?,
        ("@sortByAssociatedKeys", [Value::List(keys)]) => sort(all()?, keys.iter().collect::<Result<_, _>>()?)?,
        ("reverse", []) => Value::list(all()?.into_iter().rev().collect()),
        ("distinct", []) => distinct(all()?, meter)?,
        ("first", []) => Value::Optional(list.get(0).transpose()?.map(Arc::new)),
        ("last", []) => {
            Value::Optional(list.len().checked_sub(1).and_then(|at| list.get(at)).transpose()?.map(Arc::new))
        }
        ("optional.unwrap" | "unwrapOpt", []) => Value::list(
            all()?
                .into_iter()
                .filter_map(|one| match one {
                    Value::Optional(inner) => inner.map(|inner| (*inner).clone()),
                    other => Some(other),
                })
                .collect(),
        ),
        (_, [Value::List(other)]) => sets(name, list, other, meter)?,
        _ => return Err(EvalError::no_such_overload()),
    })
}

/// `lists.range`.
pub(super) fn range<'a>(args: &[Value<'a>], meter: &mut Meter) -> Eval<'a> {
    let [Value::Int(count)] = args else { return Err(EvalError::no_such_overload()) };
    let count = (*count).max(0);
    meter.elements(usize::try_from(count).unwrap_or(usize::MAX))?;
    Ok(Value::list((0..count).map(Value::Int).collect()))
}

fn is_sorted(all: &[Value<'_>]) -> Result<bool, EvalError> {
    for pair in all.windows(2) {
        if order(&pair[0], &pair[1])? == Ordering::Greater {
            return Ok(false);
        }
    }
    Ok(true)
}

fn sum<'a>(all: &[Value<'a>], meter: &mut Meter) -> Eval<'a> {
    let mut total = match all.first() {
        Some(Value::Uint(_)) => Value::Uint(0),
        Some(Value::Double(_)) => Value::Double(0.0),
        Some(Value::Duration(_)) => Value::Duration(0),
        _ => Value::Int(0),
    };
    for one in all {
        total = super::numbers::add(&total, one, meter)?;
    }
    Ok(total)
}

fn extreme<'a>(name: &str, all: &[Value<'a>]) -> Eval<'a> {
    let wanted = if name == "min" { Ordering::Less } else { Ordering::Greater };
    let Some(mut best) = all.first() else {
        return Err(EvalError::failed(format!("{name} called on empty list")));
    };
    for one in &all[1..] {
        if order(one, best)? == wanted {
            best = one;
        }
    }
    Ok(best.clone())
}

fn join<'a>(list: &List<'a>, separator: &str, meter: &mut Meter) -> Eval<'a> {
    let mut out = String::new();
    for (at, one) in list.iter().enumerate() {
        let Value::String(text) = one? else { return Err(EvalError::failed("join: invalid input")) };
        meter.work(text.len() + separator.len())?;
        if at > 0 {
            out.push_str(separator);
        }
        out.push_str(&text);
    }
    Ok(Value::made(out))
}

fn slice<'a>(list: &List<'a>, start: i64, end: i64) -> Eval<'a> {
    let wrong = |why: String| Err(EvalError::failed(format!("cannot slice({start}, {end}), {why}")));
    let (Ok(first), Ok(last)) = (usize::try_from(start), usize::try_from(end)) else {
        return wrong("negative indexes not supported".into());
    };
    if first > last {
        return wrong("start index must be less than or equal to end index".into());
    }
    if last > list.len() {
        return wrong(format!("list is length {}", list.len()));
    }
    let all: Result<Vec<_>, _> = (first..last).filter_map(|at| list.get(at)).collect();
    Ok(Value::list(all?))
}

fn flatten<'a>(list: &List<'a>, depth: usize, meter: &mut Meter) -> Eval<'a> {
    let mut out = Vec::new();
    let mut pending: Vec<(List<'a>, usize, usize)> = vec![(list.clone(), 0, depth)];
    while let Some((list, at, depth)) = pending.pop() {
        let Some(one) = list.get(at) else { continue };
        meter.elements(1)?;
        pending.push((list, at + 1, depth));
        match one? {
            Value::List(inner) if depth > 0 => pending.push((inner, 0, depth - 1)),
            other => out.push(other),
        }
    }
    Ok(Value::list(out))
}

/// The elements in the order of their keys.
fn sort<'a>(all: Vec<Value<'a>>, keys: Vec<Value<'a>>) -> Eval<'a> {
    if all.len() != keys.len() {
        return Err(EvalError::failed(format!(
            "@sortByAssociatedKeys() expected a list of the same size as the associated keys list, but got {} and {} elements respectively",
            all.len(),
            keys.len()
        )));
    }
    if let Some(first) = keys.first() {
        if keys.iter().any(|key| std::mem::discriminant(key) != std::mem::discriminant(first)) {
            return Err(EvalError::failed("list elements must have the same type"));
        }
        if order(first, first).is_err() {
            return Err(EvalError::failed("list elements must be comparable"));
        }
    }
    let mut pairs: Vec<(Value<'a>, Value<'a>)> = keys.into_iter().zip(all).collect();
    pairs.sort_by(|(a, _), (b, _)| order(a, b).unwrap_or(Ordering::Equal));
    Ok(Value::list(pairs.into_iter().map(|(_, value)| value).collect()))
}

fn distinct<'a>(all: Vec<Value<'a>>, meter: &mut Meter) -> Eval<'a> {
    let mut kept: Vec<Value<'a>> = Vec::new();
    'next: for one in all {
        meter.elements(kept.len())?;
        for known in &kept {
            if equal(known, &one)? {
                continue 'next;
            }
        }
        kept.push(one);
    }
    Ok(Value::list(kept))
}

fn sets<'a>(name: &str, a: &List<'a>, b: &List<'a>, meter: &mut Meter) -> Eval<'a> {
    let (a, b): (Vec<_>, Vec<_>) = (a.iter().collect::<Result<_, _>>()?, b.iter().collect::<Result<_, _>>()?);
    meter.work(a.len().saturating_mul(b.len()))?;
    let has = |all: &[Value<'a>], wanted: &Value<'a>| -> Result<bool, EvalError> {
        for one in all {
            if equal(one, wanted)? {
                return Ok(true);
            }
        }
        Ok(false)
    };
    let covers = |all: &[Value<'a>], part: &[Value<'a>]| -> Result<bool, EvalError> {
        for one in part {
            if !has(all, one)? {
                return Ok(false);
            }
        }
        Ok(true)
    };
    Ok(Value::Bool(match name {
        "sets.contains" => covers(&a, &b)?,
        "sets.equivalent" => covers(&a, &b)? && covers(&b, &a)?,
        "sets.intersects" => {
            let mut found = false;
            for one in &a {
                found = found || has(&b, one)?;
            }
            found
        }
        _ => return Err(EvalError::no_such_overload()),
    }))
}
