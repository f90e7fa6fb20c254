//! OpenAPI as clients read it: against what the real server publishes, and in itself.

mod support;

use sampan_testing::reference::{self, Comparison};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use support::{Answer, Server, server};

const PROTOBUF_2: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
const PROTOBUF_3: &str = "application/com.github.proto-openapi.spec.v3@v1.0+protobuf";

/// Kinds that are known in every group and version: the real server also lists those that it does not serve.
const EVERYWHERE: [&str; 2] = ["DeleteOptions", "WatchEvent"];

fn without_texts(value: &Value) -> Value {
    match value {
        // A property may be called `description` too.
        Value::Object(map) => map
            .iter()
            .filter(|(name, value)| *name != "description" || !value.is_string())
            .map(|(name, value)| match value {
                // What is required has no order.
                Value::Array(list) if name == "required" => {
                    let mut names: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
                    names.sort_unstable();
                    (name.clone(), names.into())
                }
                value => (name.clone(), without_texts(value)),
            })
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(list) => list.iter().map(without_texts).collect(),
        other => other.clone(),
    }
}

fn reference_json(file: &str) -> Option<Value> {
    Some(serde_json::from_str(&reference::text(file)?).expect("JSON"))
}

fn members(value: &Value) -> &Map<String, Value> {
    value.as_object().expect("an object")
}

/// All that a document refers to.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            if let Some(reference) = map.get("$ref").and_then(Value::as_str) {
                found.insert(reference.to_owned());
            }
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

fn check_references(name: &str, document: &Value) {
    let mut found = BTreeSet::new();
    references(document, &mut found);
    // A property of JSONSchemaProps is called `$ref`, whose value here is a schema and no text.
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{name}: {reference}"));
        assert!(document.pointer(pointer).is_some(), "{name} refers to {reference}, which is not there");
    }
}

async fn get(server: &Server, path: &str, headers: &[(&str, &str)]) -> Answer {
    server.call_with("GET", path, headers, "").await
}

#[tokio::test]
async fn definitions_and_paths_are_those_of_the_real_server() {
    let (Some(definitions), Some(paths)) =
        (reference_json("definitions-v1.35.json"), reference_json("paths-v1.35.json"))
    else {
        return;
    };
    let server = server().await;
    let ours = get(&server, "/openapi/v2", &[]).await.json();
    check_references("v2", &ours);
    let mut comparison = Comparison::of_list("OpenAPI v2", include_str!("openapi-known.tsv"));
    let compare = |comparison: &mut Comparison, case: &str, ours: Option<&Value>, theirs: &Value| {
        let differs = match ours {
            None => Some("is missing".to_owned()),
            Some(ours) => (ours != theirs).then(|| format!("ours   {ours}\n  theirs {theirs}")),
        };
        comparison.case(case, differs);
    };
    for (name, theirs) in members(&definitions) {
        let found = ours["definitions"].get(name).map(without_texts);
        let mut theirs = without_texts(theirs);
        if EVERYWHERE.iter().any(|kind| name.ends_with(&format!(".{kind}")))
            && let (Some(found), Some(theirs)) = (&found, theirs.as_object_mut())
        {
            theirs.insert("x-kubernetes-group-version-kind".into(), found["x-kubernetes-group-version-kind"].clone());
        }
        compare(&mut comparison, name, found.as_ref(), &theirs);
    }
    let of = |operation: &Value, name: &str| operation.get(name).cloned().unwrap_or(Value::Null);
    for (path, methods) in members(&paths) {
        for (method, theirs) in members(methods) {
            let found = ours["paths"].get(path).and_then(|item| item.get(method)).map(|operation| {
                serde_json::json!({
                    "action": of(operation, "x-kubernetes-action"),
                    "consumes": of(operation, "consumes"),
                    "gvk": of(operation, "x-kubernetes-group-version-kind"),
                    "operationId": of(operation, "operationId"),
                    "produces": of(operation, "produces"),
                })
            });
            compare(&mut comparison, &format!("{method} {path}"), found.as_ref(), theirs);
        }
    }
    comparison.finish(1366);
}

#[tokio::test]
async fn documents_of_group_versions_are_whole_and_named_by_content() {
    let server = server().await;
    let index = get(&server, "/openapi/v3", &[]).await.json();
    let paths = members(&index["paths"]);
    for path in ["api", "apis", "apis/apps", "api/v1", "apis/apps/v1", "apis/scheduling.sampan.dev/v1alpha1", "version"]
    {
        assert!(paths.contains_key(path), "{path}");
    }
    for (path, entry) in paths {
        let url = entry["serverRelativeURL"].as_str().expect("an address");
        let answer = get(&server, url, &[]).await;
        assert_eq!((answer.code, answer.header("content-type")), (200, "application/json"), "{path}");
        assert_eq!(answer.header("cache-control"), "public, immutable");
        assert!(answer.header("expires").ends_with(" GMT"), "{}", answer.header("expires"));
        let hash = url.split("hash=").nth(1).expect("a hash");
        assert_eq!(answer.header("etag"), format!("\"{hash}\""));
        let document = answer.json();
        assert_eq!(document["openapi"], "3.0.0");
        check_references(path, &document);
        for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            for field in required {
                assert!(schema["properties"].get(field).is_some(), "{path} {name}: {field}");
            }
        }
        let again = get(&server, url, &[("if-none-match", answer.header("etag"))]).await;
        assert_eq!((again.code, again.bytes.len()), (304, 0), "{path}");
        let plain = get(&server, &format!("/openapi/v3/{path}"), &[]).await;
        assert_eq!((plain.header("cache-control"), &plain.bytes), ("no-cache, private", &answer.bytes));
        let old = get(&server, &format!("/openapi/v3/{path}?hash=OLD"), &[]).await;
        assert_eq!((old.code, old.header("location")), (301, url), "{path}");
    }
    assert_eq!(get(&server, "/openapi/v3/apis/nope", &[]).await.code, 404);
    let yaml = get(&server, "/openapi/v3/api/v1", &[("accept", "application/yaml")]).await;
    assert_eq!(yaml.code, 406);
}

