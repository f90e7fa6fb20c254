//! The schema of one field.

use super::{Definitions, Dialect};
use crate::schema::Schema;
use crate::table::{Field, ListType, Origin, Shape, Type, TypeDef};
use serde_json::{Map, Value, json};

/// The definition that stands for a scalar of the table, where it has one.
pub(super) fn scalar_name(ty: Type, origin: Origin) -> Option<&'static str> {
    Some(match (ty, origin) {
        (Type::Quantity, _) => "io.k8s.apimachinery.pkg.api.resource.Quantity",
        (Type::Time, _) => "io.k8s.apimachinery.pkg.apis.meta.v1.Time",
        (Type::MicroTime, _) => "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime",
        (Type::Duration, _) => "io.k8s.apimachinery.pkg.apis.meta.v1.Duration",
        (Type::FieldsV1, _) => "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
        (Type::Raw, _) => "io.k8s.apimachinery.pkg.runtime.RawExtension",
        (Type::IntOrString, Origin::GoStruct) => "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
        (Type::Json, Origin::GoStruct) => "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON",
        (Type::SchemaOrArray(_), _) => {
            "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray"
        }
        (Type::SchemaOrBool(_), _) => "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool",
        (Type::SchemaOrStrings(_), _) => {
            "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray"
        }
        _ => return None,
    })
}

/// The definition of a scalar, by its name.
pub(super) fn scalar(name: &str, dialect: Dialect, text: &str) -> Value {
    let last = name.rsplit('.').next().unwrap_or_default();
    let mut value = match (last, dialect) {
        ("Quantity", Dialect::V3) => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
        ("Quantity" | "Duration", _) => json!({"type": "string"}),
        ("IntOrString", Dialect::V3) => {
            json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]})
        }
        ("IntOrString", Dialect::V2) => json!({"type": "string", "format": "int-or-string"}),
        ("Time" | "MicroTime", _) => json!({"type": "string", "format": "date-time"}),
        ("FieldsV1" | "RawExtension" | "Patch", _) => json!({"type": "object"}),
        // Any JSON, and unions with a schema.
        _ => json!({}),
    };
    if let Some(value) = value.as_object_mut() {
        describe(value, text);
    }
    value
}

pub(super) fn describe(value: &mut Map<String, Value>, text: &str) {
    if !text.is_empty() {
        value.insert("description".into(), text.into());
    }
}

fn object<const N: usize>(members: [(&str, Value); N]) -> Map<String, Value> {
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

impl Definitions {
    /// The schema of a field of a type that is defined under the name.
    pub(super) fn property(&self, definition: &str, schema: &Schema, def: &TypeDef, field: &Field) -> Value {
        if def.origin == Origin::Structural {
            return self.structural_property(schema, field);
        }
        let mut element = self.element(schema, field);
        let mut text = field.description.to_string();
        if let Some((values, listed)) = self.facts.values(definition, &field.json_name) {
            element.insert("enum".into(), values.into());
            if !listed.is_empty() {
                text = [text.as_str(), listed]
                    .into_iter()
                    .filter(|part| !part.is_empty())
                    .collect::<Vec<_>>()
                    .join("\n\n");
            }
        }
        let zero = (self.dialect == Dialect::V3).then(|| zero(field)).flatten();
        let mut value = match field.shape {
            Shape::One => {
                if let Some(zero) = zero.filter(|_| field.by_value || (field.emit_empty && !field.pointer)) {
                    element.insert("default".into(), zero);
                }
                element
            }
            Shape::List | Shape::Map => {
                if let Some(zero) = zero {
                    element.insert("default".into(), zero);
                }
                let element = self.referring(element);
                match field.shape {
                    Shape::Map => object([("type", "object".into()), ("additionalProperties", element)]),
                    _ => object([("type", "array".into()), ("items", element)]),
                }
            }
        };
        if let Ok(default) = serde_json::from_str(&field.default)
            && self.dialect == Dialect::V3
        {
            value.insert("default".into(), default);
        }
        describe(&mut value, &text);
        extend(&mut value, field);
        self.referring(value)
    }

    /// The schema of a field's value, or of each of its values.
    fn element(&self, schema: &Schema, field: &Field) -> Map<String, Value> {
        if let Some(name) = scalar_name(field.ty, Origin::GoStruct) {
            return object([("$ref", format!("{}{name}", self.dialect.prefix()).into())]);
        }
        let typed = |ty: &str, format: &str| {
            let mut value = object([("type", ty.into())]);
            if !format.is_empty() {
                value.insert("format".into(), format.into());
            }
            value
        };
        match field.ty {
            Type::Struct(id) => {
                object([("$ref", format!("{}{}", self.dialect.prefix(), super::name(schema.get(id))).into())])
            }
            Type::Bool => typed("boolean", ""),
            Type::Int32 => typed("integer", "int32"),
            Type::Int64 => typed("integer", "int64"),
            Type::Double => typed("number", "double"),
            Type::Bytes => typed("string", "byte"),
            Type::Strings => {
                let mut one = typed("string", "");
                if self.dialect == Dialect::V3 {
                    one.insert("default".into(), "".into());
                }
                object([("type", "array".into()), ("items", one.into())])
            }
            _ => typed("string", ""),
        }
    }

    /// OpenAPI v3 takes nothing beside a reference: it moves into `allOf` where something stands there.
    pub(super) fn referring(&self, mut value: Map<String, Value>) -> Value {
        if self.dialect == Dialect::V3
            && value.len() > 1
            && let Some(reference) = value.remove("$ref")
        {
            value.insert("allOf".into(), json!([{ "$ref": reference }]));
        }
        Value::Object(value)
    }
}

/// Go's zero value of a field's values, where OpenAPI names it: of plain scalars and structs.
fn zero(field: &Field) -> Option<Value> {
    Some(match field.ty {
        Type::String => "".into(),
        Type::Bool => false.into(),
        Type::Int32 | Type::Int64 | Type::Double => 0.into(),
        Type::Struct(_) => json!({}),
        _ => return None,
    })
}

/// The `x-kubernetes-` members.
pub(super) fn extend(value: &mut Map<String, Value>, field: &Field) {
    let list_type = match field.list_type {
        Some(ListType::Atomic) => "atomic",
        Some(ListType::Set) => "set",
        Some(ListType::Map) => "map",
        None => "",
    };
    let patch = field.patch;
    let strategies = [("merge", patch.merge), ("replace", patch.replace), ("retainKeys", patch.retain_keys)];
    let strategies: Vec<&str> = strategies.iter().filter(|(_, on)| *on).map(|(name, _)| *name).collect();
    for (name, text) in [
        ("x-kubernetes-list-type", list_type),
        ("x-kubernetes-map-type", if field.atomic { "atomic" } else { "" }),
        ("x-kubernetes-patch-merge-key", &*field.merge_key),
        ("x-kubernetes-patch-strategy", &strategies.join(",")),
    ] {
        if !text.is_empty() {
            value.insert(name.into(), text.into());
        }
    }
    if !field.map_keys.is_empty() {
        let keys: Vec<Value> = field.map_keys.iter().map(|key| key.to_string().into()).collect();
        value.insert("x-kubernetes-list-map-keys".into(), keys.into());
    }
}
