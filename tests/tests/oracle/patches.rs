//! The three kinds of patch that stand beside server-side apply.

use crate::apply::deployment;
use crate::{Compared, Known};
use sampan_schema::{ObjectType, Schema, json as codec, patch};
use sampan_testing::Dice;
use serde_json::{Map, Value, json};

pub const JSON: Compared = Compared {
    of: "json-patch",
    input: |dice| {
        let doc = object(dice, 0);
        let patch = operations(dice, &doc);
        json!({"doc": doc, "patch": patch})
    },
    ours: |input| patch::json(input["doc"].clone(), &input["patch"]).map_err(|error| error.to_string()),
    errors: &[
        "Unable to remove nonexistent key",
        "invalid index referenced",
        "invalid syntax",
        "missing value",
        "operation missing path field",
        "Unexpected kind",
        "cannot unmarshal",
    ],
    ..Compared::NOTHING
};

pub const MERGE: Compared = Compared {
    of: "merge-patch",
    input: |dice| {
        let doc = object(dice, 0);
        let scalars = [json!(1), json!("x"), json!(true), Value::Null];
        let patch = if dice.one_in(2) { scalars[dice.roll(4) as usize].clone() } else { object(dice, 0) };
        json!({"doc": doc, "patch": patch})
    },
    ours: |input| match &input["patch"] {
        Value::Object(_) => Ok(patch::merge(input["doc"].clone(), &input["patch"])),
        // What the API server says of it.
        _ => Err("Invalid JSON Patch".to_owned()),
    },
    errors: &["Invalid JSON Patch"],
    ..Compared::NOTHING
};

pub const STRATEGIC: Compared = Compared {
    of: "strategic-patch",
    input: |dice| {
        let ty = deployment_type();
        let decoded = codec::from_value(ty.schema(), ty.id(), &deployment(dice)).expect("a Deployment");
        let mut patch = deployment(dice);
        for _ in 0..1 + dice.roll(5) {
            direct(dice, &mut patch, "");
        }
        json!({"group": "apps", "version": "v1", "kind": "Deployment", "doc": decoded.value, "patch": patch})
    },
    ours: |input| {
        let ty = deployment_type();
        patch::strategic(ty.schema(), ty.id(), input["doc"].clone(), input["patch"].clone())
            .map_err(|error| error.to_string())
    },
    errors: &[
        "does not contain declared merge key",
        "unknown patch type",
        "invalid patch format of retainKeys",
        "doesn't match $setElementOrder list",
        "expected a []interface {}, but received a",
        "merging lists cannot yet be specified in the patch",
    ],
    known: &[
        Known {
            why: "strategicpatch/patch.go:1342 walks the patch in the order of a Go map: of two things that are wrong either \
                  may be told",
            is: |_, ours, theirs| ours.is_err() && theirs.is_err(),
        },
        Known {
            why: "strategicpatch/patch.go:1342 walks the patch in the order of a Go map: what is deleted from a list may be \
                  added after that or before",
            is: |input, _, _| input["patch"].to_string().contains("$deleteFromPrimitiveList"),
        },
    ],
    ..Compared::NOTHING
};

fn deployment_type() -> ObjectType {
    ObjectType::find(Schema::builtin(), "apps", "v1", "Deployment").expect("a kind")
}

const NAMES: [&str; 5] = ["a", "b", "c/d", "e~f", "0"];

fn object(dice: &mut Dice, depth: usize) -> Value {
    let mut map = Map::new();
    for name in NAMES {
        if !dice.one_in(3) {
            map.insert(name.to_owned(), tree(dice, depth + 1));
        }
    }
    Value::Object(map)
}

fn tree(dice: &mut Dice, depth: usize) -> Value {
    match dice.roll(if depth < 3 { 9 } else { 6 }) {
        0 => Value::Null,
        1 => json!(1),
        2 => json!("x"),
        3 => json!(true),
        4 => json!(1.5),
        5 => json!({}),
        6 | 7 => object(dice, depth),
        _ => Value::Array((0..dice.roll(4)).map(|_| tree(dice, depth + 1)).collect()),
    }
}

