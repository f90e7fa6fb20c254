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
    /// 500, as the real server answers what its strategic merge cannot do.
    #[error("{0}")]
    Internal(String),
}

/// RFC 7396: nulls delete, objects merge, all else replaces.
pub fn merge(mut current: Value, patch: &Value) -> Value {
    json_patch::merge(&mut current, patch);
    current
}
