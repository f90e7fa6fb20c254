//! OpenAPI v3: an index by content, and for each group and version its paths. Bodies are left out until their schemas are
//! served: kubectl then uses its own types.

use super::Document;
use bytes::Bytes;
use sampan_api::GroupVersionKind;
use sampan_registry::{Resource, ResourceTable, Verbs};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

pub(super) fn documents(table: &ResourceTable, version: &str) -> BTreeMap<String, Document> {
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for row in table.iter() {
        let base = row.gvr().base_path();
        let all = paths.entry(base.trim_start_matches('/').to_owned()).or_insert_with(|| {
            let operation = json!({
                "description": "get available resources",
                "operationId": format!("get{}APIResources", group_word(row)),
                "tags": [tag(row)],
                "responses": ok(),
            });
            Map::from_iter([(format!("{base}/"), json!({ "get": operation }))])
        });
        add_row(all, row, &base);
    }
    let minor: Vec<&str> = version.trim_start_matches('v').split('.').take(2).collect();
    paths
        .into_iter()
        .map(|(at, paths)| {
            let value = json!({
                "openapi": "3.0.0",
                "info": {"title": "Kubernetes", "version": minor.join(".")},
                "paths": paths,
                "components": {"schemas": {}},
            });
            (at, Document::new(&value))
        })
        .collect()
}

pub(super) fn index(documents: &BTreeMap<String, Document>) -> Bytes {
    let paths: Map<String, Value> = documents
        .iter()
        .map(|(at, document)| {
            let url = format!("/openapi/v3/{at}?hash={}", document.hash);
            (at.clone(), json!({ "serverRelativeURL": url }))
        })
        .collect();
    serde_json::to_vec(&json!({ "paths": paths })).unwrap_or_default().into()
}

/// `CoreV1`, `AppsV1`, `RbacAuthorizationV1`.
fn group_word(row: &Resource) -> String {
    let group = if row.group.is_empty() { "core" } else { row.group.as_ref() };
    let words = group.trim_end_matches(".k8s.io").split(['.', '-']);
    words.chain([row.version.as_ref()]).map(capital).collect()
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|first| first.to_ascii_uppercase().to_string() + chars.as_str()).unwrap_or_default()
}

fn tag(row: &Resource) -> String {
    let group = if row.group.is_empty() { "core" } else { row.group.trim_end_matches(".k8s.io") };
    format!("{}_{}", group.replace(['.', '-'], ""), row.version)
}

fn ok() -> Value {
    json!({"200": {"description": "OK"}, "401": {"description": "Unauthorized"}})
}

fn add_row(all: &mut Map<String, Value>, row: &Resource, base: &str) {
    let at = if row.namespaced {
        format!("{base}/namespaces/{{namespace}}/{}", row.resource)
    } else {
        format!("{base}/{}", row.resource)
    };
    let gvk = row.gvk();
    let mut collection = Map::new();
    let mut object = Map::new();
    let has = |verb: Verbs| row.verbs.contains(verb);
    let add = |into: &mut Map<String, Value>, method: &str, action: &str, word: &str, mid: &str| {
        into.insert(method.into(), operation(row, &gvk, action, word, mid, ""));
    };
    if has(Verbs::LIST) {
        add(&mut collection, "get", "list", "list", "");
    }
    if has(Verbs::CREATE) {
        add(&mut collection, "post", "post", "create", "");
    }
    if has(Verbs::DELETE_COLLECTION) {
        add(&mut collection, "delete", "deletecollection", "delete", "Collection");
    }
    if has(Verbs::GET) {
        add(&mut object, "get", "get", "read", "");
    }
    if has(Verbs::UPDATE) {
        add(&mut object, "put", "put", "replace", "");
    }
    if has(Verbs::PATCH) {
        add(&mut object, "patch", "patch", "patch", "");
    }
    if has(Verbs::DELETE) {
        add(&mut object, "delete", "delete", "delete", "");
    }
    for (path, operations) in [(at.clone(), collection), (format!("{at}/{{name}}"), object)] {
        if !operations.is_empty() {
            all.insert(path.clone(), with_parameters(&path, operations));
        }
    }
    if row.namespaced && has(Verbs::LIST) {
        let mut list = operation(row, &gvk, "list", "list", "", "");
        list["operationId"] = format!("list{}{}ForAllNamespaces", group_word(row), row.kind).into();
        let path = format!("{base}/{}", row.resource);
        all.insert(path.clone(), with_parameters(&path, Map::from_iter([("get".to_owned(), list)])));
    }
    for one in &row.subresources {
        let gvk = one.kind.clone().unwrap_or_else(|| gvk.clone());
        let mut operations = Map::new();
        for (verb, method, word) in [
            (Verbs::GET, "get", "read"),
            (Verbs::CREATE, "post", "create"),
            (Verbs::UPDATE, "put", "replace"),
            (Verbs::PATCH, "patch", "patch"),
        ] {
            if one.verbs.contains(verb) {
                let value = operation(row, &gvk, method, word, "", &capital(&one.name));
                operations.insert(method.into(), value);
            }
        }
        let path = format!("{at}/{{name}}/{}", one.name);
        if !operations.is_empty() {
            all.insert(path.clone(), with_parameters(&path, operations));
        }
    }
}

fn operation(row: &Resource, gvk: &GroupVersionKind, action: &str, word: &str, mid: &str, below: &str) -> Value {
    let namespaced = if row.namespaced { "Namespaced" } else { "" };
    let mut value = json!({
        "operationId": format!("{word}{}{mid}{namespaced}{}{below}", group_word(row), row.kind),
        "tags": [tag(row)],
        "responses": ok(),
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": {"group": gvk.group, "version": gvk.version, "kind": gvk.kind},
    });
    if matches!(action, "post" | "put" | "patch") {
        let mut parameters = vec![
            query("dryRun", "When present, indicates that modifications should not be persisted.", "string"),
            query("fieldManager", "The name of the actor that makes the change.", "string"),
            query(
                "fieldValidation",
                "How fields that the kind does not have, and fields given twice, are answered: Ignore, Warn or Strict.",
                "string",
            ),
        ];
        if action == "patch" {
            parameters.push(query("force", "Whether an apply takes over the fields of others.", "boolean"));
        }
        value["parameters"] = parameters.into();
    }
    value
}

fn query(name: &str, description: &str, kind: &str) -> Value {
    json!({"name": name, "in": "query", "description": description, "schema": {"type": kind, "uniqueItems": true}})
}

fn with_parameters(path: &str, mut operations: Map<String, Value>) -> Value {
    let parameter = |name: &str| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "uniqueItems": true}});
    let names = ["namespace", "name"].into_iter().filter(|name| path.contains(&format!("{{{name}}}")));
    let parameters: Vec<Value> = names.map(parameter).collect();
    if !parameters.is_empty() {
        operations.insert("parameters".into(), parameters.into());
    }
    Value::Object(operations)
}
