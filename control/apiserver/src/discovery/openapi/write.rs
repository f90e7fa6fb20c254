//! Operations as members of a document: of v2 or of v3.

use super::operations::{Answer, Operation, PathItem};
use super::parameters::Parameter;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sampan_schema::openapi::Dialect;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Parameters of v2 that paths refer to, by their names there.
pub(super) type Shared = BTreeMap<String, Value>;

/// A path item. v2's parameters go into `shared`.
pub(super) fn item(dialect: Dialect, item: &PathItem, shared: &mut Shared) -> Value {
    let mut value = Map::new();
    for one in &item.operations {
        value.insert(one.method.into(), operation(dialect, one, shared));
    }
    if !item.parameters.is_empty() {
        value.insert("parameters".into(), parameters(dialect, &item.parameters, shared).into());
    }
    Value::Object(value)
}

fn parameters(dialect: Dialect, all: &[Parameter], shared: &mut Shared) -> Vec<Value> {
    all.iter().map(|one| parameter(dialect, one, shared)).collect()
}

fn parameter(dialect: Dialect, one: &Parameter, shared: &mut Shared) -> Value {
    let mut value = json!({"name": one.name, "in": one.place, "description": one.description});
    if one.place == "path" {
        value["required"] = true.into();
    }
    if dialect == Dialect::V3 {
        value["schema"] = json!({"type": one.ty, "uniqueItems": true});
        return value;
    }
    value["type"] = one.ty.into();
    value["uniqueItems"] = true.into();
    let hash = Sha256::digest(value.to_string());
    let name = format!("{}-{}", one.name, URL_SAFE_NO_PAD.encode(&hash[..6]));
    let reference = json!({"$ref": format!("#/parameters/{name}")});
    shared.entry(name).or_insert(value);
    reference
}

fn operation(dialect: Dialect, one: &Operation, shared: &mut Shared) -> Value {
    let mut value = Map::new();
    let mut put = |name: &str, member: Value| drop(value.insert(name.to_owned(), member));
    put("description", one.description.as_str().into());
    put("operationId", one.id.as_str().into());
    put("tags", json!([one.tag]));
    if !one.action.is_empty() {
        put("x-kubernetes-action", one.action.into());
    }
    if let Some(kind) = &one.kind {
        let kind = json!({"group": kind.group, "version": kind.version, "kind": kind.kind});
        put("x-kubernetes-group-version-kind", kind);
    }
    let mut own = parameters(dialect, &one.parameters, shared);
    match (dialect, &one.body) {
        (Dialect::V2, Some(body)) => {
            let mut parameter = json!({"in": "body", "name": "body", "schema": dialect.reference(&body.definition)});
            if body.required {
                parameter["required"] = true.into();
            }
            own.insert(0, parameter);
        }
        (Dialect::V3, Some(body)) => {
            let types = one.consumes.iter().map(|ty| ((*ty).to_owned(), content(&dialect.reference(&body.definition))));
            let mut request = json!({"content": types.collect::<Map<_, _>>()});
            if body.required {
                request["required"] = true.into();
            }
            put("requestBody", request);
        }
        (_, None) => {}
    }
    if !own.is_empty() {
        put("parameters", own.into());
    }
    if dialect == Dialect::V2 {
        if !one.consumes.is_empty() {
            put("consumes", one.consumes.into());
        }
        put("produces", one.produces.into());
        put("schemes", json!(["https"]));
    }
    put("responses", responses(dialect, one));
    Value::Object(value)
}

fn content(schema: &Value) -> Value {
    json!({ "schema": schema })
}

fn responses(dialect: Dialect, one: &Operation) -> Value {
    let schema = match &one.answer {
        Answer::Definition(name) => dialect.reference(name),
        Answer::Text => json!({"type": "string"}),
    };
    let mut all = Map::new();
    for code in one.codes {
        let mut response = json!({"description": match code {
            200 => "OK",
            201 => "Created",
            _ => "Accepted",
        }});
        if dialect == Dialect::V2 {
            response["schema"] = schema.clone();
        } else {
            let types = one.produces.iter().map(|ty| ((*ty).to_owned(), content(&schema)));
            response["content"] = types.collect::<Map<_, _>>().into();
        }
        all.insert(code.to_string(), response);
    }
    all.insert("401".into(), json!({"description": "Unauthorized"}));
    Value::Object(all)
}
