//! The three kinds of patch that stand beside server-side apply.

mod document;
mod json;
mod strategic;

use serde_json::Value;

pub use json::json;
pub use strategic::strategic;

/// A patch that cannot be applied. Each variant is one status of the real server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// 400: the patch is not of its form.
    #[error("{0}")]
    BadRequest(String),
    /// 413: more operations or copied bytes than [`crate::limits`] allow.
    #[error("{0}")]
    TooLarge(String),
    /// 422: the patch is sound but the object is not as it supposes.
    #[error("{0}")]
    Unprocessable(String),
    /// 422: a `test` operation says that the object is another.
    #[error("{0}")]
    TestFailed(String),
    /// 500, as the real server answers what its strategic merge cannot do.
    #[error("{0}")]
    Internal(String),
}

/// RFC 7396 as `gopkg.in/evanphx/json-patch.v4` reads it: nulls delete, objects merge, all else replaces. What is new has no
/// nulls in its objects, those within lists included, but where it takes the place of an object.
pub fn merge(current: Value, patch: &Value) -> Value {
    match (current, patch) {
        (Value::Object(mut current), Value::Object(patch)) => {
            for (name, value) in patch {
                if value.is_null() {
                    current.remove(name);
                    continue;
                }
                let merged = merge(current.remove(name).unwrap_or_default(), value);
                current.insert(name.clone(), merged);
            }
            Value::Object(current)
        }
        (Value::Object(_), patch) => patch.clone(),
        (_, patch) => without_nulls(patch),
    }
}

/// A value whose objects have no nulls.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let set = map.iter().filter(|(_, value)| !value.is_null());
            set.map(|(name, value)| (name.clone(), without_nulls(value))).collect()
        }
        Value::Array(list) => list.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}
