//! RFC 6902, with the limits and the words of kube-apiserver.

use json_patch::PatchOperation;
use json_patch::jsonptr::Pointer;
use sampan_api::limits::{JSON_PATCH_OPERATIONS_MAX, NESTING_MAX};
use serde_json::Value;

use super::PatchError;
use super::document::{Missing, Node};
use crate::limits::JSON_PATCH_COPY_BYTES_MAX;

/// Applies a list of operations. Nothing of it counts unless all of them apply. Costs what the object and the patch are
/// long together, with what is copied, times a logarithm.
///
/// # Errors
/// `BadRequest` when the patch is no list of operations, `TooLarge` beyond the limits, `Unprocessable` when one does
/// not apply.
pub fn json(current: Value, patch: &Value) -> Result<Value, PatchError> {
    let Value::Array(operations) = patch else {
        let seen = match patch {
            Value::Object(_) => "object",
            Value::String(_) => "string",
            Value::Bool(_) => "bool",
            _ => "number",
        };
        let text = format!("json: cannot unmarshal {seen} into Go value of type jsonpatch.Patch");
        return Err(PatchError::BadRequest(text));
    };
    let count = operations.len();
    if count > JSON_PATCH_OPERATIONS_MAX {
        return Err(PatchError::TooLarge(format!(
            "The allowed maximum operations in a JSON patch is {JSON_PATCH_OPERATIONS_MAX}, got {count}"
        )));
    }
    let mut document = Node::of(current);
    let mut copied = 0;
    for operation in operations {
        apply(&mut document, parse(operation)?, &mut copied)?;
    }
    Ok(document.into_value())
}

/// The decoded tokens of a path.
fn tokens(path: &Pointer) -> Vec<String> {
    path.tokens().map(|token| token.decoded().into_owned()).collect()
}

/// Applies one operation. `copied`: bytes that all copies have made so far.
fn apply(document: &mut Node, operation: PatchOperation, copied: &mut usize) -> Result<(), PatchError> {
    // Values that an operation needs of the document beyond its path are looked up before anything is changed, so that
    // its reason can be given.
    let outcome = match &operation {
        PatchOperation::Test(test) => {
            let same = document.get(&tokens(&test.path)).is_some_and(|node| node.equals(&test.value));
            if same { Ok(()) } else { Err(Missing) }
        }
        PatchOperation::Remove(remove) => document.take(&tokens(&remove.path)).map(drop),
        PatchOperation::Add(add) => {
            let (path, node) = (tokens(&add.path), Node::of(add.value.clone()));
            check_nesting(path.len() + node.height())?;
            document.add(&path, node)
        }
        PatchOperation::Replace(replace) => {
            let (path, node) = (tokens(&replace.path), Node::of(replace.value.clone()));
            check_nesting(path.len() + node.height())?;
            document.replace(&path, node)
        }
        PatchOperation::Copy(copy) => {
            let path = tokens(&copy.path);
            match document.get(&tokens(&copy.from)).cloned() {
                None => Err(Missing),
                Some(node) => {
                    *copied += node.clone().into_value().to_string().len();
                    check_copied(*copied)?;
                    check_nesting(path.len() + node.height())?;
                    document.add(&path, node)
                }
            }
        }
        PatchOperation::Move(step) => {
            let (from, path) = (tokens(&step.from), tokens(&step.path));
            match document.get(&from) {
                None => Err(Missing),
                // Nothing can be moved below itself.
                Some(_) if path.len() > from.len() && path.starts_with(&from) => Err(Missing),
                Some(node) => {
                    check_nesting(path.len() + node.height())?;
                    document.take(&from).and_then(|node| document.add(&path, node))
                }
            }
        }
    };
    outcome.map_err(|Missing| PatchError::Unprocessable(reason(&operation, document)))
}

fn check_copied(copied: usize) -> Result<(), PatchError> {
    if copied > JSON_PATCH_COPY_BYTES_MAX {
        return Err(PatchError::TooLarge(format!(
            "unable to copy, the accumulated size increase of copy is {copied}, \
             exceeding the limit {JSON_PATCH_COPY_BYTES_MAX}"
        )));
    }
    Ok(())
}

/// Refuses what would make the document nest too deeply. The patch and the object are each read with a bound on their
/// nesting, but operations that put one below the other add up, and a tree is cloned, written and dropped by recursion.
fn check_nesting(depth: usize) -> Result<(), PatchError> {
    if depth > NESTING_MAX {
        return Err(PatchError::Unprocessable(format!(
            "the patched object would nest {depth} deep, exceeding the limit {NESTING_MAX}"
        )));
    }
    Ok(())
}

