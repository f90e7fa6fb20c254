//! Types out of structural schemas, as custom resources have them: our own kinds, whose schemas are YAML in
//! `data/kinds`.
//!
//! Such a type has no Go struct: empty values stay as sent, there is no protobuf form and no strategic merge.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::schema::Schema;
use crate::table::{Field, Kind, ListType, Origin, Patch, Shape, Text, Type, TypeDef, TypeId};
use crate::yaml;

static FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/kinds.rs"));

/// Adds our own kinds. The data is compiled in: what is wrong in it stops the start, with its name.
pub(crate) fn add_own(schema: &mut Schema) {
    for (file, text) in FILES {
        let (value, problems) = yaml::to_json(text.as_bytes()).unwrap_or_else(|e| panic!("kinds {file}: {e}"));
        assert!(problems.is_empty(), "kinds {file}: {problems:?}");
        add_file(schema, &value).unwrap_or_else(|error| panic!("kinds {file}: {error}"));
    }
}

/// Adds the kinds of one file: `group`, `version`, and `kinds` by name, each a structural schema.
fn add_file(schema: &mut Schema, file: &Value) -> Result<(), String> {
    let text = |name: &str| file[name].as_str().ok_or(format!("no {name}"));
    add(schema, text("group")?, text("version")?, file["kinds"].as_object().ok_or("kinds is a map")?)
}

/// Adds kinds and their lists, each kind by its structural schema.
pub(crate) fn add(schema: &mut Schema, group: &str, version: &str, kinds: &Map<String, Value>) -> Result<(), String> {
    let named = |name: &str| {
        let found = schema.types().find(|(_, ty)| ty.package == "apimachinery/pkg/apis/meta/v1" && ty.name == name);
        found.map(|(id, _)| id).ok_or(format!("the schema has no {name}"))
    };
    let (object_meta, list_meta) = (named("ObjectMeta")?, named("ListMeta")?);
    let package = format!("{group}/{version}");
    for (kind, definition) in kinds {
        let mut fields = fields(schema, &package, kind, definition)?;
        fields.extend(type_meta(object_meta));
        let id = schema.add_type(type_def(&package, kind, definition, fields));
        let mut items = field("items", Type::Struct(id), &Value::Null);
        items.shape = Shape::List;
        items.required = true;
        let mut fields = vec![items];
        fields.extend(type_meta(list_meta));
        let list = format!("{kind}List");
        let list_id = schema.add_type(type_def(&package, &list, &Value::Null, fields));
        for (kind, type_id) in [(kind.clone(), id), (list, list_id)] {
            let (group, version) = (Cow::Owned(group.to_string()), Cow::Owned(version.to_string()));
            schema.add_kind(Kind { group, version, kind: Cow::Owned(kind), type_id });
        }
    }
    Ok(())
}

fn type_meta(metadata: TypeId) -> [Field; 3] {
    let mut meta = field("metadata", Type::Struct(metadata), &Value::Null);
    meta.by_value = true;
    [field("apiVersion", Type::String, &Value::Null), field("kind", Type::String, &Value::Null), meta]
}

fn type_def(package: &str, name: &str, definition: &Value, mut fields: Vec<Field>) -> TypeDef {
    fields.sort_by(|a, b| a.json_name.cmp(&b.json_name));
    let always = (0u16..).zip(&fields).filter(|(_, f)| f.by_value).map(|(at, _)| at).collect();
    TypeDef {
        origin: Origin::Structural,
        package: Cow::Owned(package.to_string()),
        name: Cow::Owned(name.to_string()),
        description: description(definition),
        atomic: definition["x-kubernetes-map-type"] == "atomic",
        fields,
        messages: Vec::new(),
        always,
    }
}

fn description(definition: &Value) -> Text {
    Cow::Owned(definition["description"].as_str().unwrap_or_default().to_string())
}

fn fields(schema: &mut Schema, package: &str, name: &str, definition: &Value) -> Result<Vec<Field>, String> {
    let empty = Map::new();
    let properties = definition["properties"].as_object().unwrap_or(&empty);
    let required: Vec<&str> =
        definition["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut fields = Vec::with_capacity(properties.len());
    for (json_name, property) in properties {
        let inner = format!("{name}.{json_name}");
        let (mut shape, mut element) = (Shape::One, property);
        if property["type"] == "array" {
            (shape, element) = (Shape::List, &property["items"]);
        } else if property["additionalProperties"].is_object() {
            (shape, element) = (Shape::Map, &property["additionalProperties"]);
        }
        let mut field = field(json_name, type_of(schema, package, &inner, element)?, property);
        field.shape = shape;
        field.required = required.contains(&json_name.as_str());
        field.allowed = element["enum"].as_array().cloned().unwrap_or_default();
        fields.push(field);
    }
    Ok(fields)
}

fn type_of(schema: &mut Schema, package: &str, name: &str, definition: &Value) -> Result<Type, String> {
    if let Some(target) = definition["$ref"].as_str() {
        let found = schema.types().find(|(_, ty)| ty.openapi_name() == target);
        return found.map(|(id, _)| Type::Struct(id)).ok_or(format!("{name}: no type {target}"));
    }
    if definition["x-kubernetes-int-or-string"] == true {
        return Ok(Type::IntOrString);
    }
    Ok(match definition["type"].as_str() {
        Some("string") => Type::String,
        Some("boolean") => Type::Bool,
        Some("integer") if definition["format"] == "int32" => Type::Int32,
        Some("integer") => Type::Int64,
        Some("number") => Type::Double,
        Some("object") if definition["properties"].is_object() => {
            let fields = fields(schema, package, name, definition)?;
            Type::Struct(schema.add_type(type_def(package, name, definition, fields)))
        }
        Some("object") | None => Type::Json,
        Some(other) => return Err(format!("{name}: type {other} is not understood")),
    })
}

fn field(json_name: &str, ty: Type, property: &Value) -> Field {
    let keys = property["x-kubernetes-list-map-keys"].as_array().into_iter().flatten().filter_map(Value::as_str);
    Field {
        json_name: Cow::Owned(json_name.to_string()),
        description: description(property),
        ty,
        shape: Shape::One,
        required: false,
        go_type: Cow::Borrowed(""),
        pointer: true,
        emit_empty: false,
        omit_zero: false,
        by_value: false,
        keep_empty: true,
        list_type: match property["x-kubernetes-list-type"].as_str() {
            Some("map") => Some(ListType::Map),
            Some("set") => Some(ListType::Set),
            Some("atomic") => Some(ListType::Atomic),
            _ => None,
        },
        map_keys: keys.map(|key| Cow::Owned(key.to_string())).collect(),
        atomic: property["x-kubernetes-map-type"] == "atomic",
        patch: Patch::default(),
        merge_key: Cow::Borrowed(""),
        default: property.get("default").map_or(Cow::Borrowed(""), |value| Cow::Owned(value.to_string())),
        allowed: Vec::new(),
    }
}
