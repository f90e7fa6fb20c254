//! Whether a schema is structural: each value is described outside of `allOf`, `anyOf`, `oneOf` and `not`, and what stands in
//! these only checks (apiextensions-apiserver's pkg/apiserver/schema).

use sampan_api::field::{FieldError, FieldErrors, Path};
use sampan_schema::pattern::Budget;
use serde_json::{Map, Value, json};

/// Where a node stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// Everything that keeps a schema from being structural, in the order of the texts.
pub(super) fn check(schema: &Value, path: &Path) -> FieldErrors {
    let mut errors = FieldErrors::new();
    node(schema, Level::Root, path, &mut errors);
    complete(schema, schema, path, path, &mut errors);
    patterns(schema, path, &mut Budget::default(), &mut errors);
    let mut sorted: Vec<(String, FieldError)> = errors.into_iter().map(|one| (one.to_string(), one)).collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    sorted.into_iter().map(|(_, one)| one).collect()
}

/// Whether a schema can be read as a structural one at all: what cannot is refused for that (Go's `NewStructural`), and is
/// not looked at as one.
pub(super) fn is_convertible(schema: &Value) -> bool {
    const REFUSED: [&str; 7] =
        ["id", "$schema", "$ref", "patternProperties", "dependencies", "additionalItems", "definitions"];
    let given = |name: &str| match &schema[name] {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Object(map) => name == "additionalItems" || !map.is_empty(),
        _ => true,
    };
    let listed = schema["items"].as_array().is_some_and(|items| !items.is_empty());
    if listed || schema["x-kubernetes-preserve-unknown-fields"] == false || REFUSED.iter().any(|name| given(name)) {
        return false;
    }
    let inner = ["items", "additionalProperties", "not"].into_iter().map(|name| &schema[name]);
    let checks = ["allOf", "anyOf", "oneOf"].into_iter().flat_map(|name| list(schema, name));
    let mut parts = inner.chain(members(schema, "properties").map(|(_, one)| one)).chain(checks.map(|(_, one)| one));
    parts.all(|part| !part.is_object() || is_convertible(part))
}

fn text<'s>(schema: &'s Value, name: &str) -> &'s str {
    schema[name].as_str().unwrap_or_default()
}

fn members<'s>(schema: &'s Value, name: &str) -> impl Iterator<Item = (&'s String, &'s Value)> {
    schema[name].as_object().into_iter().flatten()
}

fn list<'s>(schema: &'s Value, name: &str) -> impl Iterator<Item = (usize, &'s Value)> {
    schema[name].as_array().into_iter().flatten().enumerate()
}

fn node(schema: &Value, level: Level, path: &Path, errors: &mut FieldErrors) {
    let ty = text(schema, "type");
    if schema["items"].is_object() {
        node(&schema["items"], Level::Item, &path.child("items"), errors);
    } else if ty == "array" {
        errors.push(FieldError::required(&path.child("items"), "must be specified"));
    }
    for (name, inner) in members(schema, "properties") {
        node(inner, Level::Field, &path.child("properties").key(name), errors);
    }
    let additional = &schema["additionalProperties"];
    if !additional.is_null() {
        if level == Level::Root {
            errors.push(FieldError::forbidden(&path.child("additionalProperties"), "must not be used at the root"));
        }
        if additional.is_object() {
            node(additional, Level::Field, &path.child("additionalProperties"), errors);
        }
    }
    let flag = |name: &str| schema[name] == true;
    let (embedded, keeps) = (flag("x-kubernetes-embedded-resource"), flag("x-kubernetes-preserve-unknown-fields"));
    let either = flag("x-kubernetes-int-or-string");
    for (is, name) in [(keeps, "x-kubernetes-preserve-unknown-fields"), (embedded, "x-kubernetes-embedded-resource")] {
        if either && is {
            let why = "must be false if x-kubernetes-int-or-string is true";
            errors.push(FieldError::invalid(&path.child(name), true, why));
        }
    }
    let pair = |any_of: &Value| *any_of == json!([{"type": "integer"}, {"type": "string"}]);
    let (any, all) = (pair(&schema["anyOf"]), pair(&schema["allOf"][0]["anyOf"]));
    checks(schema, any, all, level, path, errors);
    types(schema, level, (embedded, keeps, either), path, errors);
    metadata(schema, level, embedded, path, errors);
    if embedded && !keeps && members(schema, "properties").next().is_none() {
        let why = "must not be empty if x-kubernetes-embedded-resource is true without \
                   x-kubernetes-preserve-unknown-fields";
        errors.push(FieldError::required(&path.child("properties"), why));
    }
}

