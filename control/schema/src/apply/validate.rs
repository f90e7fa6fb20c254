//! The check that what is applied is of its type, in structured-merge-diff's words (`typed/validate.go`).

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::conflict::shown;
use crate::fields::{KeyError, element_or_error, is_keyed};
use crate::go_print::{Numbers, plain, syntax, type_name};
use crate::limits::PROBLEMS_MAX;
use crate::schema::Schema;
use crate::table::{Facts, Field, Origin, Shape, Type, TypeId};

/// # Errors
/// All that is wrong, as one text: `.spec.replicas: expected numeric (int or float), got string`.
pub(super) fn validate(schema: &Schema, id: TypeId, object: &Map<String, Value>) -> Result<(), String> {
    check(schema, id, object, Duplicates::Refused)
}

/// As [`validate`], of what is there: keys of its lists may be there twice.
///
/// # Errors
/// As [`validate`] has them.
pub(super) fn validate_live(schema: &Schema, id: TypeId, object: &Map<String, Value>) -> Result<(), String> {
    check(schema, id, object, Duplicates::Allowed)
}

fn check(schema: &Schema, id: TypeId, object: &Map<String, Value>, duplicates: Duplicates) -> Result<(), String> {
    let mut check = Check { schema, path: Vec::new(), errors: Vec::new(), duplicates, keeps: false };
    check.members(id, object);
    match check.errors.as_slice() {
        [] => Ok(()),
        [one] => Err(one.clone()),
        all => Err(format!("errors:\n  {}", all.join("\n  "))),
    }
}

/// What a scalar may be.
#[derive(Clone, Copy)]
enum Scalar {
    Numeric,
    Text,
    Boolean,
    Any,
}

/// Whether a list may have a key twice.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Duplicates {
    Refused,
    Allowed,
}

struct Check<'a> {
    schema: &'a Schema,
    duplicates: Duplicates,
    /// Whether a type above keeps what it does not know: all below it takes what is not declared
    /// (pkg/schemaconv of kube-openapi).
    keeps: bool,
    /// Elements of the path, as errors show them.
    path: Vec<String>,
    errors: Vec<String>,
}

