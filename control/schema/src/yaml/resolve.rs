//! Scalars as Go's YAML library resolves them, by the rules of YAML 1.1.

use serde_json::Number;

use crate::scalar;
use sampan_api::field::go_shortest;

/// A scalar, once it is resolved.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    Integer(Number),
    /// Also what JSON has no number for.
    Float(f64),
    Text(String),
}

impl Scalar {
    /// The tag of YAML's core that it has by itself.
    fn tag(&self) -> &'static str {
        match self {
            Scalar::Null => "null",
            Scalar::Bool(_) => "bool",
            Scalar::Integer(_) => "int",
            Scalar::Float(_) => "float",
            Scalar::Text(_) => "str",
        }
    }
}

/// A float as the key of a map, which Go shortens to 32 bits.
pub(super) fn float_key(float: f64) -> String {
    if float.is_nan() {
        return ".nan".to_string();
    }
    if float.is_infinite() {
        return if float > 0.0 { ".inf" } else { "-.inf" }.to_string();
    }
    let single = float as f32;
    go_shortest(&single.to_string(), &format!("{single:e}"))
}

/// What the tags of YAML itself begin with, written `!!`.
pub(super) const CORE_TAGS: &str = "tag:yaml.org,2002:";

/// A scalar that has a tag of YAML itself.
pub(super) fn tagged(tag: &str, text: &str) -> Result<Scalar, String> {
    let resolved = match tag {
        "binary" => {
            let bytes = scalar::from_base64(text);
            let bytes = bytes.map_err(|_| "yaml: !!binary value contains invalid base64 data".to_string())?;
            return Ok(Scalar::Text(String::from_utf8_lossy(&bytes).into_owned()));
        }
        "null" | "bool" | "int" | "float" => resolve(text),
        "timestamp" if is_timestamp(text) => return Ok(Scalar::Text(text.to_string())),
        "timestamp" => resolve(text),
        _ => return Ok(Scalar::Text(text.to_string())),
    };
    match (tag, resolved) {
        ("float", Scalar::Integer(number)) if number.is_i64() => Ok(Scalar::Float(number.as_f64().unwrap_or_default())),
        (tag, resolved) if resolved.tag() == tag => Ok(resolved),
        (tag, resolved) => Err(format!("yaml: cannot decode !!{} `{text}` as a !!{tag}", resolved.tag())),
    }
}

/// Whether a text begins as a time does that YAML knows. Such times stay texts.
fn is_timestamp(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let digits = |part: Option<&str>, len: std::ops::RangeInclusive<usize>| {
        part.is_some_and(|part| len.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    if !digits(parts.next(), 4..=4) || !digits(parts.next(), 1..=2) {
        return false;
    }
    let rest = parts.next().unwrap_or_default();
    let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    digits(Some(&rest[..end]), 1..=2) && (end == rest.len() || rest[end..].starts_with(['T', 't', ' ']))
}

/// A plain scalar, by the rules of YAML 1.1 as Go's library has them.
pub(super) fn resolve(text: &str) -> Scalar {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Scalar::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Scalar::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Scalar::Bool(false);
        }
        ".nan" | ".NaN" | ".NAN" => return Scalar::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Scalar::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Scalar::Float(f64::NEG_INFINITY),
        _ => {}
    }
    let first = text.as_bytes()[0];
    if first == b'.' {
        // Underscores count in numbers that begin with a digit or a sign alone.
        if let Some(number) = float(text) {
            return Scalar::Float(number);
        }
    } else if first.is_ascii_digit() || matches!(first, b'+' | b'-') {
        let plain = text.replace('_', "");
        if let Some(number) = integer(&plain) {
            return Scalar::Integer(number);
        }
        if let Some(number) = float(&plain) {
            return Scalar::Float(number);
        }
    }
    Scalar::Text(text.to_string())
}

/// As Go's `ParseInt(text, 0, 64)`: the prefix tells the base.
fn integer(text: &str) -> Option<Number> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (digits, base) = if let Some(hex) = lower.strip_prefix("0x") {
        (hex, 16)
    } else if let Some(binary) = lower.strip_prefix("0b") {
        (binary, 2)
    } else if let Some(octal) = lower.strip_prefix("0o") {
        (octal, 8)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (&lower[1..], 8)
    } else {
        (lower.as_str(), 10)
    };
    if digits.is_empty() || !digits.bytes().all(|b| char::from(b).is_digit(base)) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, base).ok()?;
    if negative {
        return i64::try_from(-i128::from(magnitude)).ok().map(Number::from);
    }
    Some(Number::from(magnitude))
}

/// `^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`, within the range of a double.
fn float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let sound = match mantissa.split_once('.') {
        Some((whole, fraction)) => all_digits(whole) && all_digits(fraction) && mantissa.len() > 1,
        None => !mantissa.is_empty() && all_digits(mantissa),
    };
    let exponent = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !digits.is_empty() && all_digits(digits)
    });
    let number: f64 = if sound && exponent { text.parse().ok()? } else { return None };
    number.is_finite().then_some(number)
}
