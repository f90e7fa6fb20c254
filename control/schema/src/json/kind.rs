//! The kind that a body names, read before anything else of it.

use std::borrow::Cow;

use serde_json::Value;

use crate::problems::DecodeError;
use crate::syntax;

/// The kind that a body names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypeMeta {
    pub api_version: String,
    pub kind: String,
}

/// Reads `apiVersion` and `kind` alone; either is empty when absent.
///
/// # Errors
/// `Unrecognized`, as the real server words it.
pub fn type_meta(body: &[u8]) -> Result<TypeMeta, DecodeError> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Peek<'a> {
        #[serde(borrow, default)]
        api_version: Option<Cow<'a, str>>,
        #[serde(borrow, default)]
        kind: Option<Cow<'a, str>>,
    }
    let text = |field: Option<Cow<'_, str>>| field.map(Cow::into_owned).unwrap_or_default();
    // The derived reader takes a list for the fields in their order.
    if body.trim_ascii_start().starts_with(b"{")
        && let Ok(peek) = serde_json::from_slice::<Peek<'_>>(body)
    {
        return Ok(TypeMeta { api_version: text(peek.api_version), kind: text(peek.kind) });
    }
    syntax::check(body).map_err(|error| unrecognized(&error))?;
    let value: Value = serde_json::from_slice(body).map_err(|error| unrecognized(&error.to_string()))?;
    type_meta_of(&value)
}

/// The kind of a value, as Go's decoder names it.
pub fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// [`type_meta`] of a tree.
pub(crate) fn type_meta_of(value: &Value) -> Result<TypeMeta, DecodeError> {
    let Value::Object(map) = value else { return Err(unrecognized(&not_an_object(name_of(value)))) };
    for name in ["apiVersion", "kind"] {
        match map.get(name) {
            None | Some(Value::Null | Value::String(_)) => {}
            Some(other) => return Err(unrecognized(&bad_type_meta(name_of(other), name))),
        }
    }
    let text = |name: &str| map.get(name).and_then(Value::as_str).unwrap_or_default().to_string();
    Ok(TypeMeta { api_version: text("apiVersion"), kind: text("kind") })
}

pub(super) fn unrecognized(error: &str) -> DecodeError {
    DecodeError::Unrecognized(format!("couldn't get version/kind; json parse error: {error}"))
}

pub(super) fn bad_type_meta(seen: &str, field: &str) -> String {
    format!("json: cannot unmarshal {seen} into Go struct field .{field} of type string")
}

pub(super) fn not_an_object(seen: &str) -> String {
    let peek = r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;
    format!("json: cannot unmarshal {seen} into Go value of type {peek}")
}
