//! The kinds' rules against recorded exchanges of a real server: each write's errors, all of them, in order, with their
//! words. What the generic registry checks itself (metadata) is left out on both sides.

use super::tests::reference;
use crate::resource::{Body, Resource};
use crate::strategy::Context;
use sampan_api::field::FieldErrors;
use sampan_api::object::Object;
use sampan_api::user::UserInfo;
use sampan_schema::{Schema, TypeId, default, json, patch};
use serde_json::Value;
use std::collections::HashMap;
use std::time::SystemTime;

/// The writes whose errors agree, at least: (file, count). Raised as more do.
const FLOORS: &[(&str, usize)] =
    &[("validation", 157), ("updates", 85), ("defaulting", 116), ("patches", 40), ("misc", 72), ("reads", 109)];

struct Target {
    row: Resource,
    namespace: String,
    name: String,
    subresource: String,
    /// Without the subresource and the query.
    path: String,
}

/// What the path names; `None` where it is no write of a stored kind.
fn target(rows: &[Resource], path: &str) -> Option<Target> {
    let path = path.split('?').next()?;
    let mut parts = path.trim_matches('/').split('/');
    let group = match parts.next()? {
        "api" => "",
        "apis" => parts.next()?,
        _ => return None,
    };
    let version = parts.next()?;
    let rest: Vec<&str> = parts.collect();
    let (namespace, rest) = match rest.as_slice() {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() && !matches!(rest[0], "status" | "finalize") => {
            (*namespace, rest.to_vec())
        }
        _ => ("", rest.clone()),
    };
    let row =
        rows.iter().find(|r| r.group == group && r.version == version && Some(&r.resource.as_ref()) == rest.first())?;
    if row.body != Body::Stored {
        return None;
    }
    let part = |index: usize| rest.get(index).copied().unwrap_or("").to_owned();
    let prefix = path.split(&format!("/{}", row.resource)).next()?;
    let path = format!("{prefix}/{}/{}", row.resource, part(1));
    Some(Target { row: row.clone(), namespace: namespace.to_owned(), name: part(1), subresource: part(2), path })
}

/// Placeholders that stand for what a server allots.
fn realistic(value: &Value) -> Value {
    let text = value
        .to_string()
        .replace("<clusterIPv4>", "10.96.7.7")
        .replace("\"<nodePort>\"", "31234")
        .replace("<time>", "2026-01-02T03:04:05Z")
        .replace("<microtime>", "2026-01-02T03:04:05.000000Z");
    serde_json::from_str(&text).expect("still JSON")
}

/// Placeholders that stand in names and in messages alike.
fn readable(line: &str) -> String {
    let mut text = line.replace("${ns}", "golden").replace("<gen>", "abcde");
    for number in 1..10 {
        text = text.replace(&format!("<uid:{number}>"), &format!("7ad6a8f8-0000-4000-8000-00000000000{number}"));
    }
    text
}

fn causes(errors: FieldErrors) -> Vec<String> {
    errors
        .into_iter()
        .map(|e| format!("{}|{}|{}", e.kind.reason(), e.field, e.body()))
        .filter(|e| !generic(e))
        .collect()
}

/// Whether the generic registry finds it.
fn generic(cause: &str) -> bool {
    let field = cause.split('|').nth(1).unwrap_or("");
    let own = field.starts_with("metadata.annotations[")
        || field.starts_with("metadata.taints")
        || (field == "metadata.name" && cause.contains("will not able"));
    field.starts_with("metadata.") && !own
}

struct Recorder<'a> {
    rows: &'a [Resource],
    schema: &'static Schema,
    user: UserInfo,
    objects: HashMap<String, Object>,
}

