//! Discovery: documents derived from the resource table, made once for each table; and OpenAPI.

mod aggregated;
mod legacy;
pub(crate) mod openapi;

use crate::aggregation::{Group, Known, Remote};
use crate::answer::SharedBytes;
use crate::body::Body;
use crate::core::Core;
use crate::encode;
use crate::negotiate::{self, Endpoint, Forms, Output, Shape};
use crate::respond;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH, VARY};
use http::request::Parts;
use http::{HeaderValue, Response};
use parking_lot::Mutex;
use sampan_api::Status;
use sampan_registry::ResourceTable;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// A document and its name by content.
pub(crate) struct Document {
    /// The document, as it is sent.
    pub json: Bytes,
    /// SHA-256 of the bytes, upper-case hexadecimal.
    pub hash: String,
    /// The bytes packed, made when first asked for.
    packed: OnceLock<respond::Made>,
}

impl Document {
    fn new(value: &Value) -> Self {
        let json = Bytes::from(serde_json::to_vec(value).unwrap_or_default());
        let hash = Sha256::digest(&json).iter().map(|byte| format!("{byte:02X}")).collect();
        Self { json, hash, packed: OnceLock::new() }
    }

    fn response(&self, gzip: bool, content_type: &'static str) -> Response<Body> {
        let mut response = if gzip {
            let packed = self.packed.get_or_init(|| respond::packed(self.json.clone(), respond::Coding::Gzip));
            packed.clone().response(200, content_type)
        } else {
            respond::bytes(200, content_type, self.json.clone())
        };
        response.extensions_mut().insert(SharedBytes);
        response
    }
}

/// All documents of one table.
pub(crate) struct Made {
    table: Arc<ResourceTable>,
    known: Arc<Known>,
    remote: Arc<Remote>,
    /// Legacy documents by path: `/api`, `/apis`, `/apis/apps`, `/apis/apps/v1`.
    legacy: BTreeMap<String, Value>,
    /// Aggregated ones: `/api` and `/apis`.
    aggregated: BTreeMap<&'static str, Document>,
}

/// What documents are made of.
pub(crate) struct Source<'a> {
    /// What this server serves.
    pub table: &'a ResourceTable,
    /// Who serves a group version.
    pub known: &'a Known,
    /// What others serve.
    pub remote: &'a Remote,
}

/// The documents of the table that is current: made when first asked for, and again when the table was replaced.
#[derive(Default)]
pub(crate) struct Documents(Mutex<Option<Arc<Made>>>);

impl Documents {
    fn of(&self, core: &Core) -> Arc<Made> {
        let (table, known, remote) =
            (core.registry.table().announced(), core.aggregation.known(), core.aggregation.remote());
        let mut made = self.0.lock();
        let is_same = |made: &&Arc<Made>| {
            Arc::ptr_eq(&made.table, &table) && Arc::ptr_eq(&made.known, &known) && Arc::ptr_eq(&made.remote, &remote)
        };
        if let Some(made) = made.as_ref().filter(is_same) {
            return made.clone();
        }
        let groups = known.groups(&table);
        let source = Source { table: &table, known: &known, remote: &remote };
        let (core, others): (Vec<Group>, Vec<Group>) = groups.into_iter().partition(|group| group.name.is_empty());
        let fresh = Arc::new(Made {
            legacy: legacy::documents(&table, core.iter().chain(&others)),
            aggregated: BTreeMap::from([
                ("/api", Document::new(&aggregated::document(&source, &core))),
                ("/apis", Document::new(&aggregated::document(&source, &others))),
            ]),
            table,
            known,
            remote,
        });
        *made = Some(fresh.clone());
        fresh
    }
}

pub(crate) fn serve(documents: &Documents, core: &Core, parts: &Parts, path: &str) -> Result<Response<Body>, Status> {
    let made = documents.of(core);
    let path = path.trim_end_matches('/');
    let endpoint = if matches!(path, "/api" | "/apis") { Endpoint::Discovery } else { Endpoint::Plain };
    // What is not there has no form that could be refused.
    let Some(value) = made.legacy.get(path) else { return not_there(&made, path) };
    let output = negotiate::output(&parts.headers, parts.uri.query(), endpoint, Forms::All)?;
    if let (Shape::Discovery, Some(document)) = (output.shape, made.aggregated.get(path)) {
        return Ok(cacheable(parts, document, AGGREGATED));
    }
    Ok(legacy_document(output, value))
}

/// A version that is not there is refused by those who serve the group; a group that is not there is nobody's path, and so is
/// a version of one that is defined.
fn not_there(made: &Made, path: &str) -> Result<Response<Body>, Status> {
    let group = path.strip_prefix("/apis/").and_then(|rest| rest.split('/').next());
    let is_builtin = |group: &str| made.table.iter().any(|row| row.group == group && !row.defined);
    match group {
        Some(group) if !is_builtin(group) => Ok(respond::page_not_found()),
        _ => Err(respond::no_such_resource()),
    }
}

fn legacy_document(output: Output, value: &Value) -> Response<Body> {
    let ty = value["kind"].as_str().and_then(sampan_schema::meta::find);
    let (content_type, bytes) = encode::value(output, ty.as_ref(), value);
    respond::bytes(200, content_type, bytes)
}

/// A document that a client may keep for as long as its tag stays.
fn cacheable(parts: &Parts, document: &Document, content_type: &'static str) -> Response<Body> {
    let tag = format!("\"{}\"", document.hash);
    let known = parts.headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let known = known.flat_map(|value| value.split(',')).any(|one| one.trim().trim_start_matches("W/") == tag);
    let mut response = if known {
        respond::bytes(304, content_type, Bytes::new())
    } else {
        document.response(respond::packs(&parts.headers, document.json.len()), content_type)
    };
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public"));
    headers.append(VARY, HeaderValue::from_static("Accept"));
    response
}
