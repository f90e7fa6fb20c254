//! What the schema of a definition may say (apiextensions' ValidateCustomResourceDefinitionOpenAPISchema).

use super::structural;
use sampan_api::field::{FieldError, FieldErrors, Path};
use sampan_schema::values;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// What a place in a schema may not have.
#[derive(Clone, Copy, Default)]
struct Place<'a> {
    /// Why there may be no default.
    no_default: Option<&'a str>,
    /// It is the type or metadata of a resource.
    meta: bool,
}

/// Members of the root of a schema whose status is a part of its own.
const AT_ROOT: [(&str, &str); 22] = [
    ("description", "Description"),
    ("type", "Type"),
    ("format", "Format"),
    ("title", "Title"),
    ("maximum", "Maximum"),
    ("exclusiveMaximum", "ExclusiveMaximum"),
    ("minimum", "Minimum"),
    ("exclusiveMinimum", "ExclusiveMinimum"),
    ("maxLength", "MaxLength"),
    ("minLength", "MinLength"),
    ("pattern", "Pattern"),
    ("maxItems", "MaxItems"),
    ("minItems", "MinItems"),
    ("uniqueItems", "UniqueItems"),
    ("multipleOf", "MultipleOf"),
    ("required", "Required"),
    ("items", "Items"),
    ("properties", "Properties"),
    ("externalDocs", "ExternalDocs"),
    ("example", "Example"),
    ("x-kubernetes-preserve-unknown-fields", "XPreserveUnknownFields"),
    ("x-kubernetes-validations", "XValidations"),
];

/// Everything wrong with the schema of a version. `path`: that of the schema; `status`: the version has one of its own.
pub(super) fn check(schema: &Value, status: bool, path: &Path, errors: &mut FieldErrors) {
    let mut found = FieldErrors::new();
    if status {
        at_root(schema, path, &mut found);
    }
    if schema["nullable"] == true {
        found.push(FieldError::forbidden(&path.child("nullable"), "nullable cannot be true at the root"));
    }
    let convertible = structural::is_convertible(schema);
    let unstructured = if convertible { structural::check(schema, path) } else { FieldErrors::new() };
    if convertible && unstructured.is_empty() {
        // The type and metadata of the whole are there whatever its schema says.
        let mut whole = schema.clone();
        whole["x-kubernetes-embedded-resource"] = true.into();
        defaults(&whole, Part::Other, path, &mut found);
    }
    found.extend(unstructured);
    let structural = found.is_empty();
    let mut own = FieldErrors::new();
    node(schema, true, Place::default(), path, &mut own);
    if structural && own.is_empty() {
        sampan_cel::rules::check(schema, path, &mut own);
    }
    found.extend(own);
    errors.extend(found);
}

fn at_root(schema: &Value, path: &Path, errors: &mut FieldErrors) {
    if schema["type"].as_str().is_some_and(|ty| ty != "object") {
        let why =
            "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled";
        errors.push(FieldError::invalid(&path.child("type"), &schema["type"], why));
        return;
    }
    let other =
        schema.as_object().into_iter().flatten().find(|(name, value)| {
            !value.is_null() && **value != false && !AT_ROOT.iter().any(|(known, _)| known == name)
        });
    if other.is_some() {
        let names: Vec<&str> = AT_ROOT.iter().map(|(_, name)| *name).collect();
        let allowed = names.join(" ");
        let why = format!(
            "only [{allowed}] fields are allowed at the root of the schema if the status subresource is enabled"
        );
        errors.push(FieldError::invalid(path, schema, why));
    }
}

/// The part of a resource that a schema is of.
#[derive(Clone, Copy)]
enum Part<'a> {
    /// Its type or metadata, or something in them: the resource's schema, and the way from there.
    Meta(&'a Value, &'a Way<'a>),
    Other,
}

/// The last step of a way into a resource.
struct Way<'a> {
    above: Option<&'a Way<'a>>,
    /// A field; `None`: an element of a list.
    step: Option<&'a str>,
}