impl Recorder<'_> {
    fn type_id(&self, row: &Resource) -> Option<TypeId> {
        self.schema.type_of(&row.gvk())
    }

    fn decoded(&self, target: &Target, body: &Value) -> Option<Object> {
        let type_id = self.type_id(&target.row)?;
        let mut value = json::from_value(self.schema, type_id, &realistic(body)).ok()?.value;
        default::apply(self.schema, type_id, &mut value);
        let mut object = Object::from_value(value)?;
        if target.row.namespaced {
            object.set_meta("namespace", target.namespace.as_str());
        }
        if let Some(stored) = &target.row.stored_as {
            (stored.to_storage)(&mut object);
        }
        Some(object)
    }

    fn context<'a>(&'a self, target: &'a Target) -> Context<'a> {
        Context {
            user: &self.user,
            now: SystemTime::UNIX_EPOCH,
            subresource: &target.subresource,
            namespace: &target.namespace,
        }
    }

    fn create(&self, target: &Target, body: &Value) -> Option<(Object, Vec<String>)> {
        let mut object = self.decoded(target, body)?;
        if object.name().is_empty() && !object.generate_name().is_empty() {
            let name = format!("{}abcde", object.generate_name());
            object.set_meta("name", name);
        }
        object.set_meta("uid", "7ad6a8f8-6b5e-4a8f-9a36-0b8d4d2b1a11");
        if target.row.has_status() {
            object.remove(&["status"]);
        }
        // The recorded server's admission gave it.
        if target.row.resource == "pods" && object.get(&["spec", "serviceAccountName"]).is_none() {
            object.set(&["spec", "serviceAccountName"], "default");
        }
        let ctx = self.context(target);
        let strategy = &target.row.strategy;
        strategy.prepare_for_create(&ctx, &mut object);
        let found = causes(strategy.validate(&ctx, &object));
        Some((object, found))
    }

    fn update(&self, target: &Target, step: &Value) -> Option<(Object, Vec<String>)> {
        let old = self.objects.get(&target.path)?;
        let body = &step["body"];
        let type_id = self.type_id(&target.row)?;
        let value = match step["method"].as_str()? {
            "PUT" => body.clone(),
            _ => {
                let media =
                    step["headers"].as_object()?.iter().find(|(k, _)| k.eq_ignore_ascii_case("content-type"))?.1;
                let current = realistic(&old.to_value());
                match media.as_str()?.split(';').next()? {
                    "application/merge-patch+json" => patch::merge(&current, body),
                    "application/strategic-merge-patch+json" => {
                        patch::strategic(self.schema, type_id, &current, body).ok()?
                    }
                    "application/json-patch+json" => patch::json(&current, body).ok()?,
                    _ => return None,
                }
            }
        };
        let mut object = self.decoded(target, &value)?;
        let mut old = self.decoded(target, &old.to_value())?;
        if let Some(uid) = old.metadata().get("uid").cloned() {
            object.set_meta("uid", uid);
        }
        old.metadata_mut().remove("managedFields");
        if target.row.has_status() {
            let part = if target.subresource == "status" { "spec" } else { "status" };
            if target.subresource.is_empty() || target.subresource == "status" {
                match old.get(&[part]).cloned() {
                    Some(value) => object.set(&[part], value),
                    None => {
                        object.remove(&[part]);
                    }
                }
            }
        }
        let ctx = self.context(target);
        let strategy = &target.row.strategy;
        strategy.prepare_for_update(&ctx, &mut object, &old);
        let found = causes(strategy.validate_update(&ctx, &object, &old));
        Some((object, found))
    }

    /// Whether the step's errors agree; `None` where it is nothing to compare.
    fn step(&mut self, id: &str, step: &Value) -> Option<bool> {
        let path = step["path"].as_str()?;
        let method = step["method"].as_str()?;
        let response = &step["response"];
        let status = response["status"].as_i64()?;
        let target = target(self.rows, path)?;
        let answer = &response["body"];
        let wanted: Vec<String> = match status {
            200 | 201 => Vec::new(),
            422 => {
                let all: Vec<String> = answer["details"]["causes"]
                    .as_array()?
                    .iter()
                    .map(|c| {
                        let text = |name: &str| c[name].as_str().unwrap_or("").to_owned();
                        format!("{}|{}|{}", text("reason"), text("field"), text("message"))
                    })
                    .collect();
                let own: Vec<String> = all.iter().filter(|cause| !generic(cause)).cloned().collect();
                if own.is_empty() {
                    return None;
                }
                own
            }
            _ => return None,
        };
        let found = match method {
            "POST" if target.name.is_empty() && step["body"].is_object() => self.create(&target, &step["body"]),
            "PUT" | "PATCH" if !step["body"].is_null() => {
                let scale = matches!(target.subresource.as_str(), "scale" | "binding" | "eviction");
                if scale { None } else { self.update(&target, step) }
            }
            _ => None,
        };
        if (200..300).contains(&status) {
            // As it came back, or, where the recording leaves that out, as it was made.
            let answered = (answer["kind"] == target.row.kind.as_ref()).then(|| Object::from_value(answer.clone()));
            if let Some(object) = answered.flatten().or_else(|| found.as_ref().map(|(object, _)| object.clone())) {
                let path = match method {
                    "POST" if target.name.is_empty() => format!("{}{}", target.path, object.name()),
                    _ => target.path.clone(),
                };
                self.objects.insert(path, object);
            }
        }
        let (mut found, mut wanted) = (found?.1, wanted);
        // Go's maps have no order: where they decide, the recording says so.
        if step.get("unordered").is_some() {
            found.sort();
            wanted.sort();
        }
        let agree = found == wanted;
        if !agree {
            println!("{id} {method} {path}\n  found  {found:#?}\n  wanted {wanted:#?}");
        }
        Some(agree)
    }
}

