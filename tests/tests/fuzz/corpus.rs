//! What inputs are made of: requests to a real API server and objects that it took, which other tests hold.

use sampan_schema::{ObjectType, Schema, json as codec};
use sampan_testing::Dice;
use serde_json::Value;
use std::sync::LazyLock;

/// A file of the workspace.
fn file(path: &str) -> String {
    let path = sampan_tests::root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn lines(path: &str) -> Vec<Value> {
    let text = file(path);
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{path}: {error}"))).collect()
}

/// Where namespaced objects of requests are.
const NAMESPACE: &str = "default";

/// Writes the name of a namespace where a recorded request leaves it open, and no revision.
fn named(value: &mut Value, namespace: &str) {
    match value {
        Value::String(text) => *text = text.replace("${ns}", namespace).replace("${rv}", ""),
        Value::Array(list) => list.iter_mut().for_each(|inner| named(inner, namespace)),
        Value::Object(map) => map.values_mut().for_each(|inner| named(inner, namespace)),
        _ => {}
    }
}

/// Requests: `method`, `path`, `headers`, `body`.
pub static REQUESTS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let mut recorded = lines("control/registry/tests/golden/rules.jsonl");
    recorded.iter_mut().for_each(|sequence| named(sequence, NAMESPACE));
    let mut steps: Vec<Value> = Vec::new();
    for sequence in recorded {
        steps.extend(sequence["steps"].as_array().into_iter().flatten().cloned());
    }
    steps
});

/// Objects of many kinds, some of which break a rule.
pub static OBJECTS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let mut objects = lines("tests/tests/kubernetes/objects.jsonl");
    let bodies = REQUESTS.iter().map(|request| &request["body"]);
    objects.extend(bodies.filter(|body| body["kind"].is_string() && body["metadata"].is_object()).cloned());
    objects.retain(|object| object.to_string().len() < 16 << 10);
    objects
});

/// A tree of any kind.
pub fn object(dice: &mut Dice) -> &'static Value {
    crate::input::pick(dice, &OBJECTS)
}

/// The built-in type that an object says it is of.
pub fn type_of(object: &Value) -> Option<ObjectType> {
    let (version, kind) = (object["apiVersion"].as_str()?, object["kind"].as_str()?);
    let (group, version) = version.rsplit_once('/').unwrap_or(("", version));
    ObjectType::find(Schema::builtin(), group, version, kind)
}

/// An object with its type, in canonical form.
pub fn typed(dice: &mut Dice) -> (ObjectType, Value) {
    loop {
        let object = object(dice);
        let Some(ty) = type_of(object) else { continue };
        if let Ok(decoded) = codec::from_value(ty.schema(), ty.id(), object) {
            return (ty, decoded.value);
        }
    }
}
