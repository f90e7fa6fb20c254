//! The types with which expressions make changes (k8s.io/apiserver/pkg/cel/mutation): `Object{...}` and, named by their
//! paths, the objects in it (`Object.spec{...}`); `JSONPatch{op: ..., path: ...}`.

use crate::decl::Decl;
use crate::types::Type;
use crate::value::{List, Made, Map, Value};
use serde_json::{Map as JsonMap, Value as Json};
use std::sync::{Arc, LazyLock};

const OBJECT: &str = "Object";
const JSON_PATCH: &str = "JSONPatch";
/// How the names of the functions begin that come with these types.
pub(crate) const LIBRARY: &str = "jsonpatch.";

static OPERATION: LazyLock<Arc<Decl>> = LazyLock::new(|| {
    let text = Decl::text;
    Decl::object(JSON_PATCH, [("op", text()), ("path", text()), ("from", text()), ("value", Decl::dynamic())])
});

/// The type of a whole configuration that is to be applied.
pub fn configuration() -> Type {
    Decl::open(OBJECT).ty()
}

/// The type of a list of operations.
pub fn operations() -> Type {
    Type::list(OPERATION.ty())
}

/// A type by its name.
pub(crate) fn type_named(name: &str) -> Option<Type> {
    if name == JSON_PATCH {
        return Some(OPERATION.ty());
    }
    let inside = name.strip_prefix(OBJECT).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    inside.then(|| Decl::open(name).ty())
}

/// The configuration that an expression of the type [`configuration`] made.
///
/// # Errors
/// Every object in it whose type has another name than its path, or a value that JSON has no form for.
pub fn to_configuration(value: &Value<'_>) -> Result<JsonMap<String, Json>, String> {
    let Value::Made(made) = value else {
        return Err(format!("unsupported return type from ApplyConfiguration expression: {}", value.type_name()));
    };
    check_names(made)?;
    match value.to_json()? {
        Json::Object(fields) => Ok(fields),
        _ => Err("invalid return type".to_owned()),
    }
}

/// The operations that an expression of the type [`operations`] made, as a JSON patch.
///
/// # Errors
/// As [`to_configuration`], of each value.
pub fn to_operations(value: &Value<'_>) -> Result<Json, String> {
    let Value::List(list) = value else {
        return Err("type mismatch: JSONPatchType.expression should evaluate to array".to_owned());
    };
    let mut all = Vec::with_capacity(list.len());
    for one in list.iter() {
        match one.map_err(|error| error.to_string())? {
            Value::Made(made) if made.name() == JSON_PATCH => all.push(operation(&made)?),
            other => {
                return Err(format!(
                    "type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch, got element of {}",
                    other.type_name()
                ));
            }
        }
    }
    Ok(Json::Array(all))
}

fn operation(made: &Made<'_>) -> Result<Json, String> {
    let text = |name: &str| match made.field(name) {
        Some(Value::String(text)) => text.to_string(),
        _ => String::new(),
    };
    let mut operation = JsonMap::new();
    operation.insert("op".to_owned(), text("op").into());
    operation.insert("path".to_owned(), text("path").into());
    let from = text("from");
    if !from.is_empty() {
        operation.insert("from".to_owned(), from.into());
    }
    if let Some(value) = made.field("value") {
        if let Value::Made(made) = value {
            check_names(made)?;
        }
        let json = value.to_json().map_err(|why| {
            format!("JSONPath valueExpression evaluated to a type that could not marshal to JSON: {why}")
        })?;
        operation.insert("value".to_owned(), json);
    }
    Ok(Json::Object(operation))
}

/// Whether the type of each object within is called as the path from the whole to it, lists and maps left out.
fn check_names(made: &Made<'_>) -> Result<(), String> {
    let (mut path, mut wrong) = (vec![made.name()], Vec::new());
    misnamed(made, &mut path, &mut wrong);
    if wrong.is_empty() { Ok(()) } else { Err(format!("type mismatch: {}", wrong.join("\n"))) }
}

fn misnamed<'v>(made: &'v Made<'_>, path: &mut Vec<&'v str>, wrong: &mut Vec<String>) {
    let expected = path.join(".");
    if made.name() != expected {
        wrong.push(format!(
            "unexpected type name {:?}, expected {expected:?}, which matches field name path from root Object type",
            made.name()
        ));
    }
    for (name, value) in made.fields() {
        path.push(name);
        misnamed_within(value, path, wrong);
        path.pop();
    }
}

fn misnamed_within<'v>(value: &'v Value<'_>, path: &mut Vec<&'v str>, wrong: &mut Vec<String>) {
    match value {
        Value::Made(made) => misnamed(made, path, wrong),
        Value::List(List::Made(all)) => all.iter().for_each(|one| misnamed_within(one, path, wrong)),
        Value::Map(Map::Made(all)) => all.values().for_each(|one| misnamed_within(one, path, wrong)),
        _ => {}
    }
}

/// A text as one part of a path of a JSON patch.
pub(crate) fn escaped_key(text: &str) -> String {
    text.replace('~', "~0").replace('/', "~1")
}