#[tokio::test]
async fn schemas_say_what_clients_need_of_them() {
    let server = server().await;
    let core = get(&server, "/openapi/v3/api/v1", &[]).await.json();
    let check = |document: &Value, pointer: &str, expected: Value| {
        assert_eq!(document.pointer(pointer), Some(&expected), "{pointer}");
    };
    let schemas = "/components/schemas/io.k8s.api.core.v1";
    let text = "#/components/schemas/io.k8s.api.core.v1";
    check(
        &core,
        &format!("{schemas}.PodSpec/properties/containers/items"),
        serde_json::json!({
            "allOf": [{"$ref": format!("{text}.Container")}],
            "default": {},
        }),
    );
    check(&core, &format!("{schemas}.ServicePort/properties/protocol/enum"), serde_json::json!(["SCTP", "TCP", "UDP"]));
    check(&core, &format!("{schemas}.ServicePort/properties/port/default"), 0.into());
    check(&core, "/components/schemas/io.k8s.apimachinery.pkg.api.resource.Quantity/oneOf/1/type", "number".into());
    let create = "/paths/~1api~1v1~1namespaces~1{namespace}~1pods/post";
    check(&core, &format!("{create}/requestBody/content/*~1*/schema/$ref"), format!("{text}.Pod").into());
    check(
        &core,
        &format!("{create}/responses/201/content/application~1json/schema/$ref"),
        format!("{text}.Pod").into(),
    );
    // Our own kinds are described as others' custom ones are: under the group's name, whole in one definition.
    let own = get(&server, "/openapi/v3/apis/scheduling.sampan.dev/v1alpha1", &[]).await.json();
    let policy = "/components/schemas/dev.sampan.scheduling.v1alpha1.SchedulingPolicy";
    check(&own, &format!("{policy}/properties/spec/type"), "object".into());
    assert!(own.pointer(&format!("{policy}/description")).is_some_and(Value::is_string));
}

/// The fields of a protobuf message that are messages, texts or bytes, with their tags.
fn fields(mut bytes: &[u8]) -> Vec<(u64, &[u8])> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                return value;
            }
        }
    }
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        match key & 7 {
            0 => drop(varint(&mut bytes)),
            1 => bytes = &bytes[8..],
            2 => {
                let length = usize::try_from(varint(&mut bytes)).expect("a length");
                let (inner, rest) = bytes.split_at(length);
                found.push((key >> 3, inner));
                bytes = rest;
            }
            other => panic!("wire type {other}"),
        }
    }
    found
}

/// The names of the pairs at the end of a way of tags.
fn names(bytes: &[u8], way: &[u64]) -> BTreeSet<String> {
    let Some((tag, rest)) = way.split_first() else {
        let name = fields(bytes).into_iter().find(|(tag, _)| *tag == 1).map(|(_, name)| name);
        return BTreeSet::from([String::from_utf8_lossy(name.expect("a name")).into_owned()]);
    };
    fields(bytes).into_iter().filter(|(found, _)| found == tag).flat_map(|(_, inner)| names(inner, rest)).collect()
}

#[tokio::test]
async fn the_protobuf_form_has_all_that_the_json_form_has() {
    let server = server().await;
    let keys = |value: &Value| members(value).keys().cloned().collect::<BTreeSet<_>>();
    let json = get(&server, "/openapi/v2", &[]).await;
    let protobuf = get(&server, "/openapi/v2", &[("accept", &format!("{PROTOBUF_2},application/json"))]).await;
    assert_eq!(protobuf.header("content-type"), PROTOBUF_2.replace('@', "."));
    assert_eq!(protobuf.header("etag"), json.header("etag"));
    let document = json.json();
    assert_eq!(names(&protobuf.bytes, &[8, 2]), keys(&document["paths"]));
    assert_eq!(names(&protobuf.bytes, &[9, 1]), keys(&document["definitions"]));
    assert_eq!(names(&protobuf.bytes, &[10, 1]), keys(&document["parameters"]));

    let json = get(&server, "/openapi/v3/apis/apps/v1", &[]).await;
    let protobuf = get(&server, "/openapi/v3/apis/apps/v1", &[("accept", PROTOBUF_3)]).await;
    assert_eq!((protobuf.code, protobuf.header("etag")), (200, json.header("etag")));
    let document = json.json();
    assert_eq!(names(&protobuf.bytes, &[4, 1]), keys(&document["paths"]));
    assert_eq!(names(&protobuf.bytes, &[5, 1, 1]), keys(&document["components"]["schemas"]));
}

#[tokio::test]
async fn large_documents_are_packed_when_asked_and_stay_the_same() {
    let server = server().await;
    let plain = get(&server, "/openapi/v2", &[]).await;
    let packed = get(&server, "/openapi/v2", &[("accept-encoding", "gzip")]).await;
    assert_eq!((packed.header("content-encoding"), packed.header("etag")), ("gzip", plain.header("etag")));
    assert!(packed.bytes.len() * 5 < plain.bytes.len(), "{} of {}", packed.bytes.len(), plain.bytes.len());
    let small = get(&server, "/openapi/v3/version", &[("accept-encoding", "gzip")]).await;
    assert_eq!(small.header("content-encoding"), "");
}
