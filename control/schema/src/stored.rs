//! Objects as they are once Kubernetes has stored them: protobuf knows no empty lists.

use serde_json::{Map, Value};

use crate::schema::{ObjectType, Schema};
use crate::table::{Field, Shape, Type, TypeId};

/// Makes null of the empty lists that Go writes in any case. Until then they are as they were sent, because who sends one
/// comes to own the field. What Go omits where it is empty is not read at all.
pub fn settle(ty: &ObjectType, fields: &mut Map<String, Value>) {
    if fields.values().any(has_empty_list) {
        object(ty.schema(), ty.id(), fields);
    }
}

fn has_empty_list(value: &Value) -> bool {
    match value {
        Value::Array(list) => list.is_empty() || list.iter().any(has_empty_list),
        Value::Object(map) => map.values().any(has_empty_list),
        _ => false,
    }
}

fn object(schema: &Schema, id: TypeId, map: &mut Map<String, Value>) {
    for (name, value) in map.iter_mut() {
        if let Some(known) = schema.field(id, name) {
            field(schema, known, value);
        }
    }
}

fn field(schema: &Schema, field: &Field, value: &mut Value) {
    match (field.shape, value) {
        (Shape::List, value)
            if value.as_array().is_some_and(Vec::is_empty) && field.emit_empty && !field.keep_empty =>
        {
            *value = Value::Null;
        }
        (Shape::One, value) => element(schema, field.ty, value),
        (Shape::List, Value::Array(list)) => list.iter_mut().for_each(|one| element(schema, field.ty, one)),
        (Shape::Map, Value::Object(map)) => map.values_mut().for_each(|one| element(schema, field.ty, one)),
        _ => {}
    }
}

fn element(schema: &Schema, ty: Type, value: &mut Value) {
    if let (Type::Struct(id), Value::Object(map)) = (ty, value) {
        object(schema, id, map);
    }
}
