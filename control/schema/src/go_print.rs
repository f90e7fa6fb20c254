//! Values as Go's `fmt` prints them in errors, once JSON was read into `interface{}`.

use std::fmt::Write as _;

use sampan_api::field::{go_float, go_quote};
use serde_json::{Number, Value};

/// What a number became that Go has read.
#[derive(Clone, Copy, Debug)]
pub enum Numbers {
    /// Each a `float64`, as `encoding/json` reads them.
    Floats,
    /// Those without a point an `int64`, as `sigs.k8s.io/json` reads them.
    Kept,
}

/// `%v`: `map[a:1 b:[x y]]`.
pub fn plain(value: &Value, numbers: Numbers) -> String {
    let mut out = String::new();
    write_plain(value, numbers, &mut out);
    out
}

fn write_plain(value: &Value, numbers: Numbers, out: &mut String) {
    write_tree(value, &|scalar, out| write_scalar(scalar, numbers, out), out);
}

fn write_scalar(value: &Value, numbers: Numbers, out: &mut String) {
    match value {
        // What is no `int64` has become a `float64` in any case.
        Value::Number(number) if !number.is_i64() || matches!(numbers, Numbers::Floats) => out.push_str(&float(number)),
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::Bool(on) => out.push_str(if *on { "true" } else { "false" }),
        Value::String(text) => out.push_str(text),
        _ => out.push_str("<nil>"),
    }
}

/// Lists and objects as `fmt` prints them, and what stands in them as `scalar` writes it.
fn write_tree(value: &Value, scalar: &dyn Fn(&Value, &mut String), out: &mut String) {
    match value {
        Value::Array(list) => {
            out.push('[');
            for (at, inner) in list.iter().enumerate() {
                out.push_str(if at > 0 { " " } else { "" });
                write_tree(inner, scalar, out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            out.push_str("map[");
            for (at, (key, inner)) in map.iter().enumerate() {
                out.push_str(if at > 0 { " " } else { "" });
                out.push_str(key);
                out.push(':');
                write_tree(inner, scalar, out);
            }
            out.push(']');
        }
        other => scalar(other, out),
    }
}

/// `%s`, of numbers as [`Numbers::Kept`] reads them: what is no text is printed with its type, `%!s(int64=5)`.
pub(crate) fn text(value: &Value) -> String {
    if value.is_null() {
        return "%!s(<nil>)".to_owned();
    }
    let scalar = |scalar: &Value, out: &mut String| {
        let named = matches!(scalar, Value::Bool(_) | Value::Number(_));
        if named {
            out.push_str("%!s(");
            out.push_str(kept_type_name(scalar));
            out.push('=');
        }
        write_scalar(scalar, Numbers::Kept, out);
        out.push_str(if named { ")" } else { "" });
    };
    let mut out = String::new();
    write_tree(value, &scalar, &mut out);
    out
}

/// JSON as Go's encoder writes it, which escapes what means something in HTML or ends a line in JavaScript.
pub fn json(value: &Value) -> String {
    sampan_api::field::go_json(&value.to_string()).into_owned()
}

/// `%#v`: `map[string]interface {}{"a":1}`, of numbers that are all `float64`.
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
        Value::Bool(_) | Value::Number(_) => write_plain(value, Numbers::Floats, out),
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

/// As [`type_name`], of numbers as [`Numbers::Kept`] reads them.
pub(crate) fn kept_type_name(value: &Value) -> &'static str {
    match value {
        Value::Number(number) if number.is_i64() => "int64",
        other => type_name(other),
    }
}

/// A number as Go prints a `float64`.
pub(crate) fn float(number: &Number) -> String {
    go_float(number.as_f64().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_printed_as_go_prints_them() {
        let check = |value: Value, v: &str, sharp: &str| {
            assert_eq!((plain(&value, Numbers::Floats).as_str(), syntax(&value).as_str()), (v, sharp));
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

    #[test]
    fn integers_are_kept_where_go_keeps_them() {
        assert_eq!(plain(&json!([1_234_567, 1.5]), Numbers::Kept), "[1234567 1.5]");
    }

    #[test]
    fn what_is_no_text_is_printed_with_its_type() {
        let check = |value: Value, expected: &str| assert_eq!(text(&value), expected, "{value}");
        check(json!("a"), "a");
        check(json!(5), "%!s(int64=5)");
        check(json!(1.5), "%!s(float64=1.5)");
        check(json!(true), "%!s(bool=true)");
        check(json!(null), "%!s(<nil>)");
        check(json!({"a": 1, "b": ["x", null]}), "map[a:%!s(int64=1) b:[x <nil>]]");
    }

    const PRINTED: &str = r#"map[string]interface {}{"a":interface {}(nil), "b":[]interface {}{1, "x"}}"#;
}