impl Check<'_> {
    fn error(&mut self, text: &str) {
        if self.errors.len() < PROBLEMS_MAX {
            let path = self.path.concat();
            self.errors.push(if path.is_empty() { text.to_owned() } else { format!("{path}: {text}") });
        }
    }

    fn at(&mut self, element: String, check: impl FnOnce(&mut Self)) {
        self.path.push(element);
        check(self);
        self.path.pop();
    }

    fn members(&mut self, id: TypeId, object: &Map<String, Value>) {
        let ty = self.schema.get(id);
        let (above, structural) = (self.keeps, ty.origin == Origin::Structural);
        self.keeps = structural && (above || ty.preserve_unknown);
        // An object of which nothing is said has any fields.
        let open = !ty.closed && (self.keeps || structural && ty.fields.is_empty());
        for (name, value) in object {
            match ty.field(name) {
                Some(field) => self.at(format!(".{name}"), |check| check.field(field, value)),
                None if open => {}
                None => {
                    self.at(format!(".{name}"), |check| check.error("field not declared in schema"));
                    break;
                }
            }
        }
        self.keeps = above;
    }

    fn field(&mut self, field: &Field, value: &Value) {
        let (above, facts) = (self.keeps, field.facts.as_deref());
        self.keeps |= facts.is_some_and(|facts| facts.preserve_unknown);
        match (field.shape, value) {
            (Shape::One, value) => self.element(field.ty, facts, value),
            (Shape::List | Shape::Map, Value::Null) => {}
            (Shape::List, Value::Array(list)) => self.list(field, list),
            (Shape::Map, Value::Object(map)) => {
                for (key, inner) in map {
                    self.at(format!(".{key}"), |check| check.item(field, inner));
                }
            }
            (Shape::List, other) => self.error(&format!("expected list, got &{{{}}}", plain(other, Numbers::Floats))),
            (Shape::Map, other) => self.error(&format!("expected map, got &{{{}}}", plain(other, Numbers::Floats))),
        }
        self.keeps = above;
    }

    /// An element of a list or map.
    fn item(&mut self, field: &Field, value: &Value) {
        match field.element.as_deref() {
            Some(element) if element.open => {}
            element => self.element(field.ty, element.map(|element| &element.facts), value),
        }
    }

    fn list(&mut self, field: &Field, list: &[Value]) {
        let mut seen = HashSet::with_capacity(list.len());
        for (at, inner) in list.iter().enumerate() {
            if !is_keyed(field) {
                self.at(format!("[{at}]"), |check| check.item(field, inner));
                continue;
            }
            let element = match element_or_error(self.schema, field, inner) {
                Ok(element) => element,
                Err(error) => return self.error(&format!("element {at}: {}", key_error(&error))),
            };
            let place = shown(&element);
            if !seen.insert(element) && self.duplicates == Duplicates::Refused {
                self.error(&format!("duplicate entries for key {place}"));
            }
            self.at(place, |check| check.item(field, inner));
        }
    }

    /// `facts`: what a structural schema says of the value.
    fn element(&mut self, ty: Type, facts: Option<&Facts>, value: &Value) {
        if value.is_null() {
            return;
        }
        match ty {
            Type::Struct(id) => match value {
                Value::Object(object) => self.members(id, object),
                other => self.error(&format!("expected map, got &{{{}}}", plain(other, Numbers::Floats))),
            },
            Type::Strings => match value {
                Value::Array(list) => {
                    for (at, inner) in list.iter().enumerate() {
                        self.at(format!("[{at}]"), |check| check.scalar(Scalar::Text, inner));
                    }
                }
                other => self.error(&format!("expected list, got &{{{}}}", plain(other, Numbers::Floats))),
            },
            Type::FieldsV1 if !value.is_object() => {
                self.error(&format!("expected map, got &{{{}}}", plain(value, Numbers::Floats)))
            }
            Type::Json if !value.is_object() && facts.is_some_and(|facts| facts.json_type == "object") => {
                self.error(&format!("expected map, got &{{{}}}", plain(value, Numbers::Floats)))
            }
            // A number or a text has no type in OpenAPI, so that it may be anything until it is converted.
            Type::FieldsV1 | Type::Raw | Type::Json | Type::IntOrString => {}
            Type::SchemaOrArray(_) | Type::SchemaOrBool(_) | Type::SchemaOrStrings(_) => {}
            Type::Nested(id) => {
                if let Some(inner) = self.schema.get(id).nested() {
                    self.field(inner, value);
                }
            }
            Type::String | Type::Bytes | Type::Duration => self.scalar(Scalar::Text, value),
            Type::Bool => self.scalar(Scalar::Boolean, value),
            Type::Int32 | Type::Int64 | Type::Double => self.scalar(Scalar::Numeric, value),
            Type::Quantity | Type::Time | Type::MicroTime => self.scalar(Scalar::Any, value),
        }
    }

    fn scalar(&mut self, expected: Scalar, value: &Value) {
        match (expected, value) {
            (_, Value::Null)
            | (Scalar::Numeric, Value::Number(_))
            | (Scalar::Text, Value::String(_))
            | (Scalar::Boolean, Value::Bool(_))
            | (Scalar::Any, Value::Number(_) | Value::String(_) | Value::Bool(_)) => {}
            (Scalar::Numeric, other) => {
                self.error(&format!("expected numeric (int or float), got {}", type_name(other)));
            }
            (Scalar::Text, other) => {
                self.error(&format!("expected string, got &value.valueUnstructured{{Value:{}}}", syntax(other)));
            }
            (Scalar::Boolean, other) => {
                self.error(&format!("expected boolean, got &{{{}}}", plain(other, Numbers::Floats)))
            }
            (Scalar::Any, other) => {
                self.error(&format!("expected any scalar, got &{{{}}}", plain(other, Numbers::Floats)))
            }
        }
    }
}

fn key_error(error: &KeyError<'_>) -> String {
    match error {
        KeyError::NullElement => "associative list with keys may not have a null element".to_owned(),
        KeyError::NoMap => "associative list with keys may not have non-map elements".to_owned(),
        KeyError::NoKeys(keys) => {
            let keys: Vec<String> = keys.iter().map(|key| sampan_api::field::go_quote(key)).collect();
            format!(
                "associative list with keys has an element that omits all key fields [{}] (and doesn't have default \
                 values for any key fields)",
                keys.join(" ")
            )
        }
        KeyError::MapInSet => "associative list without keys has an element that's a map type".to_owned(),
        KeyError::ListInSet => "not supported: associative list with lists as elements".to_owned(),
        KeyError::NullInSet => "associative list without keys has an element that's an explicit null".to_owned(),
    }
}
