//! The schema of types that structural schemas describe, as k8s.io/apiextensions-apiserver publishes it: whole in v3, and in
//! v2 without what that cannot say.

use super::property::{self, describe};
use super::{Definitions, Dialect};
use crate::schema::Schema;
use crate::table::{Checks, Facts, Field, Origin, Shape, Text, Type, TypeDef, ValueSchema};
use serde_json::{Map, Number, Value, json};

/// Descriptions of the fields that every kind has.
const META: [(&str, &str); 3] = [
    (
        "apiVersion",
        "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized schemas to the latest internal value, and may reject unrecognized values. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources",
    ),
    (
        "kind",
        "Kind is a string value representing the REST resource this object represents. Servers may infer this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds",
    ),
    (
        "metadata",
        "Standard object's metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata",
    ),
];

/// The type of an embedded resource, whatever its schema says of it (`addEmbeddedProperties`).
const EMBEDDED: [(&str, &str); 2] = [
    (
        "kind",
        "kind is a string value representing the type of this object. In CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds",
    ),
    (
        "apiVersion",
        "apiVersion defines the versioned schema of this representation of an object. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources",
    ),
];

/// Of a value of which nothing is said.
static NOTHING: Facts = Facts::NONE;

impl Definitions {
    /// The schema of a kind, or of its list.
    pub(super) fn structural_kind(&self, schema: &Schema, def: &TypeDef) -> Map<String, Value> {
        let facts = def.facts.as_deref().unwrap_or(&NOTHING);
        let keeps = facts.preserve_unknown || def.preserve_unknown;
        // kubectl takes what it does not find in v2's properties for unknown.
        if self.dialect == Dialect::V2 && keeps {
            return Map::from_iter([("type".to_owned(), "object".into())]);
        }
        let mut node = self.node(facts, &def.description);
        node.insert("type".into(), "object".into());
        self.members(&mut node, schema, def);
        // A list's kind, of which no schema says anything.
        if def.facts.is_none() {
            let required: Vec<&str> =
                def.fields.iter().filter(|field| field.required).map(|field| &*field.json_name).collect();
            if !required.is_empty() {
                node.insert("required".into(), required.into());
            }
        }
        node
    }

    /// The schema of a field of such a type.
    pub(super) fn structural_property(&self, schema: &Schema, field: &Field) -> Value {
        if let Type::Struct(id) = field.ty
            && let inner = schema.get(id)
            && (inner.origin == Origin::GoStruct || schema.kinds_of(id).next().is_some())
        {
            return self.referring_property(field, &super::name(inner));
        }
        let facts = field.facts.as_deref().unwrap_or(&NOTHING);
        let common = META.iter().find(|(name, _)| *name == field.json_name && field.facts.is_none());
        let text = if field.description.is_empty() { common.map_or("", |(_, text)| text) } else { &*field.description };
        let mut node = self.node(facts, text);
        if node.is_empty() || field.facts.is_none() {
            node.entry("type").or_insert_with(|| "string".into());
        }
        match field.shape {
            Shape::One => self.contents(&mut node, schema, field.ty),
            Shape::List | Shape::Map => {
                let mut element = Map::new();
                if let Some(one) = &field.element {
                    element = self.node(&one.facts, &one.description);
                    put_default(&mut element, &one.default);
                }
                self.contents(&mut element, schema, field.ty);
                let name = if field.shape == Shape::List { "items" } else { "additionalProperties" };
                node.insert(name.into(), self.settled(element));
            }
        }
        put_default(&mut node, &field.default);
        property::extend(&mut node, field);
        self.settled(node)
    }