impl Way<'_> {
    /// A resource in which nothing but its type and the value stands.
    fn around(&self, value: &Value) -> Value {
        let mut inner = value.clone();
        let mut at = Some(self);
        while let Some(way) = at {
            inner = match way.step {
                Some(name) => Value::Object(Map::from_iter([(name.to_owned(), inner)])),
                None => Value::Array(vec![inner]),
            };
            at = way.above;
        }
        let mut object = Map::from_iter(
            [("apiVersion", "validation/v1"), ("kind", "Validation")].map(|(k, v)| (k.to_owned(), Value::from(v))),
        );
        object.extend(inner.as_object().cloned().unwrap_or_default());
        Value::Object(object)
    }
}

/// Defaults that are no values of their schema (`ValidateDefaults` of apiextensions' defaulting).
fn defaults(schema: &Value, part: Part<'_>, path: &Path, errors: &mut FieldErrors) {
    let at = path.child("default");
    let given = &schema["default"];
    let resource = schema["x-kubernetes-embedded-resource"] == true;
    let part = if resource { Part::Other } else { part };
    if !given.is_null() {
        let metadata = |metadata: &Map<String, Value>, path: &Path| crate::metadata::validate_embedded(metadata, path);
        let mut found = FieldErrors::new();
        match part {
            Part::Meta(of, way) => {
                let wrong = values::embedded_by(of, &way.around(given), &Path::root(), &metadata);
                if !wrong.is_empty() {
                    found.push(FieldError::invalid(&at, given, format!("must result in valid metadata: {wrong}")));
                }
            }
            Part::Other => {
                if structural::has_unknown(given, schema) {
                    errors.push(FieldError::invalid(&at, given, "must not have unknown fields"));
                }
                found.extend(values::embedded_by(schema, given, &at, &metadata));
            }
        }
        if found.is_empty() {
            found = values::validate_by(schema, given, &at);
        }
        errors.extend(found);
    }
    let above = match part {
        Part::Meta(_, way) => Some(way),
        Part::Other => None,
    };
    if schema["items"].is_object() {
        let way = Way { above, step: None };
        let below = match part {
            Part::Meta(of, _) => Part::Meta(of, &way),
            Part::Other => Part::Other,
        };
        defaults(&schema["items"], below, &path.child("items"), errors);
    }
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        let way = Way { above, step: Some(name.as_str()) };
        let below = match part {
            Part::Meta(of, _) => Part::Meta(of, &way),
            Part::Other if resource && matches!(name.as_str(), "metadata" | "kind" | "apiVersion") => {
                Part::Meta(schema, &way)
            }
            Part::Other => Part::Other,
        };
        defaults(inner, below, &path.child("properties").key(name), errors);
    }
}

fn node(schema: &Value, root: bool, place: Place<'_>, path: &Path, errors: &mut FieldErrors) {
    if !schema.is_object() || errors.is_full() {
        return;
    }
    form(schema, place, path, errors);
    if schema["uniqueItems"] == true {
        let why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.push(FieldError::forbidden(&path.child("uniqueItems"), why));
    }
    let properties = schema["properties"].as_object();
    let additional = &schema["additionalProperties"];
    if !additional.is_null() {
        let at = path.child("additionalProperties");
        if properties.is_some_and(|properties| !properties.is_empty()) && *additional != true {
            errors.push(FieldError::forbidden(&at, "additionalProperties and properties are mutual exclusive"));
        }
        let inside = "inside additionalProperties applying to object metadata";
        let below = if place.meta { Place { no_default: Some(inside), ..place } } else { place };
        node(additional, false, below, &at, errors);
    }
    for (name, inner) in properties.into_iter().flatten() {
        let mut below = place;
        let resource = root || schema["x-kubernetes-embedded-resource"] == true;
        let top = format!("in top-level {name}");
        if resource && matches!(name.as_str(), "metadata" | "kind" | "apiVersion") {
            below.meta = true;
            if root {
                below.no_default = Some(&top);
            }
        }
        node(inner, false, below, &path.child("properties").key(name), errors);
    }
    node(&schema["not"], false, place, &path.child("not"), errors);
    for name in ["allOf", "oneOf", "anyOf"] {
        for (at, inner) in schema[name].as_array().into_iter().flatten().enumerate() {
            node(inner, false, place, &path.child(name).index(at), errors);
        }
    }
    for (name, inner) in schema["definitions"].as_object().into_iter().flatten() {
        node(inner, false, place, &path.child("definitions").key(name), errors);
    }
    node(&schema["items"], false, place, &path.child("items"), errors);
    for (at, inner) in schema["items"].as_array().into_iter().flatten().enumerate() {
        node(inner, false, place, &path.child("items").index(at), errors);
    }
    extensions(schema, path, errors);
    map_keys(schema, path, errors);
}

