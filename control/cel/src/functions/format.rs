//! `format`: texts with `%s`, `%d`, `%f`, `%e`, `%b`, `%o`, `%x`, `%X`.

use super::{convert, times};
use crate::error::EvalError;
use crate::meter::Meter;
use crate::value::{List, Value};
use std::fmt::Write as _;

/// Digits after the point that may be asked for.
const PRECISION_MAX: usize = 1_000;

fn wrong(text: String) -> EvalError {
    EvalError::Failed(text)
}

/// The text with its arguments put in.
pub(super) fn format(pattern: &str, args: &List<'_>, meter: &mut Meter) -> Result<String, EvalError> {
    let mut out = String::with_capacity(pattern.len());
    let (mut rest, mut next) = (pattern, 0);
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        let mut precision = None;
        if let Some(after) = rest.strip_prefix('.') {
            let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
            let wanted = after[..digits].parse().ok().filter(|wanted| *wanted <= PRECISION_MAX);
            precision = Some(wanted.ok_or_else(|| wrong("error while parsing precision".into()))?);
            rest = &after[digits..];
        }
        let Some(verb) = rest.chars().next() else { return Err(wrong("unexpected end of string".into())) };
        rest = &rest[verb.len_utf8()..];
        let arg = args.get(next).unwrap_or_else(|| Err(wrong(format!("index {next} out of range"))))?;
        next += 1;
        let before = out.len();
        put(verb, precision, &arg, &mut out, meter)?;
        meter.work(out.len() - before)?;
    }
    out.push_str(rest);
    Ok(out)
}

fn put(
    verb: char,
    precision: Option<usize>,
    arg: &Value<'_>,
    out: &mut String,
    meter: &mut Meter,
) -> Result<(), EvalError> {
    let type_name = arg.type_name();
    let text = match (verb, arg) {
        ('s', arg) => return shown(arg, out, meter),
        ('d', Value::Int(value)) => value.to_string(),
        ('d', Value::Uint(value)) => value.to_string(),
        ('d', Value::Double(value)) if !value.is_finite() => convert::double(*value),
        ('f', arg) => grouped(&format!("{:.*}", precision.unwrap_or(6), float(arg, "fixed-point")?)),
        ('e', Value::Double(value)) if !value.is_finite() => convert::double(*value),
        ('e', arg) => scientific(float(arg, "scientific")?),
        ('b', Value::Int(value)) => signed(*value, |value| format!("{value:b}")),
        ('b', Value::Uint(value)) => format!("{value:b}"),
        ('b', Value::Bool(value)) => u8::from(*value).to_string(),
        ('o', Value::Int(value)) => signed(*value, |value| format!("{value:o}")),
        ('o', Value::Uint(value)) => format!("{value:o}"),
        ('x' | 'X', arg) => {
            let text = hex(arg)?;
            if verb == 'X' { text.to_uppercase() } else { text }
        }
        ('d', _) => {
            return Err(wrong(format!(
                "error during formatting: decimal clause can only be used on integers, was given {type_name}"
            )));
        }
        ('b', _) => {
            return Err(wrong(format!(
                "error during formatting: only integers and bools can be formatted as binary, was given {type_name}"
            )));
        }
        ('o', _) => {
            return Err(wrong(format!(
                "error during formatting: octal clause can only be used on integers, was given {type_name}"
            )));
        }
        (other, _) => {
            return Err(wrong(format!(
                "could not parse formatting clause: unrecognized formatting clause \"{other}\""
            )));
        }
    };
    out.push_str(&text);
    Ok(())
}

fn signed(value: i64, digits: impl Fn(u64) -> String) -> String {
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{}", digits(value.unsigned_abs()))
}

fn hex(arg: &Value<'_>) -> Result<String, EvalError> {
    let bytes = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Ok(match arg {
        Value::Int(value) => signed(*value, |value| format!("{value:x}")),
        Value::Uint(value) => format!("{value:x}"),
        Value::String(text) => bytes(text.as_bytes()),
        Value::Bytes(all) => bytes(all),
        other => {
            return Err(wrong(format!(
                "error during formatting: only integers, byte buffers, and strings can be formatted as hex, was given {}",
                other.type_name()
            )));
        }
    })
}

fn float(arg: &Value<'_>, clause: &str) -> Result<f64, EvalError> {
    match arg {
        Value::Double(value) => Ok(*value),
        other => Err(wrong(format!(
            "error during formatting: {clause} clause can only be used on doubles, was given {}",
            other.type_name()
        ))),
    }
}

/// With six digits, whatever precision was asked for: the reference does not look at it.
fn scientific(value: f64) -> String {
    let text = format!("{value:.6e}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    // The reference prints it for people: a power with raised digits, at least two.
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if exponent < 0 { "\u{207b}" } else { "" };
    let raised = format!("{:02}", exponent.abs()).chars().map(raised).collect::<String>();
    format!("{digits}\u{00d7}10{sign}{raised}")
}

/// A digit above the line.
fn raised(digit: char) -> char {
    match digit {
        '1' => '\u{b9}',
        '2' => '\u{b2}',
        '3' => '\u{b3}',
        other => char::from_u32(0x2070 + other.to_digit(10).unwrap_or(0)).unwrap_or(other),
    }
}

/// A number with commas between groups of three digits before the point.
fn grouped(text: &str) -> String {
    let (sign, rest) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (whole, fraction) = rest.split_at(rest.find('.').unwrap_or(rest.len()));
    let mut out = String::from(sign);
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out + fraction
}

/// A value inside a list or a map, as it could stand in an expression.
fn quoted(arg: &Value<'_>, out: &mut String, meter: &mut Meter) -> Result<(), EvalError> {
    match arg {
        Value::String(text) => {
            meter.work(text.len())?;
            out.push_str(&sampan_api::field::go_quote(text));
            Ok(())
        }
        Value::Double(value) if value.is_finite() => {
            out.push_str(&format!("{value:.6}"));
            Ok(())
        }
        other => shown(other, out, meter),
    }
}

/// A value as `%s` shows it.
fn shown(arg: &Value<'_>, out: &mut String, meter: &mut Meter) -> Result<(), EvalError> {
    meter.work(arg.weight())?;
    let text = match arg {
        Value::Null => "null".into(),
        Value::String(text) => text.to_string(),
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Type(name) => name.to_string(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => value.to_string(),
        Value::Double(value) => convert::double(*value),
        Value::Duration(nanos) => times::shown_duration(*nanos),
        Value::Timestamp(at) => times::shown(*at),
        Value::List(list) => {
            out.push('[');
            for (at, one) in list.iter().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                quoted(&one?, out, meter)?;
            }
            "]".into()
        }
        Value::Map(map) => {
            out.push('{');
            for (at, key) in map.keys().iter().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                quoted(key, out, meter)?;
                out.push(':');
                let value = map.get(key).unwrap_or_else(|| Err(EvalError::no_such_overload()))?;
                quoted(&value, out, meter)?;
            }
            "}".into()
        }
        other => {
            return Err(wrong(format!(
                "error during formatting: string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps, was given {}",
                other.type_name()
            )));
        }
    };
    write!(out, "{text}").map_err(|_| EvalError::no_such_overload())
}
