//! OpenAPI v3 of each group and version, and v2 of all, derived from the resource table and its types.
//!
//! Documents are made when they are asked for, by the compute threads, one at a time. What is remembered of each is its
//! hash, for as long as its rows are in the table; the bytes are kept while there is room ([`OPENAPI_KEPT_BYTES`]).

mod document;
mod gnostic;
mod operations;
mod parameters;
mod write;

use crate::aggregation;
use crate::body::{self, Body};
use crate::core::Core;
use crate::exchange::{Exchange, Identity};
use crate::limits::OPENAPI_KEPT_BYTES;
use crate::negotiate;
use crate::query::Query;
use crate::respond::{self, Coding, Made};
use bytes::Bytes;
use document::{Encoding, Part};
use http::header::{CACHE_CONTROL, ETAG, EXPIRES, IF_NONE_MATCH, LOCATION, VARY};
use http::request::Parts;
use http::{HeaderValue, Response};
use parking_lot::Mutex;
use sampan_api::Status;
use sampan_schema::openapi::Dialect;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

const PROTOBUF_2: [&str; 2] = [
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
];
const PROTOBUF_3: [&str; 2] = [
    "application/com.github.proto-openapi.spec.v3@v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v3.v1.0+protobuf",
];
/// A time as HTTP writes it (RFC 9110, 5.6.7).
const HTTP_TIME: &str = "%a, %d %b %Y %H:%M:%S GMT";
/// Age for which a document is kept by clients that asked for it by its hash.
const IMMUTABLE_FOR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The documents of one server.
pub(crate) struct OpenApi {
    known: Mutex<Known>,
    /// Documents are made one at a time: who comes second finds what the first has made.
    turn: Semaphore,
}

impl Default for OpenApi {
    fn default() -> Self {
        Self { known: Mutex::default(), turn: Semaphore::new(1) }
    }
}

#[derive(Default)]
struct Known {
    /// Hashes of v3's documents by their paths, each with what it is of.
    hashes: BTreeMap<String, (Part, String)>,
    /// Made documents, the last one used first.
    kept: VecDeque<Kept>,
}

/// The names of a made document: its path (empty for v2), and its hash there.
#[derive(Clone, PartialEq, Eq)]
struct Name {
    path: String,
    hash: String,
    encoding: Encoding,
    coding: Coding,
}

struct Kept {
    name: Name,
    made: Made,
}

impl Known {
    fn find(&mut self, name: &Name) -> Option<Made> {
        let at = self.kept.iter().position(|kept| kept.name == *name)?;
        let kept = self.kept.remove(at)?;
        let made = kept.made.clone();
        self.kept.push_front(kept);
        Some(made)
    }

    fn keep(&mut self, name: Name, made: Made) {
        self.kept.push_front(Kept { name, made });
        let mut total = 0;
        self.kept.retain(|kept| {
            total += kept.made.size();
            total <= OPENAPI_KEPT_BYTES
        });
    }
}

/// A document, its tag, and how it is to be called.
struct Found {
    made: Made,
    hash: String,
    content_type: &'static str,
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02X}")).collect()
}

/// Answers a request at `/openapi` or below it.
pub(crate) async fn serve(
    documents: &Arc<OpenApi>,
    core: &Arc<Core>,
    parts: &Parts,
    exchange: &Exchange,
) -> Result<Response<Body>, Status> {
    let path = exchange.info.path().trim_end_matches('/');
    match path.strip_prefix("/openapi").unwrap_or_default() {
        "/v2" => documents.clone().v2(core, parts, exchange.flow()).await,
        "/v3" => documents.clone().index(core, parts, exchange.flow()).await,
        rest => match rest.strip_prefix("/v3/") {
            Some(path) if elsewhere(core, path).is_some() => forward(core, parts, exchange, path).await,
            Some(path) => documents.clone().v3(core, parts, exchange.flow(), path).await,
            None => Ok(respond::page_not_found()),
        },
    }
}