fn types(
    schema: &Value,
    level: Level,
    (embedded, keeps, either): (bool, bool, bool),
    path: &Path,
    errors: &mut FieldErrors,
) {
    let (ty, at) = (text(schema, "type"), path.child("type"));
    if embedded && ty != "object" {
        let why = "must be object if x-kubernetes-embedded-resource is true";
        errors.push(match ty {
            "" => FieldError::required(&at, why),
            ty => FieldError::invalid(&at, ty, why),
        });
    } else if ty.is_empty() && !either && !keeps {
        errors.push(FieldError::required(
            &at,
            match level {
                Level::Root => "must not be empty at the root",
                Level::Item => "must not be empty for specified array items",
                Level::Field => "must not be empty for specified object fields",
            },
        ));
    }
    if embedded && !schema["additionalProperties"].is_null() {
        let why = "must not be used if x-kubernetes-embedded-resource is set";
        errors.push(FieldError::forbidden(&path.child("additionalProperties"), why));
    }
    if level == Level::Root && !ty.is_empty() && ty != "object" {
        errors.push(FieldError::invalid(&at, ty, "must be object at the root"));
    }
}

/// What is said of the type and metadata that each resource has.
fn metadata(schema: &Value, level: Level, embedded: bool, path: &Path, errors: &mut FieldErrors) {
    let checked = level == Level::Root || embedded;
    let properties = &schema["properties"];
    for name in ["kind", "apiVersion"] {
        if checked && properties[name].is_object() && text(&properties[name], "type") != "string" {
            let at = path.child("properties").key(name).child("type");
            errors.push(FieldError::invalid(&at, text(&properties[name], "type"), "must be string"));
        }
    }
    let Some(meta) = properties["metadata"].as_object() else { return };
    let at = path.child("properties").key("metadata");
    let ty = text(&properties["metadata"], "type");
    if checked && ty != "object" {
        errors.push(FieldError::invalid(&at.child("type"), ty, "must be object"));
    }
    if level != Level::Root {
        return;
    }
    let names = meta.get("properties").and_then(Value::as_object);
    let only_names =
        names.is_none_or(|names| names.keys().all(|name| matches!(name.as_str(), "name" | "generateName")));
    let known = |name: &String| matches!(name.as_str(), "type" | "default") || (name == "properties" && only_names);
    if !meta.keys().all(known) {
        let why = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        errors.push(FieldError::forbidden(&at, why));
    }
}

/// The checks of a node. `any`, `all`: the pattern by which an integer or a string is told, which may name types.
fn checks(schema: &Value, any: bool, all: bool, level: Level, path: &Path, errors: &mut FieldErrors) {
    for (at, inner) in list(schema, "anyOf").filter(|_| !any) {
        nested(inner, false, level, &path.child("anyOf").index(at), errors);
    }
    for (at, inner) in list(schema, "allOf") {
        nested(inner, all && at == 0, level, &path.child("allOf").index(at), errors);
    }
    for (at, inner) in list(schema, "oneOf") {
        nested(inner, false, level, &path.child("oneOf").index(at), errors);
    }
    if schema["not"].is_object() {
        nested(&schema["not"], false, level, &path.child("not"), errors);
    }
}

/// The patterns of a schema and of everything in it.
fn patterns(schema: &Value, path: &Path, budget: &mut Budget, errors: &mut FieldErrors) {
    let given = text(schema, "pattern");
    if !given.is_empty()
        && let Err(why) = budget.check(given)
    {
        let why = format!("must be a valid regular expression, but isn't: {why}");
        errors.push(FieldError::invalid(&path.child("pattern"), given, why));
    }
    for name in ["allOf", "anyOf", "oneOf"] {
        for (at, inner) in list(schema, name) {
            patterns(inner, &path.child(name).index(at), budget, errors);
        }
    }
    for (name, inner) in members(schema, "properties") {
        patterns(inner, &path.child("properties").key(name), budget, errors);
    }
    for name in ["not", "items", "additionalProperties"] {
        if schema[name].is_object() {
            patterns(&schema[name], &path.child(name), budget, errors);
        }
    }
}

