//! The joined facts against the definitions that the real API server publishes.

use sampan_schema::{Field, ListType, Schema, Shape, Type, TypeDef};
use serde_json::Value;

use crate::support;
use sampan_testing::reference::Comparison;

/// Deliberate differences, and why.
const DIFFERENT: &[(&str, &str)] =
    &[("Event eventTime: required", "events.k8s.io marks it required; k8s-openapi, whose facts these are, does not")];

/// Published types that are no part of any kind: the version endpoint's answer.
const LEFT_OUT: &[&str] = &["io.k8s.apimachinery.pkg.version.Info"];

fn list_type(field: &Field) -> &'static str {
    match field.list_type {
        None => "",
        Some(ListType::Atomic) => "atomic",
        Some(ListType::Set) => "set",
        Some(ListType::Map) => "map",
    }
}

fn strategy(field: &Field) -> String {
    let all = [("merge", field.patch.merge), ("replace", field.patch.replace), ("retainKeys", field.patch.retain_keys)];
    all.iter().filter(|(_, on)| *on).map(|(name, _)| *name).collect::<Vec<_>>().join(",")
}

fn form(field: &Field) -> &'static str {
    match (field.shape, field.ty) {
        (Shape::List, _) | (Shape::One, Type::Strings) => "array",
        (Shape::Map, _) => "object",
        (_, Type::Bool) => "boolean",
        (_, Type::Int32 | Type::Int64) => "integer",
        (_, Type::Double) => "number",
        (_, Type::String | Type::Bytes) => "string",
        _ => "",
    }
}

fn compare(ty: &TypeDef, field: &Field, property: &Value, required: bool, comparison: &mut Comparison) {
    let text = |name: &str| property[name].as_str().unwrap_or("").to_string();
    let keys: Vec<&str> =
        property["x-kubernetes-list-map-keys"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let ours: Vec<&str> = field.map_keys.iter().map(|key| &**key).collect();
    let facts = [
        ("list type", text("x-kubernetes-list-type"), list_type(field).to_string()),
        ("list map keys", keys.join(","), ours.join(",")),
        ("merge key", text("x-kubernetes-patch-merge-key"), field.merge_key.to_string()),
        ("patch strategy", text("x-kubernetes-patch-strategy"), strategy(field)),
        ("required", required.to_string(), field.required.to_string()),
    ];
    let mut all = facts.to_vec();
    if !form(field).is_empty() && !text("type").is_empty() {
        all.push(("type", text("type"), form(field).to_string()));
    }
    for (fact, theirs, ours) in all {
        comparison.equal(&format!("{} {}: {fact}", ty.name, field.json_name), &ours, &theirs);
    }
}

#[test]
fn facts_as_published() {
    let Some(Value::Object(definitions)) = support::json("definitions-v1.35.json") else { return };
    let schema = Schema::builtin();
    let mut comparison = Comparison::new("schema facts", DIFFERENT.iter().copied());
    for (name, definition) in &definitions {
        let Some(properties) = definition["properties"].as_object() else { continue };
        if LEFT_OUT.contains(&name.as_str()) {
            continue;
        }
        let Some((_, ty)) = schema.types().find(|(_, ty)| ty.openapi_name() == *name) else {
            comparison.case(name, ["no such type".to_owned()]);
            continue;
        };
        let required: Vec<&str> =
            definition["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (json_name, property) in properties {
            match ty.field(json_name) {
                Some(field) => compare(ty, field, property, required.contains(&json_name.as_str()), &mut comparison),
                None => comparison.case(&format!("{name} {json_name}"), ["no such field".to_owned()]),
            }
        }
        for field in &ty.fields {
            let published = properties.contains_key(&*field.json_name);
            comparison.equal(&format!("{name} {}: published", field.json_name), &true, &published);
        }
        let atomic = definition["x-kubernetes-map-type"] == "atomic";
        comparison.equal(&format!("{name}: map type atomic"), &ty.atomic, &atomic);
    }
    comparison.finish(16702);
}
