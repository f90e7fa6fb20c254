//! Numbers as Go holds them, an int64 or a float64, and their checks.

use serde_json::Value;

use crate::table::Checks;

/// Whether Go's decoder makes an int64 of it.
pub(super) fn is_integer(value: &Value) -> bool {
    value.is_i64()
}

/// Whether a number has no fraction and is one that JSON takes for an integer.
pub(super) fn is_whole(value: &Value) -> bool {
    value.as_f64().is_some_and(is_whole_float)
}

fn is_whole_float(number: f64) -> bool {
    // Beyond it not every integer is one of these numbers.
    const MAX_SAFE: f64 = 9_007_199_254_740_991.0;
    if number.is_nan() || number.abs() > MAX_SAFE {
        return false;
    }
    // As go-openapi/swag has it: what differs from an integer by rounding is one.
    const EPSILON: f64 = 1e-9;
    let whole = number.trunc();
    let difference = (number - whole).abs();
    number == whole || (number != 0.0 && difference / (number.abs() + whole.abs()) < EPSILON)
}

/// Whether a value is one of an enumeration: numbers as Go converts one kind of them into the other.
pub(super) fn equal(value: &Value, listed: &Value) -> bool {
    match (value, listed) {
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => a == b,
            // Converted to the listed one's kind.
            (None, Some(b)) => a.as_f64().is_some_and(|a| a.trunc() == b as f64),
            (_, None) => a.as_f64() == b.as_f64(),
        },
        (a, b) => a == b,
    }
}

/// What is wrong with a number.
pub(super) enum Fault {
    /// What it should be.
    Detail(String),
    /// The factor that it should be a multiple of is none.
    Factor(Value),
}

/// Everything that is wrong with a number, in kube-openapi's order.
pub(super) fn faults(checks: &Checks, value: &Value) -> Vec<Fault> {
    let mut faults = Vec::new();
    let integer = value.as_i64();
    let float = value.as_f64().unwrap_or_default();
    if let Some(factor) = checks.multiple_of {
        let fault = match integer {
            Some(_) if factor as i64 <= 0 => Some(Fault::Factor((factor as i64).into())),
            Some(number) if number % factor as i64 != 0 => Some(detail("a multiple of", (factor as i64).to_string())),
            None if factor <= 0.0 => Some(Fault::Factor(factor.into())),
            None if !is_whole_float(if factor < 1.0 { 1.0 / factor * float } else { float / factor }) => {
                Some(detail("a multiple of", go_float(factor)))
            }
            _ => None,
        };
        faults.extend(fault);
    }
    // Errors of the bounds are told from below: the minimum's come first.
    let bound = |limit: f64| if integer.is_some() { (limit as i64).to_string() } else { go_float(limit) };
    let order = |limit: f64| match integer {
        Some(number) => Some(number.cmp(&(limit as i64))),
        None => float.partial_cmp(&limit),
    };
    if let Some(limit) = checks.minimum {
        let order = order(limit);
        if order == Some(std::cmp::Ordering::Less)
            || (checks.exclusive_minimum && order == Some(std::cmp::Ordering::Equal))
        {
            let words = if checks.exclusive_minimum { "greater than" } else { "greater than or equal to" };
            faults.push(detail(words, bound(limit)));
        }
    }
    if let Some(limit) = checks.maximum {
        let order = order(limit);
        if order == Some(std::cmp::Ordering::Greater)
            || (checks.exclusive_maximum && order == Some(std::cmp::Ordering::Equal))
        {
            let words = if checks.exclusive_maximum { "less than" } else { "less than or equal to" };
            faults.push(detail(words, bound(limit)));
        }
    }
    faults
}

fn detail(words: &str, bound: String) -> Fault {
    Fault::Detail(format!("should be {words} {bound}"))
}

/// A number as Go's `%v` prints a float64.
pub(super) fn go_float(number: f64) -> String {
    if number == 0.0 || (1e-4..1e21).contains(&number.abs()) {
        return format!("{number}");
    }
    let text = format!("{number:e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            let (sign, digits) = match exponent.strip_prefix('-') {
                Some(digits) => ('-', digits),
                None => ('+', exponent),
            };
            format!("{mantissa}e{sign}{digits:0>2}")
        }
        None => text,
    }
}
