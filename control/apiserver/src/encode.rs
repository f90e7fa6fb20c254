//! Records, lists and Status into bytes. JSON of records is copied, never parsed; protobuf is made once a record; Table,
//! YAML and what is to be read by people are computed.

use crate::metadata;
use crate::negotiate::{Format, MetaVersion, Output, Shape};
use crate::table::{Include, Tables};
use bytes::Bytes;
use sampan_api::{GroupVersionKind, Record, RecordEvent, Status};
use sampan_registry::{List, Resource};
use sampan_schema::{Schema, TypeId, protobuf, yaml};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::SystemTime;

/// Encodes the answers of one request about one row.
#[derive(Clone)]
pub struct Encoder {
    pub row: Arc<Resource>,
    pub output: Output,
    pub include: Include,
    pub now: SystemTime,
}

impl Encoder {
    fn tables(&self, version: MetaVersion) -> Tables<'_> {
        Tables { row: &self.row, version, include: self.include, now: self.now }
    }

    fn type_id(&self) -> Option<TypeId> {
        Schema::builtin().find(&self.row.group, &self.row.version, &self.row.kind)
    }

    /// The payload of a record, without the envelope.
    fn payload(&self, record: &Record) -> Bytes {
        record.protobuf(|record| {
            let mut out = Vec::with_capacity(record.json.len());
            let encoded = self
                .type_id()
                .map(|type_id| protobuf::encode(Schema::builtin(), type_id, &record.object().into_value(), &mut out));
            if let Some(Err(error)) = encoded {
                // What was decoded with the schema encodes with it; a record that does not is a defect of ours.
                tracing::error!(%error, key = %record.key, kind = %record.kind, "no protobuf form");
            }
            out.into()
        })
    }

    /// One object.
    pub fn record(&self, record: &Record) -> Result<Bytes, Status> {
        let mut out = Vec::with_capacity(record.json_len() + 1);
        match (self.output.shape, self.output.format) {
            (Shape::MetadataList(_), _) => {
                return Err(not_acceptable(&format!(
                    "you requested PartialObjectMetadataList, but the requested object is not a list (*{}.{})",
                    self.package(),
                    self.row.kind
                )));
            }
            (Shape::Metadata(_), Format::Protobuf) => {
                let payload = self.payload(record);
                return Ok(
                    protobuf::wrap("meta.k8s.io/v1", "PartialObjectMetadata", metadata::of_protobuf(&payload)).into()
                );
            }
            (Shape::Whole | Shape::Discovery, Format::Protobuf) | (Shape::Table(_), Format::Protobuf) => {
                return Ok(protobuf::wrap(&record.api_version, &record.kind, &self.payload(record)).into());
            }
            (Shape::Metadata(version), _) => metadata::write_json(&mut out, record, version),
            (Shape::Table(version), _) => {
                let tables = self.tables(version);
                tables.begin(&mut out, &revision_metadata(record.mod_revision), true);
                tables.row(&mut out, record);
                Tables::end(&mut out);
            }
            (Shape::Whole | Shape::Discovery, _) => record.write_json(&mut out),
        }
        Ok(self.finish(out))
    }

    /// A page of objects, all of one revision.
    pub fn list(&self, list: &List) -> Result<Bytes, Status> {
        if self.output.format == Format::Protobuf {
            return self.list_protobuf(list);
        }
        let bytes: usize = list.items.iter().map(|record| record.json_len() + 1).sum();
        let mut out = Vec::with_capacity(bytes + 256);
        let meta = list_metadata(list);
        match self.output.shape {
            Shape::Metadata(_) => return Err(self.list_as_metadata()),
            Shape::Table(version) => {
                let tables = self.tables(version);
                tables.begin(&mut out, &meta, true);
                join(&mut out, &list.items, |out, record| tables.row(out, record));
                Tables::end(&mut out);
            }
            Shape::MetadataList(version) => {
                begin_list(&mut out, "PartialObjectMetadata", version.api_version(), &meta);
                join(&mut out, &list.items, metadata::write_item_json);
                out.extend_from_slice(b"]}");
            }
            Shape::Whole | Shape::Discovery => {
                begin_list(&mut out, &self.row.kind, &self.row.api_version(), &meta);
                join(&mut out, &list.items, |out, record| record.write_item_json(out));
                out.extend_from_slice(b"]}");
            }
        }
        Ok(self.finish(out))
    }

    fn list_as_metadata(&self) -> Status {
        not_acceptable(&format!(
            "you requested PartialObjectMetadata, but the requested object is a list (*{}.{}List)",
            self.package(),
            self.row.kind
        ))
    }

    fn list_protobuf(&self, list: &List) -> Result<Bytes, Status> {
        let (api_version, kind, whole) = match self.output.shape {
            Shape::Metadata(_) => return Err(self.list_as_metadata()),
            Shape::MetadataList(version) => {
                (version.api_version().to_owned(), "PartialObjectMetadataList".into(), false)
            }
            _ => (self.row.api_version(), format!("{}List", self.row.kind), true),
        };
        let meta: Value = serde_json::from_slice(&list_metadata(list)).unwrap_or_default();
        let items = list.items.iter().map(|record| {
            let payload = self.payload(record);
            if whole { payload } else { payload.slice_ref(metadata::of_protobuf(&payload)) }
        });
        protobuf::encode_list(Schema::builtin(), &api_version, &kind, &meta, items)
            .map(Bytes::from)
            .map_err(|error| Status::internal(&error.to_string()))
    }

    /// The package in which Go keeps the kind's internal type.
    fn package(&self) -> &str {
        self.row.group.split('.').next().filter(|group| !group.is_empty()).unwrap_or("core")
    }

    /// JSON into what was asked for: itself with a newline, indented, or YAML.
    fn finish(&self, mut json: Vec<u8>) -> Bytes {
        match (self.output.format, self.output.pretty) {
            (Format::Yaml, _) => {
                serde_json::from_slice::<Value>(&json).map(|v| yaml::encode(&v)).unwrap_or_default().into()
            }
            (_, true) => serde_json::from_slice::<Value>(&json).map(|v| pretty(&v)).unwrap_or_default().into(),
            _ => {
                json.push(b'\n');
                json.into()
            }
        }
    }

    /// One frame of a watch, appended. `first`: nothing of it was sent before, so a table shows its columns.
    pub fn frame(&self, out: &mut Vec<u8>, event: &RecordEvent, first: bool) {
        let kind = event.kind().as_str();
        if self.output.format == Format::Protobuf {
            let object = match (event, self.output.shape) {
                (RecordEvent::Bookmark { revision, initial_events_end }, _) => {
                    self.bookmark_protobuf(*revision, *initial_events_end)
                }
                (_, Shape::Whole) => event
                    .record()
                    .map(|record| protobuf::wrap(&record.api_version, &record.kind, &self.payload(record)))
                    .unwrap_or_default(),
                (_, _) => event
                    .record()
                    .map(|record| {
                        let payload = self.payload(record);
                        protobuf::wrap("meta.k8s.io/v1", "PartialObjectMetadata", metadata::of_protobuf(&payload))
                    })
                    .unwrap_or_default(),
            };
            out.extend_from_slice(&protobuf::watch_frame(kind, &object));
            return;
        }
        out.extend_from_slice(b"{\"type\":\"");
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b"\",\"object\":");
        match (event.record(), event) {
            (Some(record), _) => match self.output.shape {
                Shape::Whole | Shape::Discovery => record.write_json(out),
                Shape::Metadata(version) | Shape::MetadataList(version) => metadata::write_json(out, record, version),
                Shape::Table(version) => {
                    let tables = self.tables(version);
                    tables.begin(out, &revision_metadata(record.mod_revision), first);
                    tables.row(out, record);
                    Tables::end(out);
                }
            },
            (None, RecordEvent::Bookmark { revision, initial_events_end }) => {
                self.bookmark_json(out, *revision, *initial_events_end, first);
            }
            (None, _) => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b"}\n");
    }

    /// A bookmark's object has a type, a revision, and perhaps the mark that the initial events are complete.
    fn bookmark_json(&self, out: &mut Vec<u8>, revision: u64, initial_events_end: bool, first: bool) {
        let partial = |out: &mut Vec<u8>, api_version: &str, kind: &str| {
            out.extend_from_slice(b"{\"kind\":\"");
            out.extend_from_slice(kind.as_bytes());
            out.extend_from_slice(b"\",\"apiVersion\":\"");
            out.extend_from_slice(api_version.as_bytes());
            out.extend_from_slice(b"\",\"metadata\":{\"resourceVersion\":\"");
            out.extend_from_slice(itoa::Buffer::new().format(revision).as_bytes());
            out.extend_from_slice(b"\"");
            if initial_events_end {
                out.extend_from_slice(b",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}");
            }
            out.extend_from_slice(b"}");
        };
        match self.output.shape {
            Shape::Whole | Shape::Discovery => {
                partial(out, &self.row.api_version(), &self.row.kind);
                // Informers decode bookmarks into the kind's struct, where Go's encoder leaves no field away.
                out.push(b'}');
            }
            Shape::Metadata(version) | Shape::MetadataList(version) => {
                partial(out, version.api_version(), "PartialObjectMetadata");
                out.push(b'}');
            }
            Shape::Table(version) => {
                self.tables(version).begin(out, &revision_metadata(revision), first);
                out.extend_from_slice(b"{\"cells\":[],\"object\":");
                partial(out, version.api_version(), "PartialObjectMetadata");
                out.extend_from_slice(b"}}");
                Tables::end(out);
            }
        }
    }

    fn bookmark_protobuf(&self, revision: u64, initial_events_end: bool) -> Vec<u8> {
        let mut object = json!({"metadata": {"resourceVersion": revision.to_string()}});
        if initial_events_end {
            object["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let schema = Schema::builtin();
        let (api_version, kind, type_id) = match self.output.shape {
            Shape::Whole => (self.row.api_version(), self.row.kind.to_string(), self.type_id()),
            _ => (
                "meta.k8s.io/v1".to_owned(),
                "PartialObjectMetadata".to_owned(),
                schema.find("meta.k8s.io", "v1", "PartialObjectMetadata"),
            ),
        };
        let mut payload = Vec::with_capacity(64);
        if let Some(Err(error)) = type_id.map(|type_id| protobuf::encode(schema, type_id, &object, &mut payload)) {
            tracing::error!(%error, %kind, "a bookmark has no protobuf form");
        }
        protobuf::wrap(&api_version, &kind, &payload)
    }

    /// The frame that ends a watch which failed after it began.
    pub fn error_frame(&self, out: &mut Vec<u8>, status: &Status) {
        let value = status.to_value();
        if self.output.format == Format::Protobuf {
            out.extend_from_slice(&protobuf::watch_frame("ERROR", &status_protobuf(&value)));
            return;
        }
        out.extend_from_slice(b"{\"type\":\"ERROR\",\"object\":");
        // A Vec takes every write, and a Value always encodes.
        serde_json::to_writer(&mut *out, &value).unwrap_or_default();
        out.extend_from_slice(b"}\n");
    }
}

fn not_acceptable(message: &str) -> Status {
    Status::failure(sampan_api::Reason::NotAcceptable, message)
}

fn begin_list(out: &mut Vec<u8>, kind: &str, api_version: &str, meta: &[u8]) {
    out.extend_from_slice(b"{\"kind\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"List\",\"apiVersion\":\"");
    out.extend_from_slice(api_version.as_bytes());
    out.extend_from_slice(b"\",\"metadata\":");
    out.extend_from_slice(meta);
    out.extend_from_slice(b",\"items\":[");
}

fn join(out: &mut Vec<u8>, items: &[Arc<Record>], mut write: impl FnMut(&mut Vec<u8>, &Record)) {
    for (at, record) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(out, record);
    }
}

