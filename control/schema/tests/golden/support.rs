//! Where the reference data lies: `$SAMPAN_REFERENCE`, else beside the checkout.

use std::path::PathBuf;

use serde_json::Value;

pub fn reference(file: &str) -> Option<PathBuf> {
    let root = std::env::var_os("SAMPAN_REFERENCE").map(PathBuf::from);
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference");
    let path = root.unwrap_or_else(beside).join(file);
    path.exists().then_some(path)
}

pub fn json(file: &str) -> Option<Value> {
    let bytes = std::fs::read(reference(file)?).expect("readable");
    Some(serde_json::from_slice(&bytes).expect("JSON"))
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
