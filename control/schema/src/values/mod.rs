//! Checks of values by what a structural schema says of them: custom resources' and our own kinds'. Plain facts of Kubernetes'
//! own types are [`crate::facts`].

pub mod formats;
mod lists;
mod node;
mod numbers;
mod outcome;
mod walk;

use sampan_api::field::{FieldErrors, Path};
use serde_json::{Map, Value};

pub use self::lists::CheckMetadata;
use self::node::Node;
use crate::schema::Schema;
use crate::structural;
use crate::table::{TypeId, ValueSchema};

/// The errors of an object of the type. What is as it was in `old` is no error.
pub fn validate(
    schema: &Schema,
    id: TypeId,
    object: &Map<String, Value>,
    old: Option<&Map<String, Value>>,
) -> FieldErrors {
    walk::validate_object(schema, Node::of_type(schema.get(id)), object, old).into_iter().collect()
}

/// As [`validate`], of one field of the object alone: a view that writes no other.
pub fn validate_field(
    schema: &Schema,
    id: TypeId,
    name: &str,
    object: &Map<String, Value>,
    old: Option<&Map<String, Value>>,
) -> FieldErrors {
    let found = (schema.field(id, name), object.get(name));
    let (Some(field), Some(now)) = found else { return FieldErrors::new() };
    let before = old.and_then(|old| old.get(name));
    walk::validate(schema, Node::of_field(schema, field), now, before, &Path::new(name)).collect()
}

/// Elements of lists that are sets, and keys of lists that are maps, which stand more than once in an object.
pub fn repeated(schema: &Schema, id: TypeId, object: &Map<String, Value>) -> FieldErrors {
    lists::repeated(schema, schema.get(id), object)
}

/// What is wrong with the type and metadata of resources that are embedded in an object.
pub fn embedded(schema: &Schema, id: TypeId, object: &Map<String, Value>, metadata: CheckMetadata<'_>) -> FieldErrors {
    lists::embedded(schema, schema.get(id), object, metadata)
}

/// What is wrong with the type and metadata of resources in a value by a schema that is none of a type: a default, where it is
/// declared. `at`: the path of the value.
pub fn embedded_by(definition: &Value, value: &Value, at: &Path, metadata: CheckMetadata<'_>) -> FieldErrors {
    let mut errors = FieldErrors::new();
    lists::embedded_by(definition, value, at, metadata, &mut errors);
    errors
}

/// Kubernetes looks at a default by a schema in which an integer or a text has no type.
fn forget_either(schema: &mut ValueSchema) {
    schema.facts.int_or_string = false;
    schema.properties.iter_mut().for_each(|(_, inner)| forget_either(inner));
    for inner in [&mut schema.items, &mut schema.additional].into_iter().flatten() {
        forget_either(inner);
    }
}

/// The errors of a value by a schema that is none of a type: a default, where it is declared. `at`: the path of the value.
pub fn validate_by(definition: &Value, value: &Value, at: &Path) -> FieldErrors {
    let mut schema = structural::value_schema(definition);
    forget_either(&mut schema);
    walk::validate(&Schema::default(), Node::of_value(&schema), value, None, at).collect()
}