#[test]
fn errors_are_those_of_the_real_server() {
    let rows = super::all();
    for (file, floor) in FLOORS {
        let Some(text) = reference(&format!("golden/{file}.jsonl")) else {
            println!("{file}: 0 of {floor} compared: no reference");
            continue;
        };
        let (mut agreed, mut compared) = (0, 0);
        for line in text.lines() {
            let case: Value = serde_json::from_str(&readable(line)).expect("a case is JSON");
            let mut recorder =
                Recorder { rows: &rows, schema: Schema::builtin(), user: UserInfo::default(), objects: HashMap::new() };
            for step in case["steps"].as_array().into_iter().flatten() {
                if let Some(agree) = recorder.step(case["id"].as_str().unwrap_or(""), step) {
                    compared += 1;
                    agreed += usize::from(agree);
                }
            }
        }
        println!("{file}: {agreed} of {compared} agree");
        assert!(agreed >= *floor, "{file}: {agreed} of {compared} agree, {floor} did");
    }
}

/// What is not recorded in full (a selector made of a uid) cannot agree.
const CELLS_PERCENT: usize = 95;

/// A cell that the recording made anonymous.
fn anonymous(cell: &Value) -> bool {
    cell.as_str()
        .is_some_and(|text| ["<age>", "<time>", "<clusterIPv4>", "<nodePort>"].iter().any(|mark| text.contains(mark)))
}

#[test]
fn cells_are_those_of_the_real_server() {
    let rows = super::all();
    let Some(text) = reference("golden/reads.jsonl") else {
        println!("0 of 0 cells compared: no reference");
        return;
    };
    let (mut compared, mut agreed) = (0, 0);
    for line in text.lines() {
        let case: Value = serde_json::from_str(&readable(line)).expect("a case is JSON");
        let mut recorder =
            Recorder { rows: &rows, schema: Schema::builtin(), user: UserInfo::default(), objects: HashMap::new() };
        for step in case["steps"].as_array().into_iter().flatten() {
            // Keeps the objects as they come back.
            recorder.step("", step);
            let table = &step["response"]["body"];
            let Some(target) = step["path"].as_str().and_then(|path| target(&rows, path)) else { continue };
            if table["kind"] != "Table" || step["method"] != "GET" {
                continue;
            }
            let columns = target.row.columns.as_ref().expect("a stored kind has columns");
            for row in table["rows"].as_array().into_iter().flatten() {
                let name = row["cells"][0].as_str().unwrap_or("").trim_end_matches(" (default)");
                let path = if target.name.is_empty() { format!("{}{name}", target.path) } else { target.path.clone() };
                let Some(object) = recorder.objects.get(&path) else { continue };
                let object = Object::from_value(realistic(&object.to_value())).expect("an object");
                let cells = (columns.cells)(&object, SystemTime::UNIX_EPOCH);
                let wanted = realistic(&row["cells"]);
                for (index, want) in wanted.as_array().into_iter().flatten().enumerate() {
                    if anonymous(&row["cells"][index]) {
                        continue;
                    }
                    compared += 1;
                    if &cells[index] == want {
                        agreed += 1;
                    } else {
                        println!("{}: {}: {} is not {want}", case["id"], columns.definitions[index].name, cells[index]);
                    }
                }
                let conditions = columns.conditions.map(|conditions| conditions(&object)).unwrap_or_default();
                let wanted = row["conditions"].as_array().cloned().unwrap_or_default();
                assert_eq!(conditions, wanted, "{}: conditions", case["id"]);
            }
        }
    }
    println!("{agreed} of {compared} cells agree");
    assert!(agreed * 100 >= compared * CELLS_PERCENT, "{agreed} of {compared} cells agree");
}
