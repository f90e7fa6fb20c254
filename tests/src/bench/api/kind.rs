//! A kind and what is asked of it.

use anyhow::Context;
use bytes::Bytes;
use http::Request;
use sampan_client::Client;
use sampan_tests::now;
use serde_json::{Value, json};
use std::time::Duration;

/// Bytes of an object's JSON, nearly.
pub const OBJECT_BYTES: usize = 1_500;
/// What the rest of an object takes, metadata included.
const REST_BYTES: usize = 500;
/// Objects carry one of so many labels.
pub const LABELS: usize = 100;
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const SERVED_WITHIN: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(5);

/// One verb on objects that differ by a number.
pub struct Verb {
    pub name: &'static str,
    method: &'static str,
    media_type: &'static str,
    /// The collection's path, and what precedes the number in a name.
    collection: String,
    prefix: &'static str,
    query: &'static str,
    body: Value,
}

impl Verb {
    pub fn request(&self, n: usize) -> Request<Bytes> {
        let Self { collection, prefix, query, .. } = self;
        let name = format!("{prefix}-{n}");
        let mut body = self.body.clone();
        let path = match self.method {
            "POST" => collection.clone(),
            _ => format!("{collection}/{name}{query}"),
        };
        if body.get("kind").is_some() {
            body["metadata"] = json!({"name": name, "labels": {"group": format!("g-{}", n % LABELS)}});
        }
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let request = Request::builder().method(self.method).uri(path).header("content-type", self.media_type);
        request.body(body).expect("a request of this bench")
    }
}

pub struct Kind {
    pub name: &'static str,
    collection: String,
    /// An object without its metadata, and the path of its text.
    object: Value,
    text: &'static str,
    strategic: bool,
}

impl Kind {
    pub fn built_in() -> Self {
        let text = "x".repeat(OBJECT_BYTES - REST_BYTES);
        Self {
            name: "ConfigMap",
            collection: "/api/v1/namespaces/default/configmaps".to_owned(),
            object: json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"value": text, "other": "y"}}),
            text: "data",
            strategic: true,
        }
    }

    /// Makes its definition, and waits until it is served.
    pub async fn custom(client: &Client) -> anyhow::Result<Self> {
        let spec = json!({"type": "object", "properties": {"value": {"type": "string"}, "other": {"type": "string"}}});
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "widgets.bench.example.com"},
            "spec": {
                "group": "bench.example.com", "scope": "Namespaced",
                "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
                "versions": [{
                    "name": "v1", "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}},
                }],
            },
        });
        let collection = "/apis/bench.example.com/v1/namespaces/default/widgets";
        let began = now();
        let post = Request::post(DEFINITIONS).header("content-type", "application/json");
        client.request_bytes(post.body(definition.to_string().into())?).await?;
        let served = async {
            while client.request_bytes(Request::get(collection).body(Bytes::new())?).await.is_err() {
                tokio::time::sleep(POLL).await;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(SERVED_WITHIN, served).await.context("the custom kind is not served")??;
        println!("  a definition's kind is served after {} ms", now().duration_since(began).as_millis());
        let text = "x".repeat(OBJECT_BYTES - REST_BYTES);
        Ok(Self {
            name: "custom kind",
            collection: collection.to_owned(),
            object: json!({"apiVersion": "bench.example.com/v1", "kind": "Widget", "spec": {"value": text, "other": "y"}}),
            text: "spec",
            strategic: false,
        })
    }

    pub fn create(&self, prefix: &'static str) -> Verb {
        self.verb("create", prefix, "POST", "application/json", self.object.clone())
    }

    /// In the order in which they can be asked: the first makes the objects, the last deletes them.
    pub fn verbs(&self, prefix: &'static str) -> Vec<Verb> {
        let merge = json!({self.text: {"other": "z"}});
        let path = format!("/{}/other", self.text);
        let operations = json!([{"op": "replace", "path": path, "value": "w"}]);
        let mut applied = self.object.clone();
        applied[self.text] = json!({"other": "applied"});
        let patch = |name, kind: &'static str, body| self.verb(name, prefix, "PATCH", kind, body);
        let mut verbs = vec![self.create(prefix), self.verb("get", prefix, "GET", "application/json", Value::Null)];
        if self.strategic {
            // That of a custom resource names the revision which it changes: one body for all objects cannot.
            verbs.push(self.verb("update", prefix, "PUT", "application/json", self.object.clone()));
        }
        verbs.push(patch("merge patch", "application/merge-patch+json", merge.clone()));
        verbs.push(patch("JSON patch", "application/json-patch+json", operations));
        if self.strategic {
            verbs.push(patch(
                "strategic patch",
                "application/strategic-merge-patch+json",
                json!({"data": {"other": "v"}}),
            ));
        }
        let mut apply = patch("apply", "application/apply-patch+yaml", applied);
        apply.query = "?fieldManager=bench&force=true";
        verbs.push(apply);
        verbs.push(self.verb("delete", prefix, "DELETE", "application/json", Value::Null));
        verbs
    }

    fn verb(
        &self,
        name: &'static str,
        prefix: &'static str,
        method: &'static str,
        media_type: &'static str,
        body: Value,
    ) -> Verb {
        Verb { name, method, media_type, collection: self.collection.clone(), prefix, query: "", body }
    }
}
