//! Patches of each sort, and applies, over objects of any kind.

use crate::corpus::{object, typed};
use crate::input::{Input, bend, bent, pick};
use crate::target::{Bound, LINEAR, Target, Verdict};
use sampan_api::limits::NESTING_MAX;
use sampan_schema::apply::{self, Applier, OnConflict};
use sampan_schema::json::strict::{self, PatchForm};
use sampan_schema::managed::{self, Writer};
use sampan_schema::{ObjectType, json as codec, nesting, patch};
use sampan_testing::Dice;
use serde_json::{Map, Value, json};

/// An object in canonical form, and its type.
fn subject(input: &Input) -> (ObjectType, Value) {
    let object: Value = serde_json::from_slice(input.part(0)).unwrap_or_default();
    // What is made shorter says no kind any more.
    let ty = crate::corpus::type_of(&object).unwrap_or_else(crate::bodies::fallback);
    let decoded = codec::from_value(ty.schema(), ty.id(), &object).map(|decoded| decoded.value);
    (ty, decoded.unwrap_or_else(|_| json!({})))
}

/// What a patch leaves is an object of its type, or is refused; once it is one it stays as it is.
fn is_an_object_or_refused(ty: &ObjectType, patched: &Value) -> Verdict {
    let Ok(decoded) = codec::from_value(ty.schema(), ty.id(), patched) else { return Verdict::Refused };
    let again = codec::from_value(ty.schema(), ty.id(), &decoded.value).expect("a canonical object");
    assert_eq!(again.value, decoded.value, "read again it is another");
    Verdict::Taken
}

/// An object and part of another of its kind, or of itself.
fn with_part(dice: &mut Dice) -> Input {
    let (_, value) = typed(dice);
    let (mut part, other) = (value.clone(), object(dice));
    bend(dice, &mut part, other);
    if let Value::Object(map) = &mut part {
        let names: Vec<String> = map.keys().cloned().collect();
        for name in names {
            if dice.one_in(4) {
                map.remove(&name);
            }
        }
    }
    direct(dice, &mut part, 0);
    Input(vec![value.to_string().into_bytes(), bent(dice, part, other)])
}

/// Puts directives of strategic merges into a patch.
fn direct(dice: &mut Dice, patch: &mut Value, depth: usize) {
    match patch {
        Value::Array(list) => {
            if dice.one_in(6) {
                list.push(json!({"$patch": pick(dice, &["delete", "replace", "merge"]), "name": "a"}));
            }
            list.iter_mut().for_each(|inner| direct(dice, inner, depth + 1));
        }
        Value::Object(map) => {
            let names: Vec<String> = map.keys().cloned().collect();
            if let (true, false) = (dice.one_in(8), names.is_empty()) {
                let name = pick(dice, &names).clone();
                let value = map[&name].clone();
                match dice.roll(5) {
                    0 => drop(map.insert(format!("$setElementOrder/{name}"), value)),
                    1 => drop(map.insert(format!("$deleteFromPrimitiveList/{name}"), value)),
                    2 => drop(map.insert("$retainKeys".to_owned(), json!(names))),
                    3 => drop(map.insert(name, Value::Null)),
                    _ => drop(map.insert("$patch".to_owned(), json!(pick(dice, &["delete", "replace", "merge", "x"])))),
                }
            }
            map.values_mut().filter(|_| depth < NESTING_MAX).for_each(|inner| direct(dice, inner, depth + 1));
        }
        _ => {}
    }
}

/// Pointers into a tree, and beside it.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(map) => {
            for (name, inner) in map {
                pointers(inner, &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(index, inner)| pointers(inner, &format!("{at}/{index}"), found));
            found.extend([format!("{at}/-"), format!("{at}/-1"), format!("{at}/{}", list.len())]);
        }
        _ => found.push(format!("{at}/x")),
    }
}

fn operations(dice: &mut Dice, value: &Value) -> Value {
    let mut all = Vec::new();
    pointers(value, "", &mut all);
    let one = |dice: &mut Dice| {
        let op = *pick(dice, &["add", "remove", "replace", "move", "copy", "test", "replace", "remove"]);
        let (path, from) = (pick(dice, &all).clone(), pick(dice, &all).clone());
        let other = pick(dice, &all).as_str();
        let given = value.pointer(other).cloned().unwrap_or_default();
        json!({"op": op, "path": path, "from": from, "value": given})
    };
    let most = *pick(dice, &[1, 1, 2, 6]);
    (0..1 + dice.roll(most)).map(|_| one(dice)).collect()
}

