//! JSON of the reference, and how two values differ.

use sampan_testing::reference;
use serde_json::Value;

/// A JSON file of the reference; `None` only if comparisons are skipped.
pub fn json(file: &str) -> Option<Value> {
    Some(serde_json::from_str(&reference::text(file)?).expect("JSON"))
}

/// What differs, one line a leaf: `path: left | right`.
pub fn differences(path: &str, left: &Value, right: &Value, out: &mut Vec<String>) {
    match (left, right) {
        (Value::Object(a), Value::Object(b)) => {
            for (key, value) in a {
                differences(&format!("{path}.{key}"), value, b.get(key).unwrap_or(&Value::Null), out);
                if !b.contains_key(key) && value.is_null() {
                    out.push(format!("{path}.{key}: null | absent"));
                }
            }
            for (key, value) in b {
                if !a.contains_key(key) {
                    out.push(format!("{path}.{key}: absent | {value}"));
                }
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (at, (a, b)) in a.iter().zip(b).enumerate() {
                differences(&format!("{path}[{at}]"), a, b, out);
            }
        }
        (a, b) if a != b => out.push(format!("{path}: {a} | {b}")),
        _ => {}
    }
}