/// A path that mostly leads to something.
fn path(dice: &mut Dice, doc: &Value) -> String {
    let (mut at, mut path) = (doc, String::new());
    for _ in 0..1 + dice.roll(3) {
        let token = match at {
            Value::Object(map) => {
                let name = NAMES[dice.roll(NAMES.len() as u64) as usize];
                at = map.get(name).unwrap_or(&Value::Null);
                name.replace('~', "~0").replace('/', "~1")
            }
            Value::Array(list) => {
                let number = dice.roll(list.len() as u64 + 1);
                at = list.get(number as usize).unwrap_or(&Value::Null);
                match dice.roll(8) {
                    0 => "-".to_owned(),
                    1 => "-1".to_owned(),
                    2 => ["x", "01", "+1", "9", "-9", "99999999999999999999"][dice.roll(6) as usize].to_owned(),
                    _ => number.to_string(),
                }
            }
            _ if dice.one_in(3) => "q".to_owned(),
            _ => break,
        };
        path.push('/');
        path.push_str(&token);
    }
    if dice.one_in(20) { path.trim_start_matches('/').to_owned() } else { path }
}

fn operations(dice: &mut Dice, doc: &Value) -> Value {
    let one = |dice: &mut Dice| {
        let op = ["add", "add", "remove", "replace", "replace", "move", "copy", "test", "what"][dice.roll(9) as usize];
        let mut operation = json!({"op": op, "path": path(dice, doc)});
        if matches!(op, "move" | "copy") && !dice.one_in(10) {
            operation["from"] = path(dice, doc).into();
        }
        if matches!(op, "add" | "replace" | "test") && !dice.one_in(10) {
            let found = operation["path"].as_str().and_then(|path| doc.pointer(path)).cloned();
            operation["value"] = match found {
                Some(value) if op == "test" && !dice.one_in(4) => value,
                _ => tree(dice, 1),
            };
        }
        match dice.roll(30) {
            0 => drop(operation.as_object_mut().map(|map| map.remove("path"))),
            1 => operation["path"] = json!(5),
            2 => operation = json!(5),
            _ => {}
        }
        operation
    };
    (0..1 + dice.roll(2)).map(|_| one(dice)).collect()
}

/// Puts a directive somewhere into a patch.
fn direct(dice: &mut Dice, patch: &mut Value, name: &str) {
    let words = ["delete", "replace", "merge", "what"];
    match patch {
        Value::Object(map)
            if name.is_empty()
                || !dice.one_in(3) && map.values().any(|value| value.is_object() || value.is_array()) =>
        {
            let inner: Vec<String> = map
                .iter()
                .filter(|(name, value)| !name.starts_with('$') && (value.is_object() || value.is_array()))
                .map(|(name, _)| name.clone())
                .collect();
            let Some(name) = inner.get(dice.roll(inner.len().max(1) as u64) as usize) else { return };
            direct_field(dice, map, name);
        }
        Value::Object(map) => match dice.roll(5) {
            0 | 1 => drop(map.insert("$patch".into(), words[dice.roll(4) as usize].into())),
            2 => {
                let mut kept: Vec<Value> = map.keys().map(|name| name.clone().into()).collect();
                if dice.one_in(3) {
                    kept.pop();
                }
                map.insert("$retainKeys".into(), if dice.one_in(6) { json!("x") } else { Value::Array(kept) });
            }
            3 => drop(map.insert("bogus".into(), json!({"a": 1}))),
            _ => drop(map.remove("name")),
        },
        Value::Array(list) if list.first().is_some_and(Value::is_object) && dice.one_in(3) => {
            list.push(json!({"$patch": words[dice.roll(4) as usize], "name": "a"}));
        }
        Value::Array(list) => {
            let at = dice.roll(list.len().max(1) as u64) as usize;
            if let Some(inner) = list.get_mut(at) {
                direct(dice, inner, "element");
            }
        }
        _ => {}
    }
}

fn direct_field(dice: &mut Dice, map: &mut Map<String, Value>, name: &str) {
    match (&map[name], dice.roll(6)) {
        (Value::Array(list), 0) => {
            let key = |one: &Value| match one {
                Value::Object(fields) => fields.get("name").map_or(json!({"name": "z"}), |name| json!({"name": name})),
                other => other.clone(),
            };
            let mut order: Vec<Value> = list.iter().map(key).collect();
            match dice.roll(4) {
                0 => order.reverse(),
                1 => drop(order.pop()),
                _ => {}
            }
            let order = if dice.one_in(8) { json!("x") } else { Value::Array(order) };
            map.insert(format!("$setElementOrder/{name}"), order);
        }
        (Value::Array(list), 1) => {
            let list = if dice.one_in(5) { json!("x") } else { Value::Array(list.clone()) };
            map.insert(format!("$deleteFromPrimitiveList/{name}"), list);
        }
        _ => direct(dice, &mut map[name], name),
    }
}