/// `{"resourceVersion":"N"}`
fn revision_metadata(revision: u64) -> Vec<u8> {
    let mut out = b"{\"resourceVersion\":\"".to_vec();
    out.extend_from_slice(itoa::Buffer::new().format(revision).as_bytes());
    out.extend_from_slice(b"\"}");
    out
}

/// The ListMeta of a page.
fn list_metadata(list: &List) -> Vec<u8> {
    let mut out = revision_metadata(list.revision);
    out.pop();
    if let Some(token) = &list.continue_token {
        out.extend_from_slice(b",\"continue\":");
        serde_json::to_writer(&mut out, token).unwrap_or_default();
    }
    if let Some(remaining) = list.remaining.filter(|remaining| *remaining > 0) {
        out.extend_from_slice(b",\"remainingItemCount\":");
        out.extend_from_slice(itoa::Buffer::new().format(remaining).as_bytes());
    }
    out.push(b'}');
    out
}

/// Indented by two, without a newline at the end, as Go's encoder leaves it.
pub fn pretty(value: &Value) -> Vec<u8> {
    serde_json::to_vec_pretty(value).unwrap_or_default()
}

/// Any other object (Status, discovery, a Scale) in the format asked for. `gvk` finds its protobuf form.
pub fn value(output: Output, gvk: Option<&GroupVersionKind>, value: &Value) -> (&'static str, Bytes) {
    let schema = Schema::builtin();
    let type_id = gvk.and_then(|gvk| schema.type_of(gvk)).filter(|id| schema.get(*id).has_protobuf());
    match (output.format, type_id) {
        (Format::Protobuf, Some(type_id)) => match protobuf::encode_object(schema, type_id, value) {
            Ok(bytes) => (Format::Protobuf.media_type(), bytes.into()),
            Err(error) => {
                tracing::error!(%error, "no protobuf form");
                (Format::Json.media_type(), serde_json::to_vec(value).unwrap_or_default().into())
            }
        },
        (Format::Yaml, _) => (Format::Yaml.media_type(), yaml::encode(value).into()),
        _ if output.pretty => (Format::Json.media_type(), pretty(value).into()),
        _ => {
            let mut bytes = serde_json::to_vec(value).unwrap_or_default();
            bytes.push(b'\n');
            (Format::Json.media_type(), bytes.into())
        }
    }
}

fn status_protobuf(value: &Value) -> Vec<u8> {
    let schema = Schema::builtin();
    let encoded = schema.find("", "v1", "Status").map(|type_id| protobuf::encode_object(schema, type_id, value));
    encoded.and_then(Result::ok).unwrap_or_default()
}
