//! The CustomResourceDefinitions of known operators, out of their own Go modules, and custom resources that come with
//! them: each is answered as a kube-apiserver v1.35.0 answered it, and goes with its definition.
//!
//! `operators.tsv` names the modules, `cargo xtask tools` fetches them. SAMPAN_TIER=nightly.

use bytes::Bytes;
use http::{Method, Request};
use sampan_client::{Client, Error, Kubeconfig};
use sampan_env::{Env, Tasks};
use sampan_tests::{PATIENCE, Sampan, eventually, is_nightly, now, tool};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// One line of `operators.tsv`.
enum Line<'t> {
    Operator { module: &'t str, folder: &'t str },
    Sample { module: &'t str, file: &'t str, document: usize, path: &'t str, code: u16, message: String },
}

fn parse(line: &str) -> Line<'_> {
    let parts: Vec<&str> = line.split('\t').collect();
    match parts[..] {
        ["operator", module, folder] => Line::Operator { module, folder },
        ["sample", module, at, path, code, ref rest @ ..] => {
            let (file, document) = at.rsplit_once('#').expect("file#document");
            let (document, code) = (document.parse().expect("a number"), code.parse().expect("a code"));
            let message = rest.first().map_or_else(String::new, |text| serde_json::from_str(text).expect("a string"));
            Line::Sample { module, file, document, path, code, message }
        }
        _ => panic!("not understood: {line}"),
    }
}

/// The documents of a YAML file, as its separators cut it.
fn documents(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut all = vec![String::new()];
    for line in text.lines() {
        if line.starts_with("---") {
            all.push(String::new());
        } else if let Some(last) = all.last_mut() {
            last.push_str(line);
            last.push('\n');
        }
    }
    all
}

/// A message with the parts of its list in one order: Go's own is that of a map.
fn unordered(message: &str) -> (&str, BTreeSet<&str>) {
    match message.strip_suffix(']').and_then(|message| message.split_once('[')) {
        Some((head, list)) => (head, list.split(", ").collect()),
        None => (message, BTreeSet::new()),
    }
}

/// A cluster, and where the modules are.
struct Cluster {
    client: Client,
    runtime: tokio::runtime::Runtime,
    modules: BTreeMap<String, PathBuf>,
}

impl Cluster {
    /// The code and the body of the answer.
    fn call(&self, method: Method, uri: &str, content_type: &str, body: String) -> (u16, Value) {
        let request = Request::builder().method(method).uri(uri).header("content-type", content_type);
        let request = request.body(Bytes::from(body)).expect("a request");
        match self.runtime.block_on(self.client.request::<Value>(request)) {
            Ok(answer) => (200, answer),
            Err(Error::Api(status)) => (status.code, json!({ "message": status.message })),
            Err(error) => panic!("{uri}: {error}"),
        }
    }

    fn get(&self, uri: &str) -> (u16, Value) {
        self.call(Method::GET, uri, "application/json", String::new())
    }

    /// Makes the definitions of a folder and waits until they are served: their names, and what is wrong with those that are not.
    fn define(&self, module: &str, folder: &str) -> (Vec<String>, Vec<String>) {
        let folder = self.modules[module].join(folder);
        let files =
            std::fs::read_dir(&folder).expect("the folder of definitions").map(|file| file.expect("a file").path());
        let mut files: Vec<PathBuf> = files.filter(|file| file.extension().is_some_and(|end| end == "yaml")).collect();
        files.sort();
        let mut names = Vec::new();
        let all = files.iter().flat_map(|file| documents(file));
        for document in all.filter(|text| text.lines().any(|line| line == "kind: CustomResourceDefinition")) {
            let (code, answer) = self.call(Method::POST, DEFINITIONS, "application/yaml", document);
            assert_eq!(code, 200, "{module}: {}", answer["message"]);
            names.push(answer["metadata"]["name"].as_str().expect("a name").to_owned());
        }
        let established = |name: &String| {
            let (_, definition) = self.get(&format!("{DEFINITIONS}/{name}"));
            let conditions = definition["status"]["conditions"].as_array().cloned().unwrap_or_default();
            conditions.iter().any(|one| one["type"] == "Established" && one["status"] == "True")
        };
        let end = now() + PATIENCE;
        let mut waiting: Vec<&String> = names.iter().collect();
        while !waiting.is_empty() && now() < end {
            waiting.retain(|name| !established(name));
            std::thread::sleep(Duration::from_millis(50));
        }
        let wrong = waiting.into_iter().map(|name| format!("{module} {name} is not established")).collect();
        (names, wrong)
    }

