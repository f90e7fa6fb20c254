//! Tolerations put together (pkg/util/tolerations).

use serde_json::Value;

fn text<'a>(toleration: &'a Value, field: &str) -> &'a str {
    toleration.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn equal(one: &Value, other: &Value) -> bool {
    ["key", "operator", "value", "effect"].iter().all(|field| text(one, field) == text(other, field))
        && one.get("tolerationSeconds").and_then(Value::as_i64)
            == other.get("tolerationSeconds").and_then(Value::as_i64)
}

/// Whether `wide` tolerates all that `narrow` does.
pub(super) fn covers(wide: &Value, narrow: &Value) -> bool {
    if equal(wide, narrow) {
        return true;
    }
    let (key, effect, operator) = (text(wide, "key"), text(wide, "effect"), text(wide, "operator"));
    if text(narrow, "key") != key && (!key.is_empty() || operator != "Exists") {
        return false;
    }
    if text(narrow, "effect") != effect && !effect.is_empty() {
        return false;
    }
    let seconds = |one: &Value| one.get("tolerationSeconds").and_then(Value::as_i64);
    if let ("NoExecute", Some(most)) = (effect, seconds(wide))
        && seconds(narrow).is_none_or(|own| own > most)
    {
        return false;
    }
    match operator {
        "Exists" => true,
        "" | "Equal" => text(narrow, "operator") == "Equal" && text(narrow, "value") == text(wide, "value"),
        _ => false,
    }
}

/// Both lists, without what another covers; of equal ones the first. Lists are short: a pod has few.
pub(super) fn merge(first: Vec<Value>, second: Vec<Value>) -> Vec<Value> {
    let all: Vec<Value> = first.into_iter().chain(second).collect();
    let mut merged: Vec<Value> = Vec::new();
    for (at, one) in all.iter().enumerate() {
        let before = merged.iter().any(|other| covers(other, one));
        let behind = all[at + 1..].iter().any(|other| !equal(one, other) && covers(other, one));
        if !before && !behind {
            merged.push(one.clone());
        }
    }
    merged
}

/// Sets a toleration in place of one of the same key, effect, operator and value, or adds it.
pub(super) fn set(list: &mut Vec<Value>, toleration: Value) -> bool {
    let same = |one: &Value| {
        ["key", "effect", "operator", "value"].iter().all(|field| text(one, field) == text(&toleration, field))
    };
    match list.iter_mut().find(|one| same(one)) {
        Some(there) if equal(there, &toleration) => false,
        Some(there) => {
            *there = toleration;
            true
        }
        None => {
            list.push(toleration);
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_another_covers_goes() {
        let check = |first: Value, second: Value, expected: Value| {
            let list = |value: Value| value.as_array().cloned().unwrap_or_default();
            assert_eq!(Value::from(merge(list(first), list(second))), expected);
        };
        let exists = |key: &str| json!({"key": key, "operator": "Exists"});
        let equal = |key: &str, effect: &str| json!({"key": key, "operator": "Equal", "value": "v", "effect": effect});
        check(json!([exists("a")]), json!([exists("b")]), json!([exists("a"), exists("b")]));
        check(json!([exists("a")]), json!([exists("a")]), json!([exists("a")]));
        check(json!([equal("a", "NoSchedule")]), json!([exists("a")]), json!([exists("a")]));
        check(json!([exists("a")]), json!([equal("a", "NoSchedule")]), json!([exists("a")]));
        check(json!([equal("a", "")]), json!([equal("a", "NoSchedule")]), json!([equal("a", "")]));
        check(json!([exists("a")]), json!([{"operator": "Exists"}]), json!([{"operator": "Exists"}]));
        let short = json!({"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5});
        let long = json!({"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 9});
        check(json!([short]), json!([long]), json!([long]));
    }
}
