//! Records, lists and Status into bytes. JSON of records is copied, never parsed; protobuf is made once a record; Table,
//! YAML and what is to be read by people are computed.

use crate::indent::Indent;
use crate::metadata;
use crate::negotiate::{Format, MetaVersion, Output, Shape};
use crate::table::{Include, Tables};
use bytes::Bytes;
use sampan_api::{Object, Record, RecordEvent, Status};
use sampan_registry::{Resource, Selection};
use sampan_schema::{ObjectType, meta, protobuf, yaml};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::SystemTime;

/// Encodes the answers of one request about one row.
#[derive(Clone)]
pub struct Encoder {
    /// The row whose objects are encoded.
    pub row: Arc<Resource>,
    /// Into what.
    pub output: Output,
    /// The form of objects in a table's rows.
    pub include: Include,
    /// The time that ages in tables are counted to.
    pub now: SystemTime,
}

impl Encoder {
    pub(crate) fn tables(&self, version: MetaVersion) -> Tables<'_> {
        Tables { row: &self.row, version, include: self.include, now: self.now }
    }

    /// Whether an answer is made with more work than copying.
    pub fn is_computed(&self) -> bool {
        self.output.shape != Shape::Whole || self.output.format != Format::Json || self.output.pretty
    }

    /// The payload of a record, without the envelope. Of a kind without a message of its own it is that of its metadata.
    pub(crate) fn payload(&self, record: &Record) -> Result<Bytes, Status> {
        let payload = record.protobuf(|record| {
            let mut out = Vec::with_capacity(record.json.len());
            let mut object = record.object().into_value();
            let partial = meta::find("PartialObjectMetadata");
            let own = self.row.ty.as_ref().filter(|ty| ty.def().has_protobuf());
            if own.is_none() {
                object = json!({"metadata": object["metadata"].take()});
            }
            let ty = own.or(partial.as_ref());
            let encoded = ty.map(|ty| protobuf::encode(ty.schema(), ty.id(), &object, &mut out));
            match encoded {
                Some(Ok(())) => out.into(),
                Some(Err(error)) => {
                    // An object that was decoded with the schema encodes with it; a record that does not is a defect of
                    // ours.
                    tracing::error!(%error, key = %record.key, kind = %record.kind, "no protobuf form");
                    Bytes::new()
                }
                None => Bytes::new(),
            }
        });
        // Every object has metadata: nothing at all stands for a form that could not be made.
        if payload.is_empty() {
            return Err(Status::internal(&format!("{} {} has no protobuf form", record.kind, record.key)));
        }
        Ok(payload)
    }

    /// One object.
    pub fn record(&self, record: &Record) -> Result<Bytes, Status> {
        let mut out = Vec::with_capacity(record.json_len() + 1);
        match (self.output.shape, self.output.format) {
            (Shape::MetadataList(_), _) => {
                return Err(not_a_list(&self.row.group, &self.row.kind));
            }
            (Shape::Metadata(_), Format::Protobuf) => {
                let payload = self.payload(record)?;
                return Ok(protobuf::wrap(
                    "meta.k8s.io/v1",
                    "PartialObjectMetadata",
                    &metadata::of_protobuf(&payload, &self.row),
                )
                .into());
            }
            (Shape::Whole | Shape::Discovery, Format::Protobuf) | (Shape::Table(_), Format::Protobuf) => {
                return Ok(protobuf::wrap(&record.api_version, &record.kind, &self.payload(record)?).into());
            }
            (Shape::Metadata(version), _) => metadata::write_json(&mut out, record, version, &self.row),
            (Shape::Table(version), _) => {
                let tables = self.tables(version);
                tables.begin(&mut out, &revision_metadata(record.mod_revision), true);
                tables.row(&mut out, record);
                Tables::end(&mut out);
            }
            (Shape::Whole | Shape::Discovery, _) => record.write_json(&mut out),
        }
        self.finish(out)
    }

    pub(crate) fn list_as_metadata(&self) -> Status {
        not_acceptable(&format!(
            "you requested PartialObjectMetadata, but the requested object is a list (*{}.{}List)",
            package(&self.row.group),
            self.row.kind
        ))
    }

    /// JSON into what was asked for: itself with a newline, indented, or YAML.
    fn finish(&self, mut json: Vec<u8>) -> Result<Bytes, Status> {
        let read = |json: &[u8]| serde_json::from_slice::<Value>(json).map_err(|error| unencodable(&error));
        Ok(match (self.output.format, self.output.pretty) {
            (Format::Yaml, _) => yaml::encode(&read(&json)?).into(),
            (_, true) => {
                let mut out = Vec::with_capacity(json.len() + json.len() / 2);
                Indent::default().write(&mut out, &json);
                out.into()
            }
            _ => {
                json.push(b'\n');
                json.into()
            }
        })
    }

    /// One frame of a watch, appended whole or not at all. `first`: nothing of it was sent before, so a table shows its
    /// columns.
    pub fn frame(&self, out: &mut Vec<u8>, event: &RecordEvent, first: bool) -> Result<(), Status> {
        let kind = event.kind().as_str();
        if self.output.format == Format::Protobuf {
            let object = match (event, self.output.shape) {
                (RecordEvent::Bookmark { revision, initial_events_end }, _) => {
                    self.bookmark_protobuf(*revision, *initial_events_end)?
                }
                (RecordEvent::Added(record) | RecordEvent::Modified(record) | RecordEvent::Deleted(record), shape) => {
                    let payload = self.payload(record)?;
                    match shape {
                        Shape::Whole => protobuf::wrap(&record.api_version, &record.kind, &payload),
                        _ => {
                            let metadata = metadata::of_protobuf(&payload, &self.row);
                            protobuf::wrap("meta.k8s.io/v1", "PartialObjectMetadata", &metadata)
                        }
                    }
                }
            };
            out.extend_from_slice(&protobuf::watch_frame(kind, &object));
            return Ok(());
        }
        out.extend_from_slice(b"{\"type\":\"");
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b"\",\"object\":");
        match event {
            RecordEvent::Added(record) | RecordEvent::Modified(record) | RecordEvent::Deleted(record) => {
                match self.output.shape {
                    Shape::Whole | Shape::Discovery => record.write_json(out),
                    Shape::Metadata(version) | Shape::MetadataList(version) => {
                        metadata::write_json(out, record, version, &self.row);
                    }
                    Shape::Table(version) => {
                        let tables = self.tables(version);
                        tables.begin(out, &revision_metadata(record.mod_revision), first);
                        tables.row(out, record);
                        Tables::end(out);
                    }
                }
            }
            RecordEvent::Bookmark { revision, initial_events_end } => {
                self.bookmark_json(out, *revision, *initial_events_end, first);
            }
        }
        out.extend_from_slice(b"}\n");
        Ok(())
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
                let tables = self.tables(version);
                tables.begin(out, &revision_metadata(revision), first);
                // Those of an object in which nothing is set.
                tables.cells(out, &Object::default());
                out.extend_from_slice(b",\"object\":");
                partial(out, version.api_version(), "PartialObjectMetadata");
                out.extend_from_slice(b"}}");
                Tables::end(out);
            }
        }
    }

    fn bookmark_protobuf(&self, revision: u64, initial_events_end: bool) -> Result<Vec<u8>, Status> {
        let mut object = json!({"metadata": {"resourceVersion": revision.to_string()}});
        if initial_events_end {
            object["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let (api_version, kind, ty) = match self.output.shape {
            Shape::Whole => (self.row.api_version(), self.row.kind.to_string(), self.row.ty.clone()),
            _ => {
                let kind = "PartialObjectMetadata";
                ("meta.k8s.io/v1".to_owned(), kind.to_owned(), meta::find(kind))
            }
        };
        let mut payload = Vec::with_capacity(64);
        if let Some(ty) = ty {
            protobuf::encode(ty.schema(), ty.id(), &object, &mut payload).map_err(|error| unencodable(&error))?;
        }
        Ok(protobuf::wrap(&api_version, &kind, &payload))
    }

    /// The frame that ends a watch which failed after it began.
    pub fn error_frame(&self, out: &mut Vec<u8>, status: &Status) {
        if self.output.format == Format::Protobuf {
            out.extend_from_slice(&protobuf::watch_frame("ERROR", &status_protobuf(&status.to_value())));
            return;
        }
        out.extend_from_slice(b"{\"type\":\"ERROR\",\"object\":");
        // A Vec takes every write, and a Status always encodes.
        serde_json::to_writer(&mut *out, &status.whole()).unwrap_or_default();
        out.extend_from_slice(b"}\n");
    }
}

