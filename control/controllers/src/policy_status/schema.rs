//! The type of a kind out of an OpenAPI document (apiserver's `cel/openapi/resolver`).

use crate::limits::{SCHEMA_DEPTH_MAX, SCHEMA_NODES_MAX};
use sampan_api::GroupVersionKind;
use sampan_cel::{Decl, Root, Type};
use serde_json::{Map, Value, json};

const PREFIX: &str = "#/components/schemas/";

/// The type of a kind that a document of OpenAPI v3 describes; `None`: it does not, or in more than can be held.
pub fn type_of(document: &Value, kind: &GroupVersionKind) -> Option<Type> {
    let schemas = document["components"]["schemas"].as_object()?;
    let wanted = json!({"group": kind.group, "version": kind.version, "kind": kind.kind});
    let names = |schema: &Value| {
        let kinds = schema["x-kubernetes-group-version-kind"].as_array();
        kinds.is_some_and(|kinds| kinds.contains(&wanted))
    };
    let (name, root) = schemas.iter().find(|(_, schema)| names(schema))?;
    let mut whole = Whole { schemas, open: vec![name], nodes: 0 };
    let schema = whole.of(root, 0)?;
    Some(Decl::of_schema(&schema, &kind.kind, Root::Resource)?.ty())
}

/// Schemas with what they refer to in its place.
struct Whole<'d> {
    schemas: &'d Map<String, Value>,
    /// The names of those that are being looked at: what refers to one of them is an object of which nothing is known.
    open: Vec<&'d str>,
    nodes: usize,
}

impl<'d> Whole<'d> {
    fn of(&mut self, schema: &'d Value, depth: usize) -> Option<Value> {
        self.nodes += 1;
        if self.nodes > SCHEMA_NODES_MAX || depth > SCHEMA_DEPTH_MAX {
            return None;
        }
        let Some(name) = reference(schema) else { return self.parts(schema, depth) };
        if self.open.contains(&name) {
            return Some(json!({"type": "object"}));
        }
        self.open.push(name);
        let found = self.schemas.get(name)?;
        let whole = self.parts(found, depth)?;
        self.open.pop();
        Some(whole)
    }

    fn parts(&mut self, schema: &'d Value, depth: usize) -> Option<Value> {
        let mut whole = Map::new();
        for (name, value) in schema.as_object()? {
            match (name.as_str(), value) {
                ("properties", Value::Object(properties)) => {
                    let mut all = Map::new();
                    for (name, property) in properties {
                        all.insert(name.clone(), self.of(property, depth + 1)?);
                    }
                    whole.insert(name.clone(), Value::Object(all));
                }
                ("additionalProperties" | "items", Value::Object(_)) => {
                    whole.insert(name.clone(), self.of(value, depth + 1)?);
                }
                // Built-in types have the format where definitions have the extension.
                ("format", Value::String(format)) if format == "int-or-string" => {
                    whole.insert("x-kubernetes-int-or-string".to_owned(), true.into());
                }
                (
                    "type" | "format" | "required" | "enum" | "maxLength" | "maxItems" | "maxProperties" | "default",
                    _,
                ) => {
                    whole.insert(name.clone(), value.clone());
                }
                (name, value) if name.starts_with("x-kubernetes-") => {
                    whole.insert(name.to_owned(), value.clone());
                }
                _ => {}
            }
        }
        Some(Value::Object(whole))
    }
}

/// The schema that one refers to, perhaps within an `allOf`, which then stands for a description of the reference.
fn reference(schema: &Value) -> Option<&str> {
    match schema["$ref"].as_str() {
        Some(name) => Some(name.strip_prefix(PREFIX).unwrap_or(name)),
        None => schema["allOf"].as_array()?.iter().find_map(reference),
    }
}
