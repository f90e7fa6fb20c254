//! What requests are made of: the resources that the real server names in its discovery, objects that it is known to take (those of
//! the recorded exchanges, and ours in `objects.jsonl`), and the words that occur in them.

use http::Request;
use sampan_schema::{Schema, TypeId};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

use crate::servers::Servers;

/// Bytes of an object from which on it is not edited: the answer would be no easier to understand.
const OBJECT_BYTES_MAX: usize = 20_000;
/// Where a case's own namespace stands in texts.
pub const NAMESPACE: &str = "${ns}";

/// A resource that is served.
#[derive(Clone, Debug)]
pub struct Resource {
    pub group: String,
    pub version: String,
    pub plural: String,
    pub kind: String,
    pub namespaced: bool,
    pub verbs: Vec<String>,
    /// By name: the kind that is sent to it, and its type.
    pub subresources: BTreeMap<String, Subresource>,
    pub id: TypeId,
    /// Objects that the real server takes.
    pub objects: Vec<Value>,
}

/// A subresource of a resource.
#[derive(Clone, Debug)]
pub struct Subresource {
    pub api_version: String,
    pub kind: String,
    pub id: TypeId,
    pub verbs: Vec<String>,
}

impl Resource {
    pub fn api_version(&self) -> String {
        api_version(&self.group, &self.version)
    }

    /// `deployments.apps`
    pub fn name(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// The path of its objects in the case's namespace.
    pub fn path(&self) -> String {
        let root = if self.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", self.group) };
        let namespace = if self.namespaced { format!("/namespaces/{NAMESPACE}") } else { String::new() };
        format!("{root}/{}{namespace}/{}", self.version, self.plural)
    }

    pub fn has(&self, verb: &str) -> bool {
        self.verbs.iter().any(|one| one == verb)
    }
}

fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// Values by the name of the field that they stand in.
pub type Words = BTreeMap<String, Vec<Value>>;

/// All that requests are made of.
#[derive(Debug)]
pub struct Corpus {
    pub resources: Vec<Resource>,
    pub words: Words,
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

fn items<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    value[name].as_array().into_iter().flatten()
}

fn strings(value: &Value, name: &str) -> Vec<String> {
    items(value, name).filter_map(Value::as_str).map(str::to_owned).collect()
}

impl Corpus {
    /// Asks the real server what it serves, and reads the objects.
    pub async fn gather(servers: &Servers, reference: &Path) -> Self {
        let objects = objects(reference);
        let mut resources = Vec::new();
        for root in ["/api", "/apis"] {
            let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
            let request = Request::get(root).header("accept", accept).body(Default::default()).expect("a request");
            let answer = servers.ask_theirs(request).await;
            let list: Value = serde_json::from_slice(&answer.body).expect("discovery");
            for group in items(&list, "items") {
                for version in items(group, "versions") {
                    let of = (text(&group["metadata"], "name"), text(version, "version"));
                    resources.extend(items(version, "resources").filter_map(|one| resource(of, one, &objects)));
                }
            }
        }
        let mut words = Words::new();
        resources.iter().flat_map(|one| &one.objects).for_each(|object| gather(&mut words, object));
        Self { resources, words }
    }
}

fn resource((group, version): (&str, &str), served: &Value, objects: &[Value]) -> Option<Resource> {
    let kind = text(&served["responseKind"], "kind");
    let id = Schema::builtin().find(group, version, kind)?;
    let subresources = items(served, "subresources").filter_map(|one| {
        let kind = &one["responseKind"];
        let (group, version, kind) = (text(kind, "group"), text(kind, "version"), text(kind, "kind"));
        let id = Schema::builtin().find(group, version, kind)?;
        let verbs = strings(one, "verbs");
        let api_version = api_version(group, version);
        Some((text(one, "subresource").to_owned(), Subresource { api_version, kind: kind.to_owned(), id, verbs }))
    });
    let of = api_version(group, version);
    let own = objects.iter().filter(|object| text(object, "apiVersion") == of && text(object, "kind") == kind);
    Some(Resource {
        group: group.to_owned(),
        version: version.to_owned(),
        plural: text(served, "resource").to_owned(),
        kind: kind.to_owned(),
        namespaced: text(served, "scope") == "Namespaced",
        verbs: strings(served, "verbs"),
        subresources: subresources.collect(),
        id,
        objects: own.cloned().collect(),
    })
}

/// Objects that a real server took, as they were sent.
fn objects(reference: &Path) -> Vec<Value> {
    let folder = std::fs::read_dir(reference.join("golden")).expect("the recorded exchanges");
    let mut files: Vec<_> = folder.map(|file| file.expect("a file").path()).collect();
    files.retain(|file| file.extension().is_some_and(|end| end == "jsonl"));
    files.sort();
    let mut objects: Vec<Value> = lines(include_str!("objects.jsonl")).collect();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a recording");
        for case in lines(&text) {
            let made =
                items(&case, "steps").filter(|step| step["method"] == "POST" && step["response"]["status"] == 201);
            // What follows from earlier answers of the case is not known here.
            let whole = |body: &&Value| {
                let text = body.to_string();
                body.is_object() && text.len() < OBJECT_BYTES_MAX && !text.replace(NAMESPACE, "").contains("${")
            };
            objects.extend(made.map(|step| &step["body"]).filter(whole).cloned());
        }
    }
    objects
}

fn lines(text: &str) -> impl Iterator<Item = Value> {
    let lines = text.lines().filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
}

fn gather(words: &mut Words, value: &Value) {
    match value {
        Value::Object(map) => map.iter().for_each(|(name, value)| member(words, name, value)),
        Value::Array(items) => items.iter().for_each(|item| gather(words, item)),
        _ => {}
    }
}

fn member(words: &mut Words, name: &str, value: &Value) {
    let mut add = |value: &Value| {
        let known = words.entry(name.to_owned()).or_default();
        if !known.contains(value) {
            known.push(value.clone());
        }
    };
    match value {
        Value::Object(map) => map_words(words, map),
        Value::Array(items) if items.iter().any(Value::is_object) => items.iter().for_each(|item| gather(words, item)),
        Value::Array(items) => items.iter().for_each(add),
        other => add(other),
    }
}

fn map_words(words: &mut Words, map: &Map<String, Value>) {
    map.iter().for_each(|(name, value)| member(words, name, value));
}