/// The package in which Go keeps a group's internal types: by the group's first part, but for two.
fn package(group: &str) -> &str {
    match group.split('.').next().unwrap_or_default() {
        "" | "events" => "core",
        "internal" => "apiserverinternal",
        first => first,
    }
}

/// The refusal of the metadata of a list, where the answer is one object.
pub(crate) fn not_a_list(group: &str, kind: &str) -> Status {
    let package = package(group);
    not_acceptable(&format!(
        "you requested PartialObjectMetadataList, but the requested object is not a list (*{package}.{kind})"
    ))
}

fn not_acceptable(message: &str) -> Status {
    Status::failure(sampan_api::Reason::NotAcceptable, message)
}

/// An answer made of our own data cannot be written: a defect of ours, which an answer that looks whole would hide.
pub(crate) fn unencodable(error: &dyn std::error::Error) -> Status {
    tracing::error!(%error, "an answer could not be encoded");
    Status::internal(&format!("the answer could not be encoded: {error}"))
}

/// `{"resourceVersion":"N"}`; of what is in no revision, `{}`.
fn revision_metadata(revision: u64) -> Vec<u8> {
    if revision == 0 {
        return b"{}".to_vec();
    }
    let mut out = b"{\"resourceVersion\":\"".to_vec();
    out.extend_from_slice(itoa::Buffer::new().format(revision).as_bytes());
    out.extend_from_slice(b"\"}");
    out
}

