//! Sequences of applies and updates of one object by several managers.

use crate::{Answer, Compared, Known};
use sampan_schema::apply::{self, Applier, ApplyError, OnConflict};
use sampan_schema::managed::{self, Writer};
use sampan_schema::{ObjectType, Schema, json as codec, stored};
use sampan_testing::Dice;
use serde_json::{Map, Value, json};

pub const APPLY: Compared = Compared {
    of: "apply",
    input: sequence,
    ours,
    heard: |_, answer| answer.map(timeless).map_err(|error| ordered(&error)),
    errors: &[
        "Apply failed with 1 conflict: conflict with",
        "using v1: .",
        "Apply failed with 2 conflicts: conflicts with",
        "metadata.managedFields must be nil",
        "field not declared in schema",
        "expected numeric (int or float), got",
        "expected string, got &value.valueUnstructured{Value:",
        "expected boolean, got &{",
        "expected map, got &{",
        "expected list, got &{",
        "duplicate entries for key [",
        "duplicate entries for key [=",
        "may not have non-map elements",
        "has an element that's a map type",
        "invalid object type",
    ],
    known: &[
        Known {
            why: "runtime/converter.go tells of several values that do not fit the first in the order of a struct's fields",
            is: |_, ours, theirs| matches!((ours, theirs), (Err(a), Err(b)) if a.contains(CONVERT) && b.contains(CONVERT)),
        },
        Known {
            why: "the oracle's schema is client-go's (applyconfigurations/internal/internal.go), where a number or a text is a \
                scalar; the server's is of OpenAPI v3 (structured-merge-diff/schema/conv), where it has no type",
            is: |_, ours, theirs| ours.is_err() && matches!(theirs, Err(text) if text.contains("expected any scalar")),
        },
    ],
};

const CONVERT: &str = "failed to convert new object";

/// The lines of an error that has several in the order of a Go map.
fn ordered(error: &str) -> String {
    if !error.contains("errors:\n") {
        return error.to_owned();
    }
    let mut lines: Vec<&str> = error.lines().collect();
    lines[1..].sort_unstable();
    lines.join("\n")
}

/// The object without the times of its entries, but for whether they have any.
fn timeless(mut object: Value) -> Value {
    for entry in object["metadata"]["managedFields"].as_array_mut().into_iter().flatten() {
        if let Some(time) = entry.get_mut("time") {
            *time = json!("then");
        }
    }
    if let Some(Value::Array(list)) = object["metadata"].get_mut("managedFields") {
        list.sort_by_key(Value::to_string);
    }
    object
}

/// Makes an object of a kind.
type Make = fn(&mut Dice) -> Value;

const KINDS: [(&str, &str, Make); 4] =
    [("", "ConfigMap", config_map), ("", "Service", service), ("", "Pod", pod), ("apps", "Deployment", deployment)];

fn api_version(group: &str) -> String {
    if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") }
}

fn sequence(dice: &mut Dice) -> Value {
    let (group, kind, make) = KINDS[dice.roll(KINDS.len() as u64) as usize];
    let steps: Vec<Value> = (0..2 + dice.roll(5))
        .map(|_| {
            let apply = !dice.one_in(3);
            let mut object = make(dice);
            object["apiVersion"] = api_version(group).into();
            object["kind"] = kind.into();
            object["metadata"]["name"] = "a".into();
            if apply && dice.one_in(9) {
                spoil(dice, &mut object);
            }
            let manager = ["m1", "m2", "m3", "kubectl"][dice.roll(4) as usize];
            json!({"apply": apply, "force": dice.one_in(2), "manager": manager, "object": object})
        })
        .collect();
    json!({"group": group, "version": "v1", "kind": kind, "steps": steps})
}

/// Puts something that does not belong there somewhere into an object.
fn spoil(dice: &mut Dice, object: &mut Value) {
    match dice.roll(16) {
        0 => object["metadata"]["managedFields"] = json!([]),
        1 => object["kind"] = "Other".into(),
        _ => spoil_below(dice, object, 0),
    }
}

