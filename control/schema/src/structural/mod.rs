//! Types out of structural schemas: custom resources', and our own kinds', whose schemas are YAML in `data/kinds`.
//!
//! Such a type has no Go struct: empty values stay as sent, and so do values of a wrong type, which validation refuses; there
//! is no protobuf form and no strategic merge.

mod read;

pub(crate) use read::value_schema;

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::schema::Schema;
use crate::table::{Element, Field, Kind, ListType, Origin, Patch, Shape, Text, Type, TypeDef, TypeId};
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
    let lists = |kind: &str| format!("{kind}List");
    add(schema, text("group")?, text("version")?, file["kinds"].as_object().ok_or("kinds is a map")?, lists)
}

/// Adds kinds and their lists, each kind by its structural schema. `lists`: what the kind of a kind's list is called.
pub(crate) fn add(
    schema: &mut Schema,
    group: &str,
    version: &str,
    kinds: &Map<String, Value>,
    lists: impl Fn(&str) -> String,
) -> Result<(), String> {
    let named = |name: &str| {
        let found = schema.types().find(|(_, ty)| ty.package == "apimachinery/pkg/apis/meta/v1" && ty.name == name);
        found.map(|(id, _)| id).ok_or(format!("the schema has no {name}"))
    };
    let (object_meta, list_meta) = (named("ObjectMeta")?, named("ListMeta")?);
    let package = format!("{group}/{version}");
    let mut reader = Reader { schema, package: &package, object_meta };
    for (kind, definition) in kinds {
        let mut ty = reader.object(kind, definition)?;
        ty.metadata = read::sub(&definition["properties"], "metadata").map(|meta| Box::new(read::value_schema(meta)));
        ty.facts = Some(Box::new(read::facts(definition)));
        ty.preserve_unknown = definition["x-kubernetes-preserve-unknown-fields"] == true;
        reader.complete(&mut ty, object_meta, true);
        let id = reader.schema.add_type(ty);
        let mut items = field("items", Type::Struct(id), &Value::Null);
        items.shape = Shape::List;
        items.required = true;
        let list = lists(kind);
        let mut ty = type_def(&package, &list, &Value::Null, vec![items]);
        reader.complete(&mut ty, list_meta, true);
        let list_id = reader.schema.add_type(ty);
        for (kind, type_id) in [(kind.clone(), id), (list, list_id)] {
            let (group, version) = (Cow::Owned(group.to_string()), Cow::Owned(version.to_string()));
            reader.schema.add_kind(Kind { group, version, kind: Cow::Owned(kind), type_id });
        }
    }
    Ok(())
}

/// Makes types of schemas.
struct Reader<'s> {
    schema: &'s mut Schema,
    package: &'s str,
    object_meta: TypeId,
}