/// The ListMeta of a page.
pub(crate) fn list_metadata(encoder: &Encoder, list: &Selection) -> Vec<u8> {
    let mut out = revision_metadata(list.revision);
    out.pop();
    // Go's lists without a struct of their own name it always.
    let always = encoder.row.defined && encoder.output.shape == Shape::Whole;
    if let Some(token) = list.continue_token.as_deref().or(always.then_some("")) {
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

/// An object in Go's order of members: its type before all others, `kind` first.
struct Typed<'v>(&'v Value);

impl Serialize for Typed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const TYPE: [&str; 2] = ["kind", "apiVersion"];
        let Value::Object(members) = self.0 else { return self.0.serialize(serializer) };
        let mut map = serializer.serialize_map(Some(members.len()))?;
        for (name, value) in TYPE.iter().filter_map(|name| members.get_key_value(*name)) {
            map.serialize_entry(name, value)?;
        }
        for (name, value) in members.iter().filter(|(name, _)| !TYPE.contains(&name.as_str())) {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// JSON whose members are in the order in which `value` has them. For people it is indented by two, without a newline at the
/// end, as Go's encoder leaves it.
pub fn ordered(output: Output, value: &impl Serialize) -> (&'static str, Bytes) {
    let bytes = if output.pretty {
        serde_json::to_vec_pretty(value).unwrap_or_default()
    } else {
        let mut bytes = serde_json::to_vec(value).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    };
    (Format::Json.media_type(), bytes.into())
}

/// A status in the format asked for.
pub fn status(output: Output, status: &Status) -> (&'static str, Bytes) {
    match output.format {
        Format::Json => ordered(output, &status.whole()),
        _ => value(output, meta::find("Status").as_ref(), &status.to_value()),
    }
}

/// Any other object (discovery, a Scale) in the format asked for. What has no type with a protobuf form is written
/// as JSON.
pub fn value(output: Output, ty: Option<&ObjectType>, value: &Value) -> (&'static str, Bytes) {
    match (output.format, ty.filter(|ty| ty.def().has_protobuf())) {
        (Format::Protobuf, Some(ty)) => match protobuf::encode_object(ty.schema(), ty.id(), value) {
            Ok(bytes) => (Format::Protobuf.media_type(), bytes.into()),
            Err(error) => {
                tracing::error!(%error, "no protobuf form");
                (Format::Json.media_type(), serde_json::to_vec(&Typed(value)).unwrap_or_default().into())
            }
        },
        (Format::Yaml, _) => (Format::Yaml.media_type(), yaml::encode(value).into()),
        _ => ordered(output, &Typed(value)),
    }
}

fn status_protobuf(value: &Value) -> Vec<u8> {
    let encoded = meta::find("Status").map(|ty| protobuf::encode_object(ty.schema(), ty.id(), value));
    encoded.and_then(Result::ok).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listing::Listing;
    use sampan_api::record::Deletion;
    use sampan_api::{RecordKey, RecordParts};
    use sampan_registry::{List, ResourceTable};

    const CONFIG_MAP: &str = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}"#;

    /// A record as no write makes one: `rest` follows its metadata.
    fn record(rest: &str) -> Record {
        let json = format!("{CONFIG_MAP}{rest}}}");
        Record::new(RecordParts {
            key: RecordKey::new("default", "a"),
            api_version: "v1".into(),
            kind: "ConfigMap".into(),
            uid: "".into(),
            create_revision: 7,
            mod_revision: 7,
            version: 1,
            labels: Arc::default(),
            owners: Arc::from([]),
            deletion: Deletion::None,
            fields: Arc::from([]),
            writer: Arc::default(),
            type_meta_end: u32::try_from(CONFIG_MAP.find("\"metadata").expect("there")).expect("small"),
            rv_offset: u32::try_from(CONFIG_MAP.find("\"name").expect("there")).expect("small"),
            json: json.into(),
        })
    }

    #[test]
    fn what_cannot_be_encoded_is_an_error_and_never_half_an_answer() {
        let table = ResourceTable::builtin().expect("the built-in table is sound");
        let row = table.lookup("", "v1", "configmaps").expect("a built-in row");
        let check = |rest: &str, format: Format, shape: Shape, well: bool| {
            let output = Output { format, shape, pretty: false };
            let include = Include::default();
            let encoder = Encoder { row: row.clone(), output, include, now: SystemTime::UNIX_EPOCH };
            let record = Arc::new(record(rest));
            let list = List { items: vec![record.clone()], revision: 7, continue_token: None, remaining: None };
            let listed = || {
                let mut listing = Listing::new(encoder.clone(), list.clone().into())?;
                let mut measured = listing.to_measure();
                while let Some(rest) = measured.as_mut().filter(|rest| !rest.is_over()) {
                    listing.measure(rest)?;
                }
                listing.piece(usize::MAX, usize::MAX)
            };
            // Twice: what was kept of the first time must not pass for the form.
            for _ in 0..2 {
                let mut frames = Vec::new();
                let framed = encoder.frame(&mut frames, &RecordEvent::Added(record.clone()), true);
                for outcome in [encoder.record(&record).err(), listed().err(), framed.err()] {
                    assert_eq!(outcome.map(|status| status.code()), (!well).then_some(500), "{rest} {format:?}");
                }
                assert_eq!(frames.is_empty(), !well);
            }
        };
        for (format, shape) in [(Format::Protobuf, Shape::Whole), (Format::Json, Shape::Whole)] {
            check(r#","data":{"k":"v"}"#, format, shape, true);
        }
        check(r#","data":"no map""#, Format::Protobuf, Shape::Whole, false);
    }
}
