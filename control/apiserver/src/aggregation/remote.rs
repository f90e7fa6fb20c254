//! What other servers serve: their discovery, asked for when something changes and from time to time (kube-aggregator's
//! `handler_discovery.go`), and where their OpenAPI documents are.

use super::{Aggregation, Backend, Served, identity};
use crate::body;
use crate::limits::{AGGREGATED_AT_ONCE, AGGREGATED_PERIOD, AGGREGATED_TIMEOUT, AGGREGATION_SETTLE};
use futures::stream;
use futures::{FutureExt, StreamExt};
use http::header::ACCEPT;
use http::{HeaderValue, Request};
use sampan_api::UserInfo;
use sampan_api::user::GROUP_MASTERS;
use sampan_env::Env;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What other servers serve, by group and version.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Remote {
    /// Versions of aggregated discovery (`APIVersionDiscovery`).
    pub versions: BTreeMap<(String, String), Value>,
    /// Addresses of OpenAPI documents by their path (`apis/GROUP/VERSION`).
    pub documents: BTreeMap<String, String>,
}

const V2: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const V2BETA1: &str = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";
const JSON: &str = "application/json";

impl Aggregation {
    pub(super) async fn ask_for_ever(self: Arc<Self>, env: Env) {
        loop {
            self.ask().await;
            tokio::select! {
                () = self.changed.notified() => {}
                () = env.sleep(AGGREGATED_PERIOD) => {}
            }
            // What changes together is asked for once.
            env.sleep(AGGREGATION_SETTLE).await;
        }
    }

    async fn ask(self: &Arc<Self>) {
        let known = self.known();
        let mut servers: BTreeMap<(String, String, u16), (Backend, Vec<Served>)> = BTreeMap::new();
        for served in known.all_elsewhere() {
            let Some(backend) = served.backend.clone() else { continue };
            let key = (backend.namespace.clone(), backend.name.clone(), backend.port);
            servers.entry(key).or_insert_with(|| (backend, Vec::new())).1.push(served.clone());
        }
        let answers = stream::iter(servers.into_values())
            .map(|(backend, all)| {
                let this = self.clone();
                async move { this.of_server(&backend, &all).await }.boxed()
            })
            .buffer_unordered(AGGREGATED_AT_ONCE)
            .collect::<Vec<Remote>>();
        let mut remote = Remote::default();
        for answer in answers.await {
            remote.versions.extend(answer.versions);
            remote.documents.extend(answer.documents);
        }
        if *self.remote.load_full() != remote {
            self.remote.store(Arc::new(remote));
        }
    }

    /// What one server says of the group versions that are its.
    async fn of_server(&self, backend: &Backend, all: &[Served]) -> Remote {
        let mut remote = Remote::default();
        let answers = all.iter().any(|served| served.available);
        let found = if answers { self.groups(backend).await } else { None };
        for served in all {
            let key = (served.group.clone(), served.version.clone());
            let version = match &found {
                _ if !served.available => None,
                Some(found) => Some(found.get(&key).cloned().unwrap_or_else(|| empty(&served.version))),
                None => self.older(backend, served).await,
            };
            let freshness = if version.is_some() { "Current" } else { "Stale" };
            let mut version = version.unwrap_or_else(|| empty(&served.version));
            version["freshness"] = freshness.into();
            remote.versions.insert(key, version);
        }
        if answers && let Some(index) = self.get(backend, "/openapi/v3", JSON).await {
            let paths = index["paths"].as_object().cloned().unwrap_or_default();
            for served in all.iter().filter(|served| served.available) {
                let path = document_path(&served.group, &served.version);
                let address = paths.get(&path).and_then(|entry| entry["serverRelativeURL"].as_str());
                // An address elsewhere would lead clients astray.
                if let Some(address) = address.filter(|address| address.starts_with("/openapi/v3/")) {
                    remote.documents.insert(path, address.to_owned());
                }
            }
        }
        remote
    }