/// Members that definitions may not have, or not so.
fn form(schema: &Value, place: Place<'_>, path: &Path, errors: &mut FieldErrors) {
    let ty = schema["type"].as_str().unwrap_or_default();
    const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
    if !ty.is_empty() && !TYPES.contains(&ty) {
        errors.push(FieldError::not_supported(&path.child("type"), ty, &TYPES));
    }
    if let (false, Some(why)) = (schema["default"].is_null(), place.no_default) {
        errors.push(FieldError::forbidden(&path.child("default"), format!("must not be set {why}")));
    }
    let is_set = |name: &str| match &schema[name] {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Object(map) => name == "dependencies" || !map.is_empty(),
        _ => true,
    };
    for name in ["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"] {
        if is_set(name) || (name == "additionalItems" && !schema[name].is_null()) {
            errors.push(FieldError::forbidden(&path.child(name), format!("{name} is not supported")));
        }
    }
    if ty == "null" {
        let why = "type cannot be set to null, use nullable as an alternative";
        errors.push(FieldError::forbidden(&path.child("type"), why));
    }
    if schema["items"].as_array().is_some_and(|list| !list.is_empty()) {
        errors.push(FieldError::forbidden(&path.child("items"), "items must be a schema object and not an array"));
    }
    if place.meta && schema["x-kubernetes-embedded-resource"] == true {
        let at = path.child("x-kubernetes-embedded-resource");
        errors.push(FieldError::forbidden(&at, "must not be used inside of resource meta"));
    }
}

/// The members of Kubernetes' own.
fn extensions(schema: &Value, path: &Path, errors: &mut FieldErrors) {
    let ty = schema["type"].as_str().unwrap_or_default();
    let at = |name: &str| path.child(name);
    if schema["x-kubernetes-preserve-unknown-fields"] == false {
        let name = "x-kubernetes-preserve-unknown-fields";
        errors.push(FieldError::invalid(&at(name), false, "must be true or undefined"));
    }
    let mut wants = |name: &str, wanted: &str, allowed: &[&str]| {
        let Some(given) = schema[name].as_str() else { return };
        let why = format!("must be {wanted} if {name} is specified");
        match ty {
            "" => errors.push(FieldError::required(&at("type"), why)),
            ty if ty != wanted => errors.push(FieldError::invalid(&at("type"), ty, why)),
            _ => {}
        }
        if !allowed.contains(&given) {
            errors.push(FieldError::not_supported(&at(name), given, allowed));
        }
    };
    wants("x-kubernetes-map-type", "object", &["atomic", "granular"]);
    wants("x-kubernetes-list-type", "array", &["atomic", "set", "map"]);
    let list = schema["x-kubernetes-list-type"].as_str();
    let items = &schema["items"];
    if ty == "array" && list == Some("set") && items.is_object() {
        let why = "must be atomic as item of a list with x-kubernetes-list-type=set";
        let inner = |name: &str| (path.child("items").child(name), items[name].as_str());
        match (items["type"].as_str(), inner("x-kubernetes-list-type"), inner("x-kubernetes-map-type")) {
            (Some("array"), (at, Some(given)), _) if given != "atomic" => {
                errors.push(FieldError::invalid(&at, given, why));
            }
            (Some("object"), (_, shown), (at, given)) if given != Some("atomic") => {
                errors.push(FieldError::invalid(&at, shown.map_or(Value::Null, Value::from), why));
            }
            _ => {}
        }
    }
    let keys: Vec<&str> =
        schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !keys.is_empty() && list != Some("map") {
        let why = "must be map if x-kubernetes-list-map-keys is non-empty";
        errors.push(match list {
            None => FieldError::required(&at("x-kubernetes-list-type"), why),
            Some(other) => FieldError::invalid(&at("x-kubernetes-list-type"), other, why),
        });
    }
    if list == Some("map") {
        keyed(schema, &keys, path, errors);
    }
}