    /// What is wrong with the answer to a sample's strict dry run.
    fn sample(&self, document: &str, path: &str, code: u16, message: &str) -> Option<String> {
        let strict = format!("{path}?dryRun=All&fieldValidation=Strict");
        let (got, answer) = self.call(Method::POST, &strict, "application/yaml", document.to_owned());
        let said = answer["message"].as_str().unwrap_or_default();
        match (code, got) {
            (201, 200) => None,
            (201, _) => Some(format!("refused with {got}: {said}")),
            (_, 200) => Some(format!("taken; {code} there: {message}")),
            _ => (got != code || unordered(said) != unordered(message))
                .then(|| format!("{got}: {said}\n      there {code}: {message}")),
        }
    }

    /// Makes a sample. Some have the names of others.
    fn make(&self, document: &str, path: &str) -> Option<String> {
        let (got, answer) = self.call(Method::POST, path, "application/yaml", document.to_owned());
        self.let_go(path, &answer);
        (got != 200 && got != 409).then(|| format!("{got} when it was made: {}", answer["message"]))
    }

    /// Takes an object's finalizers away: the operator that would do so is not there.
    fn let_go(&self, path: &str, object: &Value) {
        if object["metadata"]["finalizers"].is_array() {
            let path = format!("{path}/{}", object["metadata"]["name"].as_str().expect("a name"));
            let none = json!({"metadata": {"finalizers": null}}).to_string();
            let (code, answer) = self.call(Method::PATCH, &path, "application/merge-patch+json", none);
            assert_eq!(code, 200, "{path}: {}", answer["message"]);
        }
    }

    /// Deletes the definitions and waits until nothing of them is served.
    fn forget(&self, names: &[String], paths: &BTreeSet<&str>) {
        for name in names {
            let (code, answer) =
                self.call(Method::DELETE, &format!("{DEFINITIONS}/{name}"), "application/json", String::new());
            assert_eq!(code, 200, "{name}: {}", answer["message"]);
        }
        for name in names {
            let gone = || (self.get(&format!("{DEFINITIONS}/{name}")).0 == 404).then_some(());
            eventually(&format!("{name} is gone"), gone);
        }
        for path in paths {
            eventually(&format!("{path} is not served"), || (self.get(path).0 == 404).then_some(()));
        }
    }
}

fn cluster(sampan: &Sampan) -> Cluster {
    let modules = std::fs::read_to_string(tool("operators.json")).expect("what was fetched");
    let config = Kubeconfig::load_file(&sampan.kubeconfig).expect("a kubeconfig");
    let remote = config.remote_config(None).expect("a context");
    let client = Client::remote(remote, "sampan-tests", &Env::system(), &Tasks::new("tests")).expect("a client");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    Cluster { client, runtime, modules: serde_json::from_str(&modules).expect("module: folder") }
}

#[test]
fn definitions_and_samples_of_operators() {
    if !is_nightly() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let sampan = Sampan::up(folder.path(), &["--components", "apiserver,controllers"]);
    let cluster = cluster(&sampan);
    let lines = include_str!("operators.tsv").lines().filter(|line| !line.starts_with('#'));
    let lines: Vec<Line<'_>> = lines.map(parse).collect();
    let (mut wrong, mut definitions, mut samples) = (Vec::new(), 0, 0);
    for line in &lines {
        let Line::Operator { module, folder } = line else { continue };
        let (names, late) = cluster.define(module, folder);
        wrong.extend(late);
        definitions += names.len();
        let (mut paths, mut accepted) = (BTreeSet::new(), Vec::new());
        for line in &lines {
            let Line::Sample { module: of, file, document, path, code, message } = line else { continue };
            if of != module {
                continue;
            }
            samples += 1;
            if let Some(namespace) = path.split("/namespaces/").nth(1).and_then(|rest| rest.split('/').next()) {
                let body = json!({"metadata": {"name": namespace}}).to_string();
                cluster.call(Method::POST, "/api/v1/namespaces", "application/json", body);
            }
            let text = documents(&cluster.modules[*module].join(file)).swap_remove(*document);
            wrong.extend(
                cluster.sample(&text, path, *code, message).map(|why| format!("{module} {file}#{document}\n  {why}")),
            );
            paths.insert(*path);
            if *code == 201 {
                accepted.push((text, *path));
            }
        }
        for (text, path) in accepted {
            wrong.extend(cluster.make(&text, path).map(|why| format!("{module} {path}\n  {why}")));
        }
        cluster.forget(&names, &paths);
    }
    println!("{definitions} definitions, {samples} samples, {} differ", wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