impl OpenApi {
    /// Does work of documents on the compute threads, in its turn.
    async fn work<T: Send + 'static>(
        self: Arc<Self>,
        core: &Core,
        flow: u64,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, Status> {
        let _turn = self.turn.acquire().await.map_err(|_| Status::internal("the server is stopping"))?;
        let this = self.clone();
        Ok(core.compute.run(flow, move || work(&this)).await)
    }

    /// The index: each document's address, which changes with its content.
    async fn index(self: Arc<Self>, core: &Arc<Core>, parts: &Parts, flow: u64) -> Result<Response<Body>, Status> {
        let (table, version) = (core.registry.table().announced(), core.version.clone());
        let (known, remote) = (core.aggregation.known(), core.aggregation.remote());
        let index = self.work(core, flow, move |this| {
            let all = document::parts(&table);
            let mut paths: Map<String, Value> = all
                .iter()
                .map(|(path, part)| {
                    let hash = this.hash_of(path, part, &version);
                    (path.clone(), json!({ "serverRelativeURL": address(path, &hash) }))
                })
                .collect();
            this.known.lock().hashes.retain(|path, _| all.contains_key(path));
            for served in known.all_elsewhere() {
                let path = aggregation::document_path(&served.group, &served.version);
                match remote.documents.get(&path) {
                    Some(address) => drop(paths.insert(path, json!({ "serverRelativeURL": address }))),
                    None => drop(paths.remove(&path)),
                }
            }
            Bytes::from(json!({ "paths": paths }).to_string())
        });
        let index = index.await?;
        let hash = hash(&index);
        Ok(tagged(parts, &hash, respond::TEXT, || respond::packed(index, Coding::Plain)))
    }

    /// The hash of a document of v3: as it is known, or of the document, which is made for it.
    fn hash_of(&self, path: &str, part: &Part, version: &str) -> String {
        let known = self.known.lock().hashes.get(path).filter(|(of, _)| of.is(part)).map(|(_, hash)| hash.clone());
        known.unwrap_or_else(|| {
            let json = document::write(Dialect::V3, Encoding::Json, std::iter::once(part), version);
            let hash = hash(&json);
            self.known.lock().hashes.insert(path.to_owned(), (part.clone(), hash.clone()));
            hash
        })
    }

    /// The document of a group and version.
    async fn v3(
        self: Arc<Self>,
        core: &Arc<Core>,
        parts: &Parts,
        flow: u64,
        path: &str,
    ) -> Result<Response<Body>, Status> {
        let all = document::parts(&core.registry.table().announced());
        let Some(part) = all.get(path).cloned() else { return Ok(respond::page_not_found()) };
        let Some((encoding, content_type)) = encoding(parts, PROTOBUF_3) else {
            return Ok(respond::bytes(406, respond::TEXT, Bytes::new()));
        };
        let (at, version, coding) = (path.to_owned(), core.version.clone(), respond::coding(&parts.headers));
        let found = self.work(core, flow, move |this| {
            let hash = this.hash_of(&at, &part, &version);
            let name = Name { path: at, hash: hash.clone(), encoding, coding };
            let make = || document::write(Dialect::V3, encoding, std::iter::once(&part), &version);
            Found { made: this.make(name, make), hash, content_type }
        });
        let Found { made, hash, content_type } = found.await?;
        let asked = Query::parse(parts.uri.query()).get("hash").unwrap_or("").to_owned();
        if !asked.is_empty() && asked != hash {
            let mut response = respond::bytes(301, respond::TEXT, Bytes::new());
            if let Ok(address) = HeaderValue::from_str(&address(path, &hash)) {
                response.headers_mut().insert(LOCATION, address);
            }
            return Ok(response);
        }
        let mut response = tagged(parts, &hash, content_type, || made);
        if !asked.is_empty() {
            let until = jiff::Timestamp::try_from(core.env.now() + IMMUTABLE_FOR)
                .map(|time| time.strftime(HTTP_TIME).to_string());
            let headers = response.headers_mut();
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
            if let Ok(Ok(until)) = until.map(|until| HeaderValue::from_str(&until)) {
                headers.insert(EXPIRES, until);
            }
        }
        Ok(response)
    }