fn spoil_below(dice: &mut Dice, value: &mut Value, depth: usize) {
    let wrong = [json!("x"), json!(5), json!(1.5), json!(true), json!({"q": 1}), json!([1]), json!({}), Value::Null];
    let wrong = |dice: &mut Dice| wrong[dice.roll(8) as usize].clone();
    let deeper = depth < 3 || !dice.one_in(3);
    match value {
        Value::Object(map) if dice.one_in(6) && depth > 0 => drop(map.insert("bogus".into(), wrong(dice))),
        Value::Object(map) => {
            let names: Vec<String> = map
                .keys()
                .filter(|name| depth > 0 || !matches!(name.as_str(), "apiVersion" | "kind"))
                .cloned()
                .collect();
            let Some(name) = names.get(dice.roll(names.len().max(1) as u64) as usize) else { return };
            let inner = &mut map[name];
            if deeper && (inner.is_object() || inner.is_array()) {
                spoil_below(dice, inner, depth + 1);
            } else {
                *inner = wrong(dice);
            }
        }
        Value::Array(list) => match dice.roll(4) {
            0 => list.push(wrong(dice)),
            1 if !list.is_empty() => list.push(list[0].clone()),
            2 => list.push(json!({"image": "x"})),
            _ => {
                let at = dice.roll(list.len().max(1) as u64) as usize;
                if let Some(inner) = list.get_mut(at) {
                    spoil_below(dice, inner, depth + 1);
                }
            }
        },
        other => *other = wrong(dice),
    }
}

/// A map of some of the names, each with one of the values.
fn some(dice: &mut Dice, names: &[&str], values: &[Value]) -> Value {
    let mut map = Map::new();
    for name in names {
        if dice.one_in(2) {
            map.insert((*name).to_owned(), values[dice.roll(values.len() as u64) as usize].clone());
        }
    }
    Value::Object(map)
}

/// A list of some of the elements, in any order.
fn several(dice: &mut Dice, make: &[&dyn Fn(&mut Dice) -> Value]) -> Value {
    let mut list: Vec<Value> = Vec::new();
    for one in make {
        if dice.one_in(2) {
            let at = dice.roll(list.len() as u64 + 1) as usize;
            list.insert(at, one(dice));
        }
    }
    Value::Array(list)
}

/// Sets a field, mostly; else it is absent, empty or null.
fn maybe(dice: &mut Dice, map: &mut Value, name: &str, make: impl FnOnce(&mut Dice) -> Value) {
    match dice.roll(12) {
        0..=3 => {}
        4 => map[name] = Value::Null,
        _ => map[name] = make(dice),
    }
}

