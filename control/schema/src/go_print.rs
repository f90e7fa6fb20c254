//! Values as Go's `fmt` prints them in errors, once JSON was read into `interface{}`: all numbers are `float64`.

use std::fmt::Write as _;

use sampan_api::field::go_quote;
use serde_json::{Number, Value};

/// `%v`: `map[a:1 b:[x y]]`.
pub(crate) fn plain(value: &Value) -> String {
    let mut out = String::new();
    write_plain(value, &mut out);
    out
}

fn write_plain(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("<nil>"),
        Value::Bool(on) => out.push_str(if *on { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&float(number)),
        Value::String(text) => out.push_str(text),
        Value::Array(list) => {
            out.push('[');
            for (at, inner) in list.iter().enumerate() {
                out.push_str(if at > 0 { " " } else { "" });
                write_plain(inner, out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            out.push_str("map[");
            for (at, (key, inner)) in map.iter().enumerate() {
                out.push_str(if at > 0 { " " } else { "" });
                out.push_str(key);
                out.push(':');
                write_plain(inner, out);
            }
            out.push(']');
        }
    }
}

/// `%#v`: `map[string]interface {}{"a":1}`.
pub(crate) fn syntax(value: &Value) -> String {
    let mut out = String::new();
    write_syntax(value, &mut out);
    out
}

fn write_syntax(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("interface {}(nil)"),
        Value::String(text) => out.push_str(&go_quote(text)),
        Value::Array(list) => {
            out.push_str("[]interface {}{");
            for (at, inner) in list.iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                write_syntax(inner, out);
            }
            out.push('}');
        }
        Value::Object(map) => {
            out.push_str("map[string]interface {}{");
            for (at, (key, inner)) in map.iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                // Writing to a String cannot fail.
                write!(out, "{}:", go_quote(key)).expect("a String takes all writes");
                write_syntax(inner, out);
            }
            out.push('}');
        }
        Value::Bool(_) | Value::Number(_) => write_plain(value, out),
    }
}

/// The name of a value's Go type, `%T`.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// A number as Go prints a `float64`: the shortest digits, with an exponent from 1e+06 and below 1e-04.
pub(crate) fn float(number: &Number) -> String {
    let value = number.as_f64().unwrap_or_default();
    if value == 0.0 {
        return if value.is_sign_negative() { "-0".to_owned() } else { "0".to_owned() };
    }
    // Rust's `{:e}` has the shortest digits too: `1.5e-7`.
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..6).contains(&exponent) {
        return value.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_printed_as_go_prints_them() {
        let check = |value: Value, v: &str, sharp: &str| {
            assert_eq!((plain(&value).as_str(), syntax(&value).as_str()), (v, sharp));
        };
        check(json!({"b": [1, "x"], "a": null}), "map[a:<nil> b:[1 x]]", PRINTED);
        check(json!("a\"b"), "a\"b", "\"a\\\"b\"");
        check(json!(true), "true", "true");
        for (number, text) in [
            (json!(1.5), "1.5"),
            (json!(100_000), "100000"),
            (json!(1_234_567), "1.234567e+06"),
            (json!(1e21), "1e+21"),
            (json!(0.0001), "0.0001"),
            (json!(0.00001), "1e-05"),
            (json!(-7), "-7"),
        ] {
            check(number, text, text);
        }
    }

    const PRINTED: &str = r#"map[string]interface {}{"a":interface {}(nil), "b":[]interface {}{1, "x"}}"#;
}