pub const JSON: Target<'_> = Target {
    name: "json patch",
    cases: 800,
    input: &|dice| {
        let (_, value) = typed(dice);
        let (patch, other) = (operations(dice, &value), object(dice));
        let patch = if dice.one_in(2) { patch.to_string().into_bytes() } else { bent(dice, patch, other) };
        Input(vec![value.to_string().into_bytes(), patch])
    },
    read: &|input| {
        let (ty, value) = subject(input);
        let Ok((operations, _)) = strict::patch(input.part(1), PatchForm::Operations) else { return Verdict::Refused };
        match patch::json(value, &operations) {
            Ok(patched) => is_an_object_or_refused(&ty, &patched),
            Err(_) => Verdict::Refused,
        }
    },
    // What is copied has a limit of its own.
    bound: Bound { held: 64 << 20, ..LINEAR },
};

pub const MERGE: Target<'_> = Target {
    name: "merge patch",
    cases: 800,
    input: &|dice| with_part(dice),
    read: &|input| {
        let (ty, value) = subject(input);
        let Ok((part, _)) = strict::patch(input.part(1), PatchForm::Object) else { return Verdict::Refused };
        is_an_object_or_refused(&ty, &patch::merge(value, &part))
    },
    bound: LINEAR,
};

pub const STRATEGIC: Target<'_> = Target {
    name: "strategic merge patch",
    cases: 1_000,
    input: &|dice| with_part(dice),
    read: &|input| {
        let (ty, value) = subject(input);
        let Ok((part, _)) = strict::patch(input.part(1), PatchForm::Object) else { return Verdict::Refused };
        match patch::strategic(ty.schema(), ty.id(), value, part) {
            Ok(patched) => is_an_object_or_refused(&ty, &patched),
            Err(_) => Verdict::Refused,
        }
    },
    bound: LINEAR,
};

fn writer(manager: &str) -> Writer<'_> {
    Writer { manager, subresource: "", time: "2026-01-01T00:00:00Z" }
}

/// Applies to what is there; the object in canonical form. `None`: it is refused.
fn applied(ty: &ObjectType, live: Option<&Value>, config: &Map<String, Value>, on: OnConflict) -> Option<Value> {
    let applier = Applier { writer: writer("a"), conflicts: on, reset: &[] };
    let object = apply::apply(ty, live.and_then(Value::as_object), config, &applier, &managed::one_version).ok()?;
    codec::from_value(ty.schema(), ty.id(), &Value::Object(object)).ok().map(|decoded| decoded.value)
}

/// Whether an element of a list is an empty object, or one with a null in it.
fn has_odd_element(value: &Value) -> bool {
    let odd = |one: &Value| one.as_object().is_some_and(|map| map.is_empty() || map.values().any(Value::is_null));
    match value {
        Value::Array(list) => list.iter().any(|one| odd(one) || has_odd_element(one)),
        Value::Object(map) => map.values().any(has_odd_element),
        _ => false,
    }
}

pub const APPLY: Target<'_> = Target {
    name: "apply",
    cases: 800,
    // An object with entries that a client gave it, and a configuration.
    input: &|dice| {
        let (ty, mut value) = typed(dice);
        if let (true, Some(map)) = (dice.one_in(2), value.as_object_mut()) {
            managed::update(ty.schema(), ty.id(), None, map, writer("b"), &[], &managed::one_version);
        }
        let other = object(dice);
        if let (true, Some(entries)) = (dice.one_in(2), value["metadata"].get_mut("managedFields")) {
            bend(dice, entries, other);
        }
        let mut config = value.clone();
        if let Some(metadata) = config["metadata"].as_object_mut().filter(|_| !dice.one_in(10)) {
            metadata.remove("managedFields");
        }
        bend(dice, &mut config, other);
        Input(vec![value.to_string().into_bytes(), bent(dice, config, other)])
    },
    read: &|input| {
        let (ty, live) = subject(input);
        let Ok(Value::Object(config)) = serde_json::from_slice(input.part(1)) else { return Verdict::Refused };
        // The server says of what is stored which version it is in, and asks a configuration for it.
        let is_versioned = |value: &Value| value["apiVersion"].is_null() || crate::corpus::type_of(value).is_some();
        let asked = Value::Object(config.clone());
        if nesting::exceeds(&asked, NESTING_MAX) || !is_versioned(&live) || !is_versioned(&asked) {
            return Verdict::Refused;
        }
        drop(apply::merged(&ty, live.as_object().unwrap_or(&Map::new()), &config));
        let _ = applied(&ty, Some(&live), &config, OnConflict::Refuse);
        let _ = applied(&ty, None, &config, OnConflict::Refuse);
        let Some(once) = applied(&ty, Some(&live), &config, OnConflict::Take) else { return Verdict::Refused };
        let twice = applied(&ty, Some(&once), &config, OnConflict::Refuse).expect("nobody else owns it now");
        // An element of which a manager says nothing comes and goes, and one whose key is null comes once more, as Kubernetes
        // has it.
        assert!(twice == once || has_odd_element(&asked), "applied again it is another: {twice}, {once}");
        Verdict::Taken
    },
    // Five applies.
    bound: Bound { turnover: 80, held_a_byte: 1_200, ..LINEAR },
};
