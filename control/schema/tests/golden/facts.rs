//! The joined facts against the definitions that the real API server publishes.

use sampan_schema::{Field, ListType, Schema, Shape, Type, TypeDef};
use serde_json::Value;

use crate::support;

/// Deliberate differences: (type or "", field or "", fact, why).
const DIFFERENT: &[(&str, &str, &str, &str)] = &[(
    "Event",
    "eventTime",
    "required",
    "events.k8s.io marks it required; k8s-openapi, whose facts these are, does not",
)];

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

fn compare(ty: &TypeDef, field: &Field, property: &Value, required: bool, out: &mut Vec<String>) {
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
        let known = DIFFERENT.iter().any(|(t, f, what, _)| {
            (t.is_empty() || *t == ty.name) && (f.is_empty() || *f == field.json_name) && *what == fact
        });
        if theirs != ours && !known {
            out.push(format!("{} {}: {fact}: theirs {theirs:?}, ours {ours:?}", ty.name, field.json_name));
        }
    }
}

#[test]
fn facts_as_published() {
    let Some(Value::Object(definitions)) = support::json("definitions-v1.35.json") else {
        println!("schema facts: 0 types compared");
        return;
    };
    let schema = Schema::builtin();
    let (mut compared, mut fields, mut missing, mut found) = (0, 0, Vec::new(), Vec::new());
    for (name, definition) in &definitions {
        let Some(properties) = definition["properties"].as_object() else { continue };
        if LEFT_OUT.contains(&name.as_str()) {
            continue;
        }
        let Some((_, ty)) = schema.types().find(|(_, ty)| ty.openapi_name() == *name) else {
            missing.push(name.clone());
            continue;
        };
        compared += 1;
        let required: Vec<&str> =
            definition["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (json_name, property) in properties {
            fields += 1;
            match ty.field(json_name) {
                Some(field) => compare(ty, field, property, required.contains(&json_name.as_str()), &mut found),
                None => missing.push(format!("{name} {json_name}")),
            }
        }
        for field in &ty.fields {
            if !properties.contains_key(&*field.json_name) {
                found.push(format!("{name} {}: not published", field.json_name));
            }
        }
        let atomic = definition["x-kubernetes-map-type"] == "atomic";
        if atomic != ty.atomic {
            found.push(format!("{name}: map type atomic: theirs {atomic}, ours {}", ty.atomic));
        }
    }
    println!(
        "schema facts: {compared} types, {fields} fields compared, {} missing, {} differences",
        missing.len(),
        found.len()
    );
    assert!(missing.is_empty() && found.is_empty(), "missing:\n{}\n\n{}", missing.join("\n"), found.join("\n"));
}