    /// The one document of all groups and versions.
    async fn v2(self: Arc<Self>, core: &Arc<Core>, parts: &Parts, flow: u64) -> Result<Response<Body>, Status> {
        let Some((encoding, content_type)) = encoding(parts, PROTOBUF_2) else {
            return Ok(respond::bytes(406, respond::TEXT, Bytes::new()));
        };
        let (table, version) = (core.registry.table().announced(), core.version.clone());
        let coding = respond::coding(&parts.headers);
        let found = self.work(core, flow, move |this| {
            let all = document::parts(&table);
            // The parts' hashes tell whether the whole is the same, and cost nothing while they are known.
            let hashes: String = all.iter().map(|(path, part)| this.hash_of(path, part, &version)).collect();
            let hash = hash(hashes.as_bytes());
            let name = Name { path: String::new(), hash: hash.clone(), encoding, coding };
            let make = || document::write(Dialect::V2, encoding, all.values(), &version);
            Found { made: this.make(name, make), hash, content_type }
        });
        let Found { made, hash, content_type } = found.await?;
        Ok(tagged(parts, &hash, content_type, || made))
    }

    /// A document that is kept, or made and kept.
    fn make(&self, name: Name, write: impl FnOnce() -> Vec<u8>) -> Made {
        if let Some(made) = self.known.lock().find(&name) {
            return made;
        }
        let made = respond::packed(write().into(), name.coding);
        self.known.lock().keep(name, made.clone());
        made
    }
}

/// The group and version of a document that another server has.
fn elsewhere(core: &Core, path: &str) -> Option<(String, String)> {
    let (group, version) = match path.strip_prefix("apis/") {
        Some(rest) => rest.split_once('/')?,
        None => ("", path.strip_prefix("api/")?),
    };
    core.aggregation.known().elsewhere(group, version)?;
    Some((group.to_owned(), version.to_owned()))
}

/// Has a document of another server answered by it.
async fn forward(core: &Core, parts: &Parts, exchange: &Exchange, path: &str) -> Result<Response<Body>, Status> {
    let known = core.aggregation.known();
    let of = elsewhere(core, path).unwrap_or_default();
    let user = parts.extensions.get::<Identity>();
    match (known.elsewhere(&of.0, &of.1), user) {
        (Some(served), Some(Identity(user))) => {
            aggregation::forward(&core.aggregation, served, exchange, user, parts, body::empty()).await
        }
        _ => Ok(respond::page_not_found()),
    }
}

fn address(path: &str, hash: &str) -> String {
    format!("/openapi/v3/{path}?hash={hash}")
}

/// How the document is encoded, and what that is called.
fn encoding(parts: &Parts, protobuf: [&'static str; 2]) -> Option<(Encoding, &'static str)> {
    let served = [negotiate::JSON, protobuf[0], protobuf[1]];
    Some(match negotiate::pick(&parts.headers, &served)? {
        negotiate::JSON => (Encoding::Json, negotiate::JSON),
        _ => (Encoding::Protobuf, protobuf[1]),
    })
}

/// An answer with its tag; without its body where the caller has that already.
fn tagged(parts: &Parts, hash: &str, content_type: &'static str, made: impl FnOnce() -> Made) -> Response<Body> {
    let tag = format!("\"{hash}\"");
    let known = parts.headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let known = known.flat_map(|value| value.split(',')).any(|one| one.trim().trim_start_matches("W/") == tag);
    let mut response =
        if known { respond::bytes(304, content_type, Bytes::new()) } else { made().shared(200, content_type) };
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    headers.append(VARY, HeaderValue::from_static("Accept"));
    response
}