impl Reader<'_> {
    /// The type of an object with its properties.
    fn object(&mut self, name: &str, definition: &Value) -> Result<TypeDef, String> {
        let required: Vec<&str> =
            definition["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let properties = definition["properties"].as_object().into_iter().flatten();
        let mut fields = Vec::with_capacity(properties.size_hint().0);
        for (json_name, property) in properties {
            let mut field = self.field(json_name, &format!("{name}.{json_name}"), property)?;
            field.required = required.contains(&json_name.as_str());
            fields.push(field);
        }
        Ok(type_def(self.package, name, definition, fields))
    }

    /// Gives an object the fields that every resource has: its type, and its metadata of that type. `always`: the metadata
    /// is there even if it is not sent.
    fn complete(&self, ty: &mut TypeDef, metadata: TypeId, always: bool) {
        ty.fields.retain(|field| field.json_name != "metadata");
        let mut meta = field("metadata", Type::Struct(metadata), &Value::Null);
        meta.by_value = always;
        ty.fields.push(meta);
        for name in ["apiVersion", "kind"] {
            if ty.field(name).is_none() {
                ty.fields.push(field(name, Type::String, &Value::Null));
            }
        }
        ty.fields.sort_by(|a, b| a.json_name.cmp(&b.json_name));
        ty.always = (0u16..).zip(&ty.fields).filter(|(_, f)| f.by_value).map(|(at, _)| at).collect();
    }

    /// One value: a property, or what is in a list or map within another.
    fn field(&mut self, json_name: &str, name: &str, property: &Value) -> Result<Field, String> {
        let (mut shape, mut element) = (Shape::One, property);
        // What is said of the elements, where it is more than that nothing of objects among them is known.
        let mut said = None;
        let any = Value::Object(Map::from_iter([("type".to_string(), Value::from("object"))]));
        let is_object = || property["x-kubernetes-embedded-resource"] != true;
        if property["type"] == "array" {
            (shape, element) = (Shape::List, read::sub(property, "items").unwrap_or(&any));
            said = Some(element);
        } else if let Some(additional) = read::sub(property, "additionalProperties").filter(|_| is_object()) {
            (shape, element) = (Shape::Map, additional);
            said = Some(element);
        } else if property["additionalProperties"] == true && is_object() {
            (shape, element) = (Shape::Map, &any);
        }
        let mut field = field(json_name, self.type_of(name, element)?, property);
        field.shape = shape;
        field.allowed = element["enum"].as_array().cloned().unwrap_or_default();
        if property["$ref"].is_null() {
            field.facts = Some(Box::new(read::facts(property)));
        }
        // Of a list or map in another, its own field says all.
        if shape != Shape::One && element["$ref"].is_null() {
            field.element = Some(Box::new(Element {
                default: default_of(element),
                description: description(element),
                facts: read::facts(said.unwrap_or(&Value::Null)),
                open: said.is_none(),
            }));
        }
        Ok(field)
    }

    fn type_of(&mut self, name: &str, definition: &Value) -> Result<Type, String> {
        if let Some(target) = definition["$ref"].as_str() {
            let found = self.schema.types().find(|(_, ty)| ty.openapi_name() == target);
            return found.map(|(id, _)| Type::Struct(id)).ok_or(format!("{name}: no type {target}"));
        }
        if definition["x-kubernetes-int-or-string"] == true {
            return Ok(Type::IntOrString);
        }
        let keeps = definition["x-kubernetes-preserve-unknown-fields"] == true;
        let embedded = definition["x-kubernetes-embedded-resource"] == true;
        let additional = &definition["additionalProperties"];
        Ok(match definition["type"].as_str() {
            Some("string") => Type::String,
            Some("boolean") => Type::Bool,
            Some("integer") if definition["format"] == "int32" => Type::Int32,
            Some("integer") => Type::Int64,
            Some("number") => Type::Double,
            Some("array") => self.nested(name, definition)?,
            Some("object") if !embedded && (additional.is_object() || additional == true) => {
                self.nested(name, definition)?
            }
            Some("object") | None if embedded || definition["properties"].is_object() => {
                let mut ty = self.object(name, definition)?;
                ty.preserve_unknown = keeps;
                if embedded {
                    ty.embedded = true;
                    ty.metadata =
                        read::sub(&definition["properties"], "metadata").map(|meta| Box::new(read::value_schema(meta)));
                    self.complete(&mut ty, self.object_meta, false);
                }
                Type::Struct(self.schema.add_type(ty))
            }
            Some("object") if !keeps => {
                // Nothing is known of what is in it: nothing is kept.
                Type::Struct(self.schema.add_type(type_def(self.package, name, definition, Vec::new())))
            }
            Some("object") | None => Type::Json,
            Some(other) => return Err(format!("{name}: type {other} is not understood")),
        })
    }

    fn nested(&mut self, name: &str, definition: &Value) -> Result<Type, String> {
        let inner = self.field("", name, definition)?;
        Ok(Type::Nested(self.schema.add_type(type_def(self.package, name, definition, vec![inner]))))
    }
}

fn type_def(package: &str, name: &str, definition: &Value, mut fields: Vec<Field>) -> TypeDef {
    fields.sort_by(|a, b| a.json_name.cmp(&b.json_name));
    TypeDef {
        origin: Origin::Structural,
        package: Cow::Owned(package.to_string()),
        name: Cow::Owned(name.to_string()),
        description: description(definition),
        atomic: definition["x-kubernetes-map-type"] == "atomic",
        preserve_unknown: false,
        closed: definition["additionalProperties"] == false,
        embedded: false,
        facts: None,
        metadata: None,
        fields,
        messages: Vec::new(),
        always: Vec::new(),
    }
}

fn description(definition: &Value) -> Text {
    Cow::Owned(definition["description"].as_str().unwrap_or_default().to_string())
}

/// The default as JSON; empty if none.
fn default_of(schema: &Value) -> Text {
    schema
        .get("default")
        .filter(|value| !value.is_null())
        .map_or(Cow::Borrowed(""), |value| Cow::Owned(value.to_string()))
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
        inlined_from: Cow::Borrowed(""),
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
        default: default_of(property),
        allowed: Vec::new(),
        facts: None,
        element: None,
    }
}