    /// A field that is, or holds, objects of a definition.
    fn referring_property(&self, field: &Field, name: &str) -> Value {
        let reference = self.dialect.reference(name);
        let common = META.iter().find(|(name, _)| *name == field.json_name);
        let text = if field.description.is_empty() { common.map_or("", |(_, text)| text) } else { &*field.description };
        let mut node = match (field.shape, reference) {
            (Shape::One, Value::Object(reference)) => reference,
            (Shape::Map, reference) => {
                Map::from_iter([("type".to_owned(), "object".into()), ("additionalProperties".to_owned(), reference)])
            }
            (_, reference) => Map::from_iter([("type".to_owned(), "array".into()), ("items".to_owned(), reference)]),
        };
        describe(&mut node, text);
        property::extend(&mut node, field);
        self.referring(node)
    }

    /// What is said of a value beside what is in it.
    fn node(&self, facts: &Facts, description: &str) -> Map<String, Value> {
        let mut node = Map::new();
        describe(&mut node, description);
        if !facts.json_type.is_empty() {
            node.insert("type".into(), facts.json_type.to_string().into());
        }
        for (name, is_set) in [
            ("nullable", facts.nullable),
            ("x-kubernetes-int-or-string", facts.int_or_string),
            ("x-kubernetes-preserve-unknown-fields", facts.preserve_unknown),
            ("x-kubernetes-embedded-resource", facts.embedded),
        ] {
            if is_set {
                node.insert(name.into(), true.into());
            }
        }
        if let Some(notes) = &facts.notes {
            if !notes.title.is_empty() {
                node.insert("title".into(), notes.title.to_string().into());
            }
            for (name, value) in [("example", &notes.example), ("externalDocs", &notes.external_docs)] {
                if let Some(value) = value {
                    node.insert(name.into(), value.clone());
                }
            }
        }
        if !facts.rules.is_empty() {
            node.insert("x-kubernetes-validations".into(), facts.rules.clone().into());
        }
        if let Some(checks) = &facts.checks {
            self.check(&mut node, checks);
        }
        if facts.int_or_string {
            node.entry("anyOf").or_insert_with(|| json!([{"type": "integer"}, {"type": "string"}]));
        }
        node
    }