fn metadata(dice: &mut Dice) -> Value {
    let mut meta = json!({});
    maybe(dice, &mut meta, "labels", |dice| some(dice, &["a", "b"], &[json!("1"), json!("2")]));
    if dice.one_in(4) {
        maybe(dice, &mut meta, "annotations", |dice| some(dice, &["a", "b"], &[json!("1"), json!("2")]));
    }
    if dice.one_in(4) {
        maybe(dice, &mut meta, "finalizers", |dice| {
            several(dice, &[&|_| json!("x.io/a"), &|_| json!("x.io/b"), &|_| json!("x.io/c")])
        });
    }
    if dice.one_in(4) {
        let owner = |uid: &'static str| {
            move |dice: &mut Dice| {
                let name = if dice.one_in(2) { "p" } else { "q" };
                json!({"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid})
            }
        };
        maybe(dice, &mut meta, "ownerReferences", |dice| several(dice, &[&owner("1"), &owner("2")]));
    }
    meta
}

fn config_map(dice: &mut Dice) -> Value {
    let mut object = json!({"metadata": metadata(dice)});
    maybe(dice, &mut object, "data", |dice| some(dice, &["a", "b", "c"], &[json!("1"), json!("2")]));
    if dice.one_in(4) {
        object["immutable"] = dice.one_in(2).into();
    }
    object
}

fn service(dice: &mut Dice) -> Value {
    let port = |number: u64| {
        move |dice: &mut Dice| {
            let mut port = json!({"port": number});
            if dice.one_in(2) {
                port["protocol"] = json!("TCP");
            } else if dice.one_in(4) {
                port["protocol"] = json!("UDP");
            }
            if dice.one_in(3) {
                port["targetPort"] = [json!(8080), json!("http")][dice.roll(2) as usize].clone();
            }
            if dice.one_in(3) {
                port["name"] = ["a", "b"][dice.roll(2) as usize].into();
            }
            port
        }
    };
    let mut spec = json!({});
    maybe(dice, &mut spec, "ports", |dice| several(dice, &[&port(80), &port(81), &port(443)]));
    maybe(dice, &mut spec, "selector", |dice| some(dice, &["a", "b"], &[json!("1"), json!("2")]));
    if dice.one_in(3) {
        spec["type"] = ["ClusterIP", "NodePort"][dice.roll(2) as usize].into();
    }
    if dice.one_in(4) {
        spec["externalIPs"] = several(dice, &[&|_| json!("1.1.1.1"), &|_| json!("1.1.1.2")]);
    }
    let mut object = json!({"metadata": metadata(dice)});
    maybe(dice, &mut object, "spec", |_| spec);
    object
}

fn container(dice: &mut Dice, name: &str) -> Value {
    let mut one = json!({"name": name});
    maybe(dice, &mut one, "image", |dice| ["1", "2"][dice.roll(2) as usize].into());
    if dice.one_in(3) {
        let variable = |name: &'static str| {
            move |dice: &mut Dice| {
                let value = ["1", "2"][dice.roll(2) as usize];
                json!({"name": name, "value": value})
            }
        };
        maybe(dice, &mut one, "env", |dice| several(dice, &[&variable("A"), &variable("B"), &variable("C")]));
    }
    if dice.one_in(3) {
        let port = |number: u64| {
            move |dice: &mut Dice| {
                if dice.one_in(2) {
                    json!({"containerPort": number, "protocol": "TCP"})
                } else {
                    json!({"containerPort": number})
                }
            }
        };
        maybe(dice, &mut one, "ports", |dice| several(dice, &[&port(80), &port(81)]));
    }
    if dice.one_in(4) {
        maybe(dice, &mut one, "args", |dice| several(dice, &[&|_| json!("a"), &|_| json!("b")]));
    }
    if dice.one_in(3) {
        one["resources"] = json!({"limits": some(dice, &["cpu", "memory"], &[json!("1"), json!("2")])});
    }
    if dice.one_in(4) {
        one["tty"] = dice.one_in(2).into();
    }
    one
}

fn pod_spec(dice: &mut Dice) -> Value {
    let mut spec = json!({});
    maybe(dice, &mut spec, "containers", |dice| {
        several(dice, &[&|dice| container(dice, "a"), &|dice| container(dice, "b"), &|dice| container(dice, "c")])
    });
    if dice.one_in(3) {
        maybe(dice, &mut spec, "nodeSelector", |dice| some(dice, &["a", "b"], &[json!("1"), json!("2")]));
    }
    if dice.one_in(3) {
        let toleration = |key: &'static str| move |_: &mut Dice| json!({"key": key, "operator": "Exists"});
        maybe(dice, &mut spec, "tolerations", |dice| several(dice, &[&toleration("a"), &toleration("b")]));
    }
    if dice.one_in(3) {
        let volume = |name: &'static str| {
            move |dice: &mut Dice| match dice.roll(3) {
                0 => json!({"name": name}),
                1 => json!({"name": name, "emptyDir": {}}),
                _ => json!({"name": name, "configMap": {"name": "x"}}),
            }
        };
        maybe(dice, &mut spec, "volumes", |dice| several(dice, &[&volume("a"), &volume("b")]));
    }
    if dice.one_in(4) {
        spec["terminationGracePeriodSeconds"] = dice.roll(2).into();
    }
    if dice.one_in(4) {
        spec["topologySpreadConstraints"] = several(
            dice,
            &[
                &|dice| json!({"topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule", "maxSkew": dice.roll(2)}),
                &|_| json!({"topologyKey": "z", "whenUnsatisfiable": "ScheduleAnyway", "maxSkew": 1}),
            ],
        );
    }
    spec
}

