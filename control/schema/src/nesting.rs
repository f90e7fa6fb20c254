//! Depth to which values nest. A scalar has depth 0, an empty list or object 1.

use serde_json::Value;

/// Whether lists and objects nest deeper than `max`. Looks no deeper than that.
pub fn exceeds(value: &Value, max: usize) -> bool {
    match value {
        Value::Array(list) => max == 0 || list.iter().any(|value| exceeds(value, max - 1)),
        Value::Object(map) => max == 0 || map.values().any(|value| exceeds(value, max - 1)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn depth_is_counted_in_lists_and_objects() {
        for (value, depth) in
            [(json!(1), 0), (json!([]), 1), (json!({"a": 1, "b": [1, {}]}), 3), (json!([[], [[2]]]), 3)]
        {
            assert!(!exceeds(&value, depth), "{value}");
            assert!(depth == 0 || exceeds(&value, depth - 1), "{value}");
        }
    }
}
