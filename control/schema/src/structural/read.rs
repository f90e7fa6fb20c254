//! What a structural schema says of one value: read out of its JSON.

use std::borrow::Cow;

use serde_json::Value;

use crate::pattern::Pattern;
use crate::table::{Checks, Facts, Notes, Text, ValueSchema};

/// A text member; empty where there is none.
pub(super) fn text(schema: &Value, name: &str) -> Text {
    match schema.get(name).and_then(Value::as_str) {
        // The words of types are few, and every field has one.
        Some("string") => Cow::Borrowed("string"),
        Some("object") => Cow::Borrowed("object"),
        Some("array") => Cow::Borrowed("array"),
        Some("integer") => Cow::Borrowed("integer"),
        Some("boolean") => Cow::Borrowed("boolean"),
        Some("number") => Cow::Borrowed("number"),
        Some(other) => Cow::Owned(other.to_string()),
        None => Cow::Borrowed(""),
    }
}

fn is_set(schema: &Value, name: &str) -> bool {
    schema.get(name).and_then(Value::as_bool).unwrap_or_default()
}

/// A schema that is there and no boolean.
pub(super) fn sub<'s>(schema: &'s Value, name: &str) -> Option<&'s Value> {
    schema.get(name).filter(|value| value.is_object())
}

/// The facts of one node.
pub(super) fn facts(schema: &Value) -> Facts {
    let notes = Notes {
        title: text(schema, "title"),
        example: schema.get("example").cloned(),
        external_docs: schema.get("externalDocs").cloned(),
    };
    Facts {
        json_type: text(schema, "type"),
        nullable: is_set(schema, "nullable"),
        int_or_string: is_set(schema, "x-kubernetes-int-or-string"),
        preserve_unknown: is_set(schema, "x-kubernetes-preserve-unknown-fields"),
        embedded: is_set(schema, "x-kubernetes-embedded-resource"),
        checks: checks(schema).map(Box::new),
        notes: (notes != Notes::default()).then(|| Box::new(notes)),
        rules: schema.get("x-kubernetes-validations").and_then(Value::as_array).cloned().unwrap_or_default(),
    }
}

/// The members that check something.
const CHECKING: [&str; 17] = [
    "format",
    "enum",
    "maximum",
    "minimum",
    "multipleOf",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "maxProperties",
    "minProperties",
    "required",
    "allOf",
    "anyOf",
    "oneOf",
];

fn checks(schema: &Value) -> Option<Checks> {
    if schema.get("not").is_none() && CHECKING.iter().all(|name| schema.get(name).is_none()) {
        return None;
    }
    let number = |name: &str| schema.get(name).and_then(Value::as_f64);
    let count = |name: &str| schema.get(name).and_then(Value::as_i64);
    let list = |name: &str| schema.get(name).and_then(Value::as_array).into_iter().flatten();
    let schemas = |name: &str| list(name).map(value_schema).collect();
    Some(Checks {
        format: text(schema, "format"),
        allowed: list("enum").cloned().collect(),
        maximum: number("maximum"),
        exclusive_maximum: is_set(schema, "exclusiveMaximum"),
        minimum: number("minimum"),
        exclusive_minimum: is_set(schema, "exclusiveMinimum"),
        multiple_of: number("multipleOf"),
        max_length: count("maxLength"),
        min_length: count("minLength"),
        pattern: schema.get("pattern").and_then(Value::as_str).filter(|p| !p.is_empty()).map(Pattern::new),
        max_items: count("maxItems"),
        min_items: count("minItems"),
        unique_items: is_set(schema, "uniqueItems"),
        max_properties: count("maxProperties"),
        min_properties: count("minProperties"),
        required: list("required").filter_map(Value::as_str).map(|name| Cow::Owned(name.to_string())).collect(),
        all_of: schemas("allOf"),
        any_of: schemas("anyOf"),
        one_of: schemas("oneOf"),
        not: sub(schema, "not").map(|not| Box::new(value_schema(not))),
    })
}

/// A schema that only checks.
pub(crate) fn value_schema(schema: &Value) -> ValueSchema {
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let boxed = |name: &str| sub(schema, name).map(|inner| Box::new(value_schema(inner)));
    ValueSchema {
        description: text(schema, "description"),
        facts: facts(schema),
        properties: properties.map(|(name, inner)| (Cow::Owned(name.clone()), value_schema(inner))).collect(),
        items: boxed("items"),
        additional: boxed("additionalProperties"),
    }
}