fn pod(dice: &mut Dice) -> Value {
    let mut object = json!({"metadata": metadata(dice)});
    maybe(dice, &mut object, "spec", pod_spec);
    object
}

pub fn deployment(dice: &mut Dice) -> Value {
    let mut spec = json!({});
    maybe(dice, &mut spec, "replicas", |dice| dice.roll(3).into());
    maybe(
        dice,
        &mut spec,
        "selector",
        |dice| json!({"matchLabels": some(dice, &["a", "b"], &[json!("1"), json!("2")])}),
    );
    maybe(dice, &mut spec, "template", |dice| {
        let mut template = json!({});
        if dice.one_in(2) {
            template["metadata"] = json!({"labels": some(dice, &["a", "b"], &[json!("1"), json!("2")])});
        }
        maybe(dice, &mut template, "spec", pod_spec);
        template
    });
    if dice.one_in(4) {
        spec["strategy"] =
            json!({"rollingUpdate": some(dice, &["maxSurge", "maxUnavailable"], &[json!(1), json!("50%")])});
    }
    let mut object = json!({"metadata": metadata(dice)});
    maybe(dice, &mut object, "spec", |_| spec);
    object
}

fn ours(input: &Value) -> Answer {
    let text = |name: &str| input[name].as_str().unwrap_or_default();
    let ty = ObjectType::find(Schema::builtin(), text("group"), text("version"), text("kind")).expect("a kind");
    let mut live: Option<Value> = None;
    for step in input["steps"].as_array().into_iter().flatten() {
        let next = if step["apply"] == true {
            applied(&ty, live.as_ref(), input, step)
        } else {
            updated(&ty, live.as_ref(), step)
        };
        let mut next = next.map_err(|error| ordered(&error))?;
        next["metadata"]["uid"] = "u".into();
        stored::settle(&ty, next.as_object_mut().expect("an object"));
        live = Some(next);
    }
    Ok(timeless(live.unwrap_or_default()))
}

fn writer(step: &Value) -> Writer<'_> {
    Writer { manager: step["manager"].as_str().unwrap_or_default(), subresource: "", time: "2026-01-01T00:00:00Z" }
}

fn applied(ty: &ObjectType, live: Option<&Value>, input: &Value, step: &Value) -> Result<Value, String> {
    let config = step["object"].as_object().expect("an object");
    // The API server's own check, which comes first.
    if config["kind"] != input["kind"] {
        let version = config["apiVersion"].as_str().unwrap_or_default();
        let slash = if version.contains('/') { "" } else { "/" };
        return Err(format!(
            "invalid object type: {slash}{version}, Kind={}",
            config["kind"].as_str().unwrap_or_default()
        ));
    }
    let conflicts = if step["force"] == true { OnConflict::Take } else { OnConflict::Refuse };
    let applier = Applier { writer: writer(step), conflicts, reset: &[] };
    let applied = apply::apply(ty, live.and_then(Value::as_object), config, &applier, &|_, _| None);
    let applied = applied.map_err(|error: ApplyError| error.to_string())?;
    let decoded = codec::restore(ty.schema(), ty.id(), &Value::Object(applied));
    decoded.map(|decoded| decoded.value).map_err(|error| format!("failed to convert new object: {error}"))
}

fn updated(ty: &ObjectType, live: Option<&Value>, step: &Value) -> Result<Value, String> {
    let decoded = codec::from_value(ty.schema(), ty.id(), &step["object"]).map_err(|error| error.to_string())?;
    let mut next = decoded.value;
    let fields = next.as_object_mut().expect("an object");
    managed::update(
        ty.schema(),
        ty.id(),
        live.and_then(Value::as_object),
        fields,
        writer(step),
        &[],
        &managed::one_version,
    );
    Ok(next)
}