fn parse(operation: &Value) -> Result<PatchOperation, PatchError> {
    let unprocessable = |text: String| PatchError::Unprocessable(text);
    let Value::Object(map) = operation else {
        return Err(PatchError::BadRequest("json: cannot unmarshal a JSON patch operation that is no object".into()));
    };
    let mut map = map.clone();
    let kind = map.get("op").and_then(Value::as_str).unwrap_or("unknown").to_string();
    if !["add", "remove", "replace", "move", "copy", "test"].contains(&kind.as_str()) {
        return Err(unprocessable(format!("Unexpected kind: {kind}")));
    }
    if !map.get("path").is_some_and(Value::is_string) {
        return Err(unprocessable(format!("{kind} operation failed to decode path: missing value")));
    }
    // Go takes a missing value for null, and leaves a path's first slash out of account.
    if ["add", "replace", "test"].contains(&kind.as_str()) {
        map.entry("value").or_insert(Value::Null);
    }
    serde_json::from_value(Value::Object(map)).map_err(|error| unprocessable(format!("{kind} operation: {error}")))
}

/// The reason why an operation did not apply, as evanphx/json-patch words it.
fn reason(operation: &PatchOperation, document: &Node) -> String {
    let parent_exists = |path: &Pointer| path.parent().is_none_or(|parent| document.get(&tokens(parent)).is_some());
    match operation {
        PatchOperation::Test(test) => format!("testing value {} failed: test failed", test.path),
        PatchOperation::Remove(remove) if parent_exists(&remove.path) => {
            let key = remove.path.last().map(|token| token.decoded().into_owned()).unwrap_or_default();
            format!(
                "error in remove for path: '{}': Unable to remove nonexistent key: {key}: missing value",
                remove.path
            )
        }
        PatchOperation::Remove(remove) => {
            format!("remove operation does not apply: doc is missing path: \"{}\": missing value", remove.path)
        }
        PatchOperation::Replace(replace) if parent_exists(&replace.path) => {
            format!("replace operation does not apply: doc is missing key: {}: missing value", replace.path)
        }
        PatchOperation::Replace(replace) => {
            format!("replace operation does not apply: doc is missing path: {}: missing value", replace.path)
        }
        PatchOperation::Add(add) => {
            format!("add operation does not apply: doc is missing path: \"{}\": missing value", add.path)
        }
        PatchOperation::Move(step) => {
            format!("move operation does not apply: doc is missing from path: {}: missing value", step.from)
        }
        PatchOperation::Copy(step) => {
            format!("copy operation does not apply: doc is missing from path: {}: missing value", step.from)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn nested(depth: usize) -> Value {
        (0..depth).fold(json!(1), |inner, _| json!({ "a": inner }))
    }

    #[test]
    fn a_patch_nests_no_deeper_than_a_body_may() {
        let check = |document: Value, operations: Value, expected: Option<usize>| {
            let patched = json(document, &operations);
            match (patched, expected) {
                (Ok(value), Some(depth)) => {
                    assert_eq!(Node::of(value.clone()).height(), depth, "{operations}");
                    assert!(serde_json::from_str::<Value>(&value.to_string()).is_ok(), "it can be read back");
                }
                (Err(PatchError::Unprocessable(text)), None) => assert!(text.contains("nest"), "{text}"),
                (found, _) => panic!("{operations}: {found:?}"),
            }
        };
        let leaf = "/a".repeat(NESTING_MAX - 1);
        let add = |path: &str, depth: usize| json!({"op": "add", "path": path, "value": nested(depth)});
        let copy = |from: &str, path: &str| json!({"op": "copy", "from": from, "path": path});
        check(json!({}), json!([add("/x", NESTING_MAX - 1)]), Some(NESTING_MAX));
        check(json!({}), json!([add("/x", NESTING_MAX)]), None);
        check(json!({"x": 1}), json!([{"op": "replace", "path": "/x", "value": nested(NESTING_MAX)}]), None);
        // Each copy below its own deepest leaf doubles the depth.
        check(nested(NESTING_MAX - 1), json!([copy("/a", &leaf)]), None);
        let doubling: Vec<Value> = (0..11).map(|_| copy("", &leaf)).collect();
        check(nested(NESTING_MAX - 1), Value::Array(doubling), None);
        check(nested(NESTING_MAX), json!([copy("/a", "/b")]), Some(NESTING_MAX));
        let two = json!({"deep": nested(100), "x": nested(50)});
        let below = format!("/deep{}", "/a".repeat(100));
        check(two.clone(), json!([{"op": "move", "from": "/x", "path": below}]), None);
        check(two, json!([{"op": "move", "from": "/x", "path": "/y"}]), Some(101));
    }
}
