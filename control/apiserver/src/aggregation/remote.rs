//! What other servers serve: their discovery, asked for when something changes and from time to time (kube-aggregator's
//! `handler_discovery.go`), and where their OpenAPI documents are.

use super::{Aggregation, Backend, Known, Served, identity};
use crate::body;
use crate::limits::{AGGREGATED_AT_ONCE, AGGREGATED_PERIOD, AGGREGATED_TIMEOUT, AGGREGATION_SETTLE};
use futures::stream;
use futures::{FutureExt, StreamExt};
use http::Request;
use http::header::ACCEPT;
use sampan_api::UserInfo;
use sampan_api::user::GROUP_MASTERS;
use sampan_env::Env;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What other servers serve, by group and version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Remote {
    /// Versions of aggregated discovery (`APIVersionDiscovery`).
    pub versions: BTreeMap<(String, String), Value>,
    /// Addresses of OpenAPI documents by their path (`apis/GROUP/VERSION`).
    pub documents: BTreeMap<String, String>,
}

const V2: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const V2BETA1: &str = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";
const JSON: &str = "application/json";

impl Remote {
    /// Forgets what other servers have no more.
    fn keep(&mut self, known: &Known) {
        self.versions.retain(|(group, version), _| known.elsewhere(group, version).is_some());
        let paths: BTreeSet<String> =
            self.versions.keys().map(|(group, version)| document_path(group, version)).collect();
        self.documents.retain(|path, _| paths.contains(path));
    }

    /// Takes what a server says now for what it said before.
    fn take(&mut self, answer: Self) {
        for (group, version) in answer.versions.keys() {
            self.documents.remove(&document_path(group, version));
        }
        self.versions.extend(answer.versions);
        self.documents.extend(answer.documents);
    }
}

impl Aggregation {
    pub(super) async fn ask_for_ever(self: Arc<Self>, env: Env) {
        loop {
            let asked = async {
                self.ask().await;
                env.sleep(AGGREGATED_PERIOD).await;
            };
            tokio::select! {
                // All are asked anew: who is silent delays nobody who has come since.
                () = self.changed.notified() => {}
                () = asked => {}
            }
            // What changes together is asked for once.
            env.sleep(AGGREGATION_SETTLE).await;
        }
    }

    /// Asks all servers. What each says is shown as soon as it has said it.
    async fn ask(self: &Arc<Self>) {
        let known = self.known();
        let mut servers: BTreeMap<(String, String, u16), (Backend, Vec<Served>)> = BTreeMap::new();
        for served in known.all_elsewhere() {
            let Some(backend) = served.backend.clone() else { continue };
            let key = (backend.namespace.clone(), backend.name.clone(), backend.port);
            servers.entry(key).or_insert_with(|| (backend, Vec::new())).1.push(served.clone());
        }
        self.show(|remote| remote.keep(&known));
        let mut answers = stream::iter(servers.into_values())
            .map(|(backend, all)| {
                let this = self.clone();
                async move { this.of_server(&backend, &all).await }.boxed()
            })
            .buffer_unordered(AGGREGATED_AT_ONCE);
        while let Some(answer) = answers.next().await {
            self.show(|remote| remote.take(answer));
        }
    }

    /// Changes what is shown; nobody else does.
    fn show(&self, change: impl FnOnce(&mut Remote)) {
        let before = self.remote.load_full();
        let mut remote = (*before).clone();
        change(&mut remote);
        if *before != remote {
            self.remote.store(Arc::new(remote));
        }
    }

    /// What one server says of the group versions that are its.
    async fn of_server(&self, backend: &Backend, all: &[Served]) -> Remote {
        let mut remote = Remote::default();
        let asked = all.iter().any(|served| served.available);
        // Who says nothing at all is not asked again for the rest.
        let found = if asked { self.groups(backend).await } else { Err(Silent) };
        for served in all {
            let key = (served.group.clone(), served.version.clone());
            let version = match &found {
                Err(Silent) => None,
                Ok(_) if !served.available => None,
                Ok(Some(found)) => Some(found.get(&key).cloned().unwrap_or_else(|| empty(&served.version))),
                Ok(None) => self.older(backend, served).await,
            };
            let freshness = if version.is_some() { "Current" } else { "Stale" };
            let mut version = version.unwrap_or_else(|| empty(&served.version));
            version["freshness"] = freshness.into();
            remote.versions.insert(key, version);
        }
        if found.is_ok()
            && let Ok(Some(index)) = self.get(backend, "/openapi/v3", JSON).await
        {
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

    /// Its versions out of aggregated discovery; `None`: it has none.
    async fn groups(&self, backend: &Backend) -> Result<Option<BTreeMap<(String, String), Value>>, Silent> {
        let list = self.get(backend, "/apis", &format!("{V2},{V2BETA1}")).await?.unwrap_or_default();
        if list["kind"] != "APIGroupDiscoveryList" {
            return Ok(None);
        }
        let mut found = BTreeMap::new();
        for group in list["items"].as_array().into_iter().flatten() {
            let name = group["metadata"]["name"].as_str().unwrap_or_default();
            for version in group["versions"].as_array().into_iter().flatten() {
                let of = version["version"].as_str().unwrap_or_default();
                found.insert((name.to_owned(), of.to_owned()), version.clone());
            }
        }
        Ok(Some(found))
    }

    /// A version out of the older lists.
    async fn older(&self, backend: &Backend, served: &Served) -> Option<Value> {
        let path = match served.group.as_str() {
            "" => format!("/api/{}", served.version),
            group => format!("/apis/{group}/{}", served.version),
        };
        let list = self.get(backend, &path, JSON).await.ok()??;
        Some(of_older(&served.version, list["resources"].as_array()?))
    }

    /// A document of another server, asked for as this server's own; `None`: it has none that can be read.
    ///
    /// # Errors
    /// Where nothing came in time, or not all.
    async fn get(&self, backend: &Backend, path: &str, accept: &str) -> Result<Option<Value>, Silent> {
        let Ok(request) = question(path, accept) else { return Ok(None) };
        let answer = self.backends.send(backend, request);
        let Ok(response) = tokio::time::timeout(AGGREGATED_TIMEOUT, answer).await.map_err(|_| Silent)? else {
            return Ok(None);
        };
        if !response.status().is_success() {
            return Ok(None);
        }
        // No document is larger than what clients send.
        let bytes = tokio::time::timeout(AGGREGATED_TIMEOUT, body::collect(response.into_body(), |_| Ok(())));
        let bytes = bytes.await.map_err(|_| Silent)?;
        Ok(bytes.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }
}

/// A server that said nothing in time.
#[derive(Clone, Copy, Debug)]
struct Silent;

fn question(path: &str, accept: &str) -> Result<Request<body::Body>, http::Error> {
    let mut request = Request::get(path).header(ACCEPT, accept).body(body::empty())?;
    let user = UserInfo::new("system:kube-aggregator", [GROUP_MASTERS]);
    identity::tell(request.headers_mut(), &user)?;
    Ok(request)
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
