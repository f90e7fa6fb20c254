//! RFC 6902, with the limits and the words of kube-apiserver.

use json_patch::PatchOperation;
use json_patch::jsonptr::Pointer;
use serde_json::Value;

use super::PatchError;
use crate::limits::{JSON_PATCH_COPY_BYTES_MAX, JSON_PATCH_OPERATIONS_MAX};

/// Applies a list of operations. Nothing of it counts unless all of them apply.
///
/// # Errors
/// `BadRequest` when the patch is no list of operations, `TooLarge` beyond the limits, `Unprocessable` when one does
/// not apply.
pub fn json(current: &Value, patch: &Value) -> Result<Value, PatchError> {
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
    let mut value = current.clone();
    let mut copied = 0;
    for operation in operations {
        let operation = parse(operation)?;
        if let PatchOperation::Copy(copy) = &operation {
            copied += copy.from.resolve(&value).map_or(0, |v| v.to_string().len());
            if copied > JSON_PATCH_COPY_BYTES_MAX {
                return Err(PatchError::TooLarge(format!(
                    "unable to copy, the accumulated size increase of copy is {copied}, \
                     exceeding the limit {JSON_PATCH_COPY_BYTES_MAX}"
                )));
            }
        }
        json_patch::patch_unsafe(&mut value, std::slice::from_ref(&operation))
            .map_err(|_| PatchError::Unprocessable(reason(&operation, &value)))?;
    }
    Ok(value)
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

/// Why an operation did not apply, as evanphx/json-patch says it.
fn reason(operation: &PatchOperation, value: &Value) -> String {
    let parent_exists = |path: &Pointer| path.parent().is_none_or(|parent| parent.resolve(value).is_ok());
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
