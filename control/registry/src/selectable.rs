//! Fields that selectors may name.

use crate::word::Name;
use sampan_api::object::Object;
use serde_json::Value;

/// A field that a field selector may name.
#[derive(Clone)]
pub struct SelectableField {
    /// As it stands in the selector: `spec.nodeName`.
    pub label: Name,
    /// The label under which the *stored* version's row indexes it, where that is another (events.k8s.io's
    /// `regarding.kind` is core's `involvedObject.kind`).
    pub indexed_as: Option<Name>,
    /// From the stored object. The answer is the string that the selector is compared with; absent is `""`.
    pub extract: Extract,
    /// Watches selected by equality on it are woken only for objects that carry their value.
    pub dispatch: bool,
}

#[derive(Clone)]
pub enum Extract {
    /// The value at a path, a string as it is, others as JSON, and `absent` where there is none.
    Path {
        path: Vec<Name>,
        absent: Name,
    },
    Function(fn(&Object) -> String),
}

impl Extract {
    /// The value that a selector on this field is compared with, for `object` in the stored version.
    pub fn value(&self, object: &Object) -> String {
        match self {
            Self::Function(function) => function(object),
            Self::Path { path, absent } => {
                let mut value = object.get(&[path.first().map_or("", |p| p.as_ref())]);
                for step in path.iter().skip(1) {
                    value = value.and_then(|v| v.get(step.as_ref()));
                }
                match value {
                    None | Some(Value::Null) => absent.to_string(),
                    Some(Value::String(text)) => text.clone(),
                    Some(other) => other.to_string(),
                }
            }
        }
    }
}