/// Whether a member is there.
type Is<'a> = &'a dyn Fn(&Value) -> bool;

/// A schema that may only check.
fn nested(schema: &Value, any: bool, level: Level, path: &Path, errors: &mut FieldErrors) {
    checks(schema, any, false, level, path, errors);
    if schema["items"].is_object() {
        nested(&schema["items"], false, level, &path.child("items"), errors);
    }
    for (name, inner) in members(schema, "properties") {
        nested(inner, false, Level::Field, &path.child("properties").key(name), errors);
    }
    const EMPTY: &str = "must be empty to be structural";
    const FALSE: &str = "must be false to be structural";
    const UNDEFINED: &str = "must be undefined to be structural";
    let is_text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    let is_true = |value: &Value| *value == true;
    let is_list = |value: &Value| value.as_array().is_some_and(|list| !list.is_empty());
    let is_set = |value: &Value| !value.is_null();
    let forbidden: [(&str, Is<'_>, &str); 12] = [
        ("type", &is_text, EMPTY),
        ("additionalProperties", &is_set, UNDEFINED),
        ("default", &is_set, UNDEFINED),
        ("title", &is_text, EMPTY),
        ("description", &is_text, EMPTY),
        ("nullable", &is_true, FALSE),
        ("x-kubernetes-preserve-unknown-fields", &is_true, FALSE),
        ("x-kubernetes-embedded-resource", &is_true, FALSE),
        ("x-kubernetes-int-or-string", &is_true, FALSE),
        ("x-kubernetes-list-map-keys", &is_list, EMPTY),
        ("x-kubernetes-list-type", &is_set, UNDEFINED),
        ("x-kubernetes-map-type", &is_set, UNDEFINED),
    ];
    for (name, is, why) in forbidden {
        if is(&schema[name]) {
            errors.push(FieldError::forbidden(&path.child(name), why));
        }
    }
    if is_list(&schema["x-kubernetes-validations"]) {
        errors.push(FieldError::forbidden(&path.child("x-kubernetes-validations"), EMPTY));
    }
    if schema["properties"].get("metadata").is_some() {
        let at = path.child("properties").key("metadata");
        errors.push(FieldError::forbidden(&at, "must not be specified in a nested context"));
    }
}

/// Whether everything that is checked in `check` is described in `described`.
fn complete(check: &Value, described: &Value, at: &Path, from: &Path, errors: &mut FieldErrors) {
    if check["not"].is_object() {
        complete_nested(&check["not"], described, at, &from.child("not"), errors);
    }
    for name in ["allOf", "anyOf", "oneOf"] {
        for (index, inner) in list(check, name) {
            complete_nested(inner, described, at, &from.child(name).index(index), errors);
        }
    }
}

fn complete_nested(check: &Value, described: &Value, at: &Path, from: &Path, errors: &mut FieldErrors) {
    if !described.is_object() {
        errors.push(FieldError::required(at, format!("because it is defined in {from}")));
        return;
    }
    complete(check, described, at, from, errors);
    if check["items"].is_object() {
        complete_nested(&check["items"], &described["items"], &at.child("items"), &from.child("items"), errors);
    }
    for (name, inner) in members(check, "properties") {
        let at = at.child("properties").key(name);
        complete_nested(inner, &described["properties"][name], &at, &from.child("properties").key(name), errors);
    }
}

/// Whether a value has fields that its schema does not have.
pub(super) fn has_unknown(value: &Value, schema: &Value) -> bool {
    let keeps = schema["x-kubernetes-preserve-unknown-fields"] == true;
    let embedded = schema["x-kubernetes-embedded-resource"] == true;
    match value {
        Value::Object(map) => map.iter().any(|(name, inner)| {
            if embedded && matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
                return false;
            }
            let empty = Map::new();
            let properties = schema["properties"].as_object().unwrap_or(&empty);
            match (properties.get(name), &schema["additionalProperties"]) {
                (Some(known), _) => has_unknown(inner, known),
                (None, additional) if additional.is_object() => has_unknown(inner, additional),
                (None, Value::Bool(true)) => false,
                (None, _) => !keeps,
            }
        }),
        Value::Array(list) => !keeps && list.iter().any(|inner| has_unknown(inner, &schema["items"])),
        _ => false,
    }
}
