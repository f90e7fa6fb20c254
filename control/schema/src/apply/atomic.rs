//! The maps, lists and structs of a configuration that appliers replace as one whole.

use serde_json::{Map, Value};

use crate::fields::is_keyed;
use crate::schema::Schema;
use crate::table::{Field, Shape, Type, TypeId};

/// Their paths, the outer before the inner, as structured-merge-diff prints them: `.spec.containers[0].command`.
pub(super) fn paths(schema: &Schema, id: TypeId, object: &Map<String, Value>) -> Vec<String> {
    let mut search = Search { schema, path: Vec::new(), found: Vec::new() };
    search.members(id, object);
    search.found
}

struct Search<'s> {
    schema: &'s Schema,
    path: Vec<String>,
    found: Vec<String>,
}

impl Search<'_> {
    fn found_if(&mut self, whole: bool) {
        if whole {
            self.found.push(self.path.concat());
        }
    }

    fn members(&mut self, id: TypeId, object: &Map<String, Value>) {
        for (name, value) in object {
            let Some(field) = self.schema.field(id, name) else { continue };
            self.path.push(format!(".{name}"));
            self.field(field, value);
            self.path.pop();
        }
    }

    fn field(&mut self, field: &Field, value: &Value) {
        match (field.shape, value) {
            (Shape::One, value) => self.element(field.ty, field.atomic, value),
            (Shape::List, Value::Array(list)) => {
                self.found_if(!is_keyed(field));
                for (at, inner) in list.iter().enumerate() {
                    self.path.push(format!("[{at}]"));
                    self.element(field.ty, false, inner);
                    self.path.pop();
                }
            }
            // What stands in a map is reached by no field: structured-merge-diff looks no further.
            (Shape::Map, Value::Object(_)) => self.found_if(field.atomic),
            (Shape::List | Shape::Map, _) => {}
        }
    }

    fn element(&mut self, ty: Type, atomic: bool, value: &Value) {
        match (ty, value) {
            (Type::Struct(id), Value::Object(object)) => {
                self.found_if(atomic || self.schema.get(id).atomic);
                self.members(id, object);
            }
            (Type::Nested(id), value) => {
                if let Some(inner) = self.schema.get(id).nested() {
                    self.field(inner, value);
                }
            }
            (Type::Strings | Type::Json | Type::FieldsV1, Value::Array(_)) => self.found_if(true),
            (Type::Json | Type::FieldsV1, Value::Object(_)) => self.found_if(atomic),
            (Type::IntOrString, Value::Array(_) | Value::Object(_)) => self.found_if(true),
            _ => {}
        }
    }
}
