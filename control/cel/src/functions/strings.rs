//! The functions of texts.

use super::{Eval, format};
use crate::error::EvalError;
use crate::meter::Meter;
use crate::value::Value;

/// Whether a function may be one of texts.
pub(super) fn knows(name: &str) -> bool {
    matches!(
        name,
        "charAt"
            | "contains"
            | "endsWith"
            | "find"
            | "findAll"
            | "format"
            | "indexOf"
            | "jsonpatch.escapeKey"
            | "lastIndexOf"
            | "lowerAscii"
            | "matches"
            | "replace"
            | "split"
            | "startsWith"
            | "strings.quote"
            | "substring"
            | "trim"
            | "upperAscii"
    )
}

fn out_of_range(at: i64) -> EvalError {
    EvalError::failed(format!("index out of range: {at}"))
}

/// Calls one on a text.
pub(super) fn call<'a>(name: &str, args: &[Value<'a>], meter: &mut Meter) -> Eval<'a> {
    let Some(Value::String(text)) = args.first() else { return Err(EvalError::no_such_overload()) };
    Ok(match (name, &args[1..]) {
        ("contains", [Value::String(part)]) => Value::Bool(text.contains(&**part)),
        ("startsWith", [Value::String(part)]) => Value::Bool(text.starts_with(&**part)),
        ("endsWith", [Value::String(part)]) => Value::Bool(text.ends_with(&**part)),
        ("matches", [Value::String(pattern)]) => Value::Bool(meter.regex(pattern)?.is_match(text)),
        ("find", [Value::String(pattern)]) => {
            let regex = regex(pattern, meter)?;
            Value::made(regex.find(text).map_or("", |found| found.as_str()))
        }
        ("findAll", [Value::String(pattern), rest @ ..]) => find_all(text, pattern, rest, meter)?,
        ("charAt", [Value::Int(at)]) => {
            let count = text.chars().count() as i64;
            match *at {
                at if at == count => Value::made(""),
                at if at < 0 || at > count => return Err(out_of_range(at)),
                at => Value::made(text.chars().nth(at as usize).unwrap_or_default().to_string()),
            }
        }
        ("indexOf" | "lastIndexOf", [Value::String(part), rest @ ..]) => index(name, text, part, rest)?,
        ("lowerAscii", []) => Value::made(text.to_ascii_lowercase()),
        ("upperAscii", []) => Value::made(text.to_ascii_uppercase()),
        ("trim", []) => Value::made(text.trim_matches(is_space)),
        ("jsonpatch.escapeKey", []) => Value::made(crate::patch::escaped_key(text)),
        ("strings.quote", []) => Value::made(quote(text)),
        ("replace", [Value::String(old), Value::String(new), rest @ ..]) => {
            let count = limit(rest)?;
            let times = if old.is_empty() { text.len() + 1 } else { text.len() / old.len() };
            meter.work(text.len() + times.min(count).saturating_mul(new.len()))?;
            Value::made(text.replacen(&**old, new, count))
        }
        ("split", [Value::String(separator), rest @ ..]) => split(text, separator, limit(rest)?, meter)?,
        ("substring", [Value::Int(start)]) => substring(text, *start, None)?,
        ("substring", [Value::Int(start), Value::Int(end)]) => substring(text, *start, Some(*end))?,
        ("format", [Value::List(list)]) => Value::made(format::format(text, list, meter)?),
        _ => return Err(EvalError::no_such_overload()),
    })
}

/// What Go takes for white space.
fn is_space(char: char) -> bool {
    char.is_whitespace()
}

fn regex(pattern: &str, meter: &mut Meter) -> Result<regex::Regex, EvalError> {
    meter.regex(pattern).map_err(|error| match error {
        EvalError::Failed(text) => EvalError::failed(format!("Illegal regex: {text}")),
        other => other,
    })
}

/// How many of something are wanted; all where it is negative or not said.
fn limit(rest: &[Value<'_>]) -> Result<usize, EvalError> {
    match rest {
        [] => Ok(usize::MAX),
        [Value::Int(count)] => Ok(usize::try_from(*count).unwrap_or(usize::MAX)),
        _ => Err(EvalError::no_such_overload()),
    }
}

fn find_all<'a>(text: &str, pattern: &str, rest: &[Value<'a>], meter: &mut Meter) -> Eval<'a> {
    let regex = regex(pattern, meter)?;
    let mut all = Vec::new();
    for found in regex.find_iter(text).take(limit(rest)?) {
        meter.elements(1)?;
        all.push(Value::made(found.as_str()));
    }
    Ok(Value::list(all))
}

fn split<'a>(text: &str, separator: &str, count: usize, meter: &mut Meter) -> Eval<'a> {
    meter.elements(if separator.is_empty() { text.len() } else { text.len() / separator.len() }.min(count))?;
    let mut all: Vec<Value<'a>> = Vec::new();
    if count == 0 {
        return Ok(Value::list(all));
    }
    if separator.is_empty() {
        let mut rest = text;
        while let Some(char) = rest.chars().next() {
            if all.len() + 1 == count {
                break;
            }
            let (one, after) = rest.split_at(char.len_utf8());
            all.push(Value::made(one));
            rest = after;
        }
        if !rest.is_empty() {
            all.push(Value::made(rest));
        }
    } else {
        all.extend(text.splitn(count, separator).map(Value::made));
    }
    Ok(Value::list(all))
}

fn substring<'a>(text: &str, start: i64, end: Option<i64>) -> Eval<'a> {
    let count = text.chars().count() as i64;
    if let Some(end) = end.filter(|end| start > *end) {
        return Err(EvalError::failed(format!("invalid substring range. start: {start}, end: {end}")));
    }
    if start < 0 || start > count {
        return Err(out_of_range(start));
    }
    let end = end.unwrap_or(count);
    if end < 0 || end > count {
        return Err(out_of_range(end));
    }
    Ok(Value::made(text.chars().skip(start as usize).take((end - start) as usize).collect::<String>()))
}

/// The place of a part in characters, from a place on or backwards from it.
fn index<'a>(name: &str, text: &str, part: &str, rest: &[Value<'a>]) -> Eval<'a> {
    let count = text.chars().count() as i64;
    let offset = match rest {
        [] => None,
        [Value::Int(offset)] => Some(*offset),
        _ => return Err(EvalError::no_such_overload()),
    };
    if let Some(offset) = offset.filter(|offset| *offset < 0 && !part.is_empty()) {
        return Err(out_of_range(offset));
    }
    let last = name == "lastIndexOf";
    if part.is_empty() {
        return Ok(Value::Int(offset.unwrap_or(if last { count } else { 0 })));
    }
    if offset.is_some_and(|offset| offset >= count) {
        return Ok(Value::Int(-1));
    }
    let bytes = |chars: i64| text.char_indices().nth(chars as usize).map_or(text.len(), |(at, _)| at);
    let found = match (last, offset) {
        (false, offset) => {
            let from = bytes(offset.unwrap_or(0));
            text[from..].find(part).map(|at| from + at)
        }
        (true, None) => text.rfind(part),
        (true, Some(offset)) => {
            let end = bytes((offset + part.chars().count() as i64).min(count));
            text[..end].rfind(part)
        }
    };
    Ok(Value::Int(found.map_or(-1, |at| text[..at].chars().count() as i64)))
}

fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for char in text.chars() {
        match char {
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}