    /// Its versions out of aggregated discovery; `None`: it has none, or does not answer.
    async fn groups(&self, backend: &Backend) -> Option<BTreeMap<(String, String), Value>> {
        let list = self.get(backend, "/apis", &format!("{V2},{V2BETA1}")).await?;
        if list["kind"] != "APIGroupDiscoveryList" {
            return None;
        }
        let mut found = BTreeMap::new();
        for group in list["items"].as_array().into_iter().flatten() {
            let name = group["metadata"]["name"].as_str().unwrap_or_default();
            for version in group["versions"].as_array().into_iter().flatten() {
                let of = version["version"].as_str().unwrap_or_default();
                found.insert((name.to_owned(), of.to_owned()), version.clone());
            }
        }
        Some(found)
    }

    /// A version out of the older lists.
    async fn older(&self, backend: &Backend, served: &Served) -> Option<Value> {
        let path = match served.group.as_str() {
            "" => format!("/api/{}", served.version),
            group => format!("/apis/{group}/{}", served.version),
        };
        let list = self.get(backend, &path, JSON).await?;
        Some(of_older(&served.version, list["resources"].as_array()?))
    }

    /// A document of another server, asked for as this server's own.
    async fn get(&self, backend: &Backend, path: &str, accept: &str) -> Option<Value> {
        let mut request = Request::get(path).body(body::empty()).ok()?;
        let user = UserInfo::new("system:kube-aggregator", [GROUP_MASTERS]);
        identity::tell(request.headers_mut(), &user).ok()?;
        request.headers_mut().insert(ACCEPT, HeaderValue::from_str(accept).ok()?);
        let answer = self.backends.send(backend, request);
        let response = tokio::time::timeout(AGGREGATED_TIMEOUT, answer).await.ok()?.ok()?;
        if !response.status().is_success() {
            return None;
        }
        // No document is larger than what clients send.
        let bytes = tokio::time::timeout(AGGREGATED_TIMEOUT, body::collect(response.into_body(), |_| Ok(())));
        let bytes = bytes.await.ok()?.ok()?;
        serde_json::from_slice(&bytes).ok()
    }
}

fn empty(version: &str) -> Value {
    json!({ "version": version })
}

/// `apis/GROUP/VERSION`
pub(crate) fn document_path(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// The entry of aggregated discovery that the older list of a group version stands for.
fn of_older(version: &str, list: &[Value]) -> Value {
    let kind = |one: &Value| {
        let text = |name: &str| one[name].as_str().unwrap_or_default();
        json!({"group": text("group"), "version": text("version"), "kind": text("kind")})
    };
    let mut resources: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    let (below, whole): (Vec<&Value>, Vec<&Value>) =
        list.iter().partition(|one| one["name"].as_str().is_some_and(|name| name.contains('/')));
    for one in whole {
        let name = one["name"].as_str().unwrap_or_default();
        let mut entry = Map::new();
        entry.insert("resource".into(), name.into());
        entry.insert("responseKind".into(), kind(one));
        entry.insert("scope".into(), if one["namespaced"] == true { "Namespaced" } else { "Cluster" }.into());
        entry.insert("singularResource".into(), one["singularName"].as_str().unwrap_or_default().into());
        for list in ["verbs", "shortNames", "categories"] {
            if one[list].is_array() {
                entry.insert(list.into(), one[list].clone());
            }
        }
        resources.insert(name.to_owned(), entry);
    }
    for one in below {
        let Some((of, name)) = one["name"].as_str().and_then(|name| name.split_once('/')) else { continue };
        let Some(entry) = resources.get_mut(of) else { continue };
        let subresource = json!({"subresource": name, "responseKind": kind(one), "verbs": one["verbs"]});
        if let Value::Array(all) = entry.entry("subresources").or_insert_with(|| json!([])) {
            all.push(subresource);
        }
    }
    let resources: Vec<Value> = resources.into_values().map(Value::Object).collect();
    json!({"version": version, "resources": resources})
}