    fn check(&self, node: &mut Map<String, Value>, checks: &Checks) {
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                node.insert(name.into(), value);
            }
        };
        put("format", (!checks.format.is_empty()).then(|| checks.format.to_string().into()));
        put("enum", (!checks.allowed.is_empty()).then(|| checks.allowed.clone().into()));
        put("pattern", checks.pattern.as_ref().map(|pattern| pattern.as_str().into()));
        for (name, value) in
            [("maximum", checks.maximum), ("minimum", checks.minimum), ("multipleOf", checks.multiple_of)]
        {
            put(name, value.and_then(number));
        }
        for (name, value) in [
            ("maxLength", checks.max_length),
            ("minLength", checks.min_length),
            ("maxItems", checks.max_items),
            ("minItems", checks.min_items),
            ("maxProperties", checks.max_properties),
            ("minProperties", checks.min_properties),
        ] {
            put(name, value.map(Value::from));
        }
        for (name, is_set) in [
            ("exclusiveMaximum", checks.exclusive_maximum),
            ("exclusiveMinimum", checks.exclusive_minimum),
            ("uniqueItems", checks.unique_items),
        ] {
            put(name, is_set.then(|| true.into()));
        }
        let required: Vec<&str> = checks.required.iter().map(|name| &**name).collect();
        put("required", (!required.is_empty()).then(|| required.into()));
        for (name, all) in [("allOf", &checks.all_of), ("anyOf", &checks.any_of), ("oneOf", &checks.one_of)] {
            put(name, (!all.is_empty()).then(|| all.iter().map(|one| self.only_checks(one)).collect()));
        }
        put("not", checks.not.as_ref().map(|not| self.only_checks(not)));
    }

    /// A schema that describes nothing.
    fn only_checks(&self, of: &ValueSchema) -> Value {
        let mut node = self.node(&of.facts, &of.description);
        if !of.properties.is_empty() {
            let all = of.properties.iter().map(|(name, one)| (name.to_string(), self.only_checks(one)));
            node.insert("properties".into(), all.collect::<Map<_, _>>().into());
        }
        for (name, inner) in [("items", &of.items), ("additionalProperties", &of.additional)] {
            if let Some(inner) = inner {
                node.insert(name.into(), self.only_checks(inner));
            }
        }
        Value::Object(node)
    }

    /// What is in a value of the type.
    fn contents(&self, node: &mut Map<String, Value>, schema: &Schema, ty: Type) {
        match ty {
            Type::Struct(id) if schema.get(id).origin == Origin::Structural => {
                self.members(node, schema, schema.get(id))
            }
            Type::Struct(id) => {
                if let Value::Object(reference) = self.dialect.reference(&super::name(schema.get(id))) {
                    node.extend(reference);
                }
            }
            // The one field says all of the list or map within.
            Type::Nested(id) => {
                if let Some(Value::Object(inner)) =
                    schema.get(id).nested().map(|field| self.structural_property(schema, field))
                {
                    node.extend(inner);
                }
            }
            _ => {}
        }
    }

    fn members(&self, node: &mut Map<String, Value>, schema: &Schema, def: &TypeDef) {
        let properties: Map<String, Value> = def
            .fields
            .iter()
            .map(|field| (field.json_name.to_string(), self.structural_property(schema, field)))
            .collect();
        if !properties.is_empty() {
            node.insert("properties".into(), properties.into());
        }
        // What may be null cannot be required of clients that know no null.
        if self.dialect == Dialect::V2
            && let Some(Value::Array(required)) = node.get_mut("required")
        {
            let is_nullable = |name: &Value| {
                let field = name.as_str().and_then(|name| def.field(name));
                field.is_some_and(|field| field.facts.as_ref().is_some_and(|facts| facts.nullable))
            };
            required.retain(|name| !is_nullable(name));
            if required.is_empty() {
                node.remove("required");
            }
        }
        if def.embedded && !(self.dialect == Dialect::V2 && def.preserve_unknown) {
            embed(node);
        }
    }

    /// The node in the dialect: v2 knows no alternatives, no defaults and no null, and kubectl takes what it does not find in the
    /// properties of such an object for unknown.
    fn settled(&self, mut node: Map<String, Value>) -> Value {
        if self.dialect == Dialect::V3 {
            return self.referring(node);
        }
        for name in ["allOf", "anyOf", "oneOf", "not", "default"] {
            node.remove(name);
        }
        let is_true = |node: &Map<String, Value>, name: &str| node.get(name) == Some(&Value::Bool(true));
        let nullable = is_true(&node, "nullable");
        let keeps = is_true(&node, "x-kubernetes-preserve-unknown-fields");
        if nullable || keeps {
            node.remove("items");
            node.remove("properties");
        }
        let ty = node.get("type").and_then(Value::as_str).unwrap_or_default();
        let untyped = (ty == "array" && !node.contains_key("items")) || (ty == "object" && keeps);
        if nullable || untyped {
            node.remove("nullable");
            node.remove("type");
        }
        Value::Object(node)
    }
}

/// Says of an embedded resource's type what it is, and that it must be there.
fn embed(node: &mut Map<String, Value>) {
    if let Some(Value::Object(properties)) = node.get_mut("properties") {
        for (name, text) in EMBEDDED {
            properties.insert(name.to_owned(), json!({"description": text, "type": "string"}));
        }
    }
    if let Value::Array(required) = node.entry("required").or_insert_with(|| json!([])) {
        for (name, _) in EMBEDDED {
            if !required.iter().any(|one| one == name) {
                required.push(name.into());
            }
        }
    }
}

fn put_default(node: &mut Map<String, Value>, default: &Text) {
    if let Ok(value) = serde_json::from_str(default) {
        node.insert("default".into(), value);
    }
}

/// A number as it was written: whole ones without a point.
fn number(value: f64) -> Option<Value> {
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() <= WHOLE_MAX {
        return Some((value as i64).into());
    }
    Number::from_f64(value).map(Value::Number)
}
