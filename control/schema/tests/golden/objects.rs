//! The golden objects that the Go module `k8s.io/api` v0.35.0 carries round-trip through JSON, YAML and protobuf.
//!
//! The module is fetched by `go mod download`. Without Go (or a network on the first run) that fails, as without the rest
//! of the reference.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support;
use crate::support::differences;
use sampan_schema::{Schema, json, protobuf, yaml};
use sampan_testing::reference::{self, Comparison};
use serde_json::Value;

const MODULE: &str = "k8s.io/api@v0.35.0";

/// Kinds without a golden object, and why.
const ABSENT: &[(&str, &str)] = &[
    ("apiextensions.k8s.io/v1.CustomResourceDefinition", "of another module, k8s.io/apiextensions-apiserver"),
    ("apiregistration.k8s.io/v1.APIService", "of another module, k8s.io/kube-aggregator"),
];

fn testdata() -> Option<PathBuf> {
    let output = Command::new("go").args(["mod", "download", "-json", MODULE]).current_dir("/").output().ok()?;
    let answer: Value = serde_json::from_slice(&output.stdout).ok()?;
    let path = Path::new(answer["Dir"].as_str()?).join("testdata/HEAD");
    path.exists().then_some(path)
}

/// (group, version, kind) of everything that discovery lists; an empty group or version is the list's own.
fn wanted(discovery: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let each = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut out = Vec::new();
    for group in ["/api", "/apis"].iter().flat_map(|path| each(&discovery[path]["items"])) {
        let name = text(&group["metadata"]["name"]);
        for version in each(&group["versions"]) {
            for resource in each(&version["resources"]) {
                for one in std::iter::once(resource.clone()).chain(each(&resource["subresources"])) {
                    let kind = &one["responseKind"];
                    let (g, v) = (text(&kind["group"]), text(&kind["version"]));
                    let (g, v) = if v.is_empty() { (name.clone(), text(&version["version"])) } else { (g, v) };
                    out.push((g, v, text(&kind["kind"])));
                }
            }
        }
    }
    out
}

fn round_trip(schema: &Schema, kind: &(String, String, String), folder: &Path) -> Option<Vec<String>> {
    let (group, version, kind) = kind;
    let name = if group.is_empty() { "core" } else { group };
    let read = |ending: &str| std::fs::read(folder.join(format!("{name}.{version}.{kind}.{ending}"))).ok();
    let (text, message, yaml_text) = (read("json")?, read("pb")?, read("yaml")?);
    let Some(id) = schema.find(group, version, kind) else { return Some(vec!["the schema has no such type".into()]) };
    let golden: Value = serde_json::from_slice(&text).expect("golden JSON");
    let mut found = Vec::new();
    let mut same = |what: &str, value: Result<Value, String>| match value {
        Ok(value) => differences(what, &golden, &value, &mut found),
        Err(error) => found.push(format!("{what}: {error}")),
    };
    let decoded = |d: Result<sampan_schema::Decoded, sampan_schema::DecodeError>| match d {
        Ok(d) if d.problems.is_empty() => Ok(d.value),
        Ok(d) => Err(format!("{:?}", d.problems)),
        Err(error) => Err(error.to_string()),
    };
    same("json", decoded(json::decode(schema, id, &text)));
    same("yaml", decoded(yaml::decode(schema, id, &yaml_text)));
    same("yaml again", decoded(yaml::decode(schema, id, yaml::encode(&golden).as_bytes())));
    let envelope = protobuf::unwrap(&message).map_err(|e| e.to_string());
    same(
        "protobuf",
        envelope.and_then(|envelope| {
            let mut value = decoded(protobuf::decode(schema, id, envelope.raw))?;
            if golden.get("kind").is_some() && golden.get("apiVersion").is_some() {
                value["apiVersion"] = envelope.api_version.into();
                value["kind"] = envelope.kind.into();
            }
            Ok(value)
        }),
    );
    // A watch's frames name no kind.
    let text =
        |name: &str| golden.get(name).and_then(Value::as_str).filter(|_| kind != "WatchEvent").unwrap_or_default();
    let mut payload = Vec::new();
    match protobuf::encode(schema, id, &golden, &mut payload) {
        Err(error) => found.push(format!("encode: {error}")),
        Ok(()) => {
            let wrapped = protobuf::wrap(text("apiVersion"), text("kind"), &payload);
            if wrapped != message {
                let at = wrapped.iter().zip(&message).position(|(a, b)| a != b);
                found.push(format!(
                    "encode: {} bytes, golden {}, first difference {at:?}",
                    wrapped.len(),
                    message.len()
                ));
            }
        }
    }
    Some(found)
}

#[test]
fn golden_objects_round_trip() {
    let schema = Schema::builtin();
    let mut kinds: Vec<(String, String, String)> = Vec::new();
    if let Some(discovery) = support::json("discovery-v1.35.json") {
        kinds = wanted(&discovery);
    } else {
        // Without the list of what is served: all that the schema knows.
        let own = schema.kinds().iter();
        kinds.extend(own.map(|k| (k.group.to_string(), k.version.to_string(), k.kind.to_string())));
    }
    for kind in ["DeleteOptions", "Status", "WatchEvent"] {
        kinds.push((String::new(), "v1".into(), kind.into()));
    }
    kinds.sort();
    kinds.dedup();
    let Some(folder) = testdata() else {
        return reference::absent(&format!("the Go module {MODULE}"));
    };
    let mut comparison = Comparison::new("golden objects", ABSENT.iter().copied());
    for kind in &kinds {
        let found = round_trip(schema, kind, &folder).unwrap_or_else(|| vec!["not in the module".to_owned()]);
        comparison.case(&format!("{}/{}.{}", kind.0, kind.1, kind.2), found);
    }
    comparison.finish(78);
}