/// A list whose elements are told apart by keys.
fn keyed(schema: &Value, keys: &[&str], path: &Path, errors: &mut FieldErrors) {
    let at = path.child("x-kubernetes-list-map-keys");
    if keys.is_empty() {
        errors.push(FieldError::required(&at, "must not be empty if x-kubernetes-list-type is map"));
    }
    let items = &schema["items"];
    if items.is_null() {
        let why = "must have a schema if x-kubernetes-list-type is map";
        errors.push(FieldError::required(&path.child("items"), why));
    }
    if !items.is_object() {
        return;
    }
    if items["type"] != "object" {
        let why = "must be object if parent array's x-kubernetes-list-type is map";
        let given = items["type"].as_str().unwrap_or_default();
        errors.push(FieldError::invalid(&path.child("items").child("type"), given, why));
        return;
    }
    let mut seen = BTreeSet::new();
    for key in keys {
        match items["properties"][*key]["type"].as_str() {
            Some("array" | "object") => {
                let at = path.child("items").child("properties").key(key).child("type");
                let why = "must be a scalar type if parent array's x-kubernetes-list-type is map";
                errors.push(FieldError::invalid(&at, &items["type"], why));
            }
            Some(_) => {}
            None if items["properties"].get(*key).is_some() => {}
            None => {
                let why = "entries must all be names of item properties";
                errors.push(FieldError::invalid(&at, &schema["x-kubernetes-list-map-keys"], why));
            }
        }
        if !seen.insert(key) {
            let why = "must not contain duplicate entries";
            errors.push(FieldError::invalid(&at, &schema["x-kubernetes-list-map-keys"], why));
        }
    }
}

/// Elements and keys that may not be null or absent.
fn map_keys(schema: &Value, path: &Path, errors: &mut FieldErrors) {
    let items = &schema["items"];
    let Some(list) = schema["x-kubernetes-list-type"].as_str().filter(|list| matches!(*list, "set" | "map")) else {
        return;
    };
    if !items.is_object() {
        return;
    }
    let at = path.child("items");
    if items["nullable"] == true {
        let why = format!("cannot be nullable when x-kubernetes-list-type is {list}");
        errors.push(FieldError::forbidden(&at.child("nullable"), why));
    }
    if list != "map" {
        return;
    }
    let required: Vec<&str> = items["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for key in schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let Some(property) = items["properties"].get(key) else { continue };
        let at = at.child("properties").key(key);
        if !required.contains(&key) && property["default"].is_null() {
            let why =
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.push(FieldError::required(&at.child("default"), why));
        }
        if property["nullable"] == true {
            let why = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.push(FieldError::forbidden(&at.child("nullable"), why));
        }
    }
}

/// Formats of texts, in a schema and below it, that mean nothing.
pub(super) fn formats(schema: &Value, found: &mut Vec<String>) {
    let format = schema["format"].as_str().unwrap_or_default();
    if !format.is_empty() && schema["type"] == "string" && !values::formats::is_known(format) {
        found.push(format.to_owned());
    }
    for name in ["items", "additionalProperties", "not"] {
        if schema[name].is_object() {
            formats(&schema[name], found);
        }
    }
    for (_, inner) in schema["properties"].as_object().into_iter().flatten() {
        formats(inner, found);
    }
    for name in ["allOf", "anyOf", "oneOf"] {
        schema[name].as_array().into_iter().flatten().for_each(|inner| formats(inner, found));
    }
}
