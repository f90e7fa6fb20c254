//! From a value tree to the bytes that are kept, and from bytes to what reads need of them.

use crate::codec::Codec;
use crate::resource::{Resource, StoredAs};
use crate::table::{Index, ResourceTable, storage_prefix};
use arc_swap::ArcSwap;
use bytes::Bytes;
use sampan_api::limits::{NESTING_MAX, OBJECT_MAX};
use sampan_api::object::{Object, OwnerReference};
use sampan_api::record::{Deletion, Record, RecordParts, Writer};
use sampan_schema::nesting;
use sampan_watch::{Decoder, Draft};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::ser::Formatter;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::sync::Arc;

/// Encoded bytes and the two offsets into them.
struct Encoded {
    json: Bytes,
    type_meta_end: u32,
    rv_offset: u32,
}

/// The member that an object begins with, as Go writes it: the type's first of a typed object, the lexically first of a custom
/// resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First {
    Kind,
    ApiVersion,
}

impl First {
    pub(crate) fn of(row: &Resource) -> Self {
        if row.defined { Self::ApiVersion } else { Self::Kind }
    }

    /// Writes the beginning of an object: `{"kind":..,"apiVersion":..,` or the other way around.
    fn begin(self, out: &mut Vec<u8>, api_version: &str, kind: &str) -> Result<(), serde_json::Error> {
        let (first, second) = match self {
            Self::Kind => (("{\"kind\":", kind), (",\"apiVersion\":", api_version)),
            Self::ApiVersion => (("{\"apiVersion\":", api_version), (",\"kind\":", kind)),
        };
        for (name, value) in [first, second] {
            out.extend_from_slice(name.as_bytes());
            serde_json::to_writer(&mut *out, value)?;
        }
        out.push(b',');
        Ok(())
    }
}

/// Writes the type, `"metadata":{` and the rest in lexical order, `metadata.resourceVersion` left out.
fn encode(object: &Object, first: First, size: usize) -> Result<Encoded, serde_json::Error> {
    let mut out: Vec<u8> = Vec::with_capacity(size);
    first.begin(&mut out, object.api_version(), object.kind())?;
    let type_meta_end = out.len() as u32;
    out.extend_from_slice(b"\"metadata\":{");
    let rv_offset = out.len() as u32;
    members(&mut out, object.metadata(), |name| name == "resourceVersion", true)?;
    out.push(b'}');
    members(&mut out, object.fields(), |name| matches!(name, "apiVersion" | "kind" | "metadata"), false)?;
    out.push(b'}');
    Ok(Encoded { json: out.into(), type_meta_end, rv_offset })
}

/// The reason why an object may not be kept, if there is one: readers must get through it, and through its size.
pub(crate) fn refuse(object: &Object, encoded: &[u8]) -> Option<Refusal> {
    let values = || object.fields().values();
    if values().any(|value| nesting::exceeds(value, NESTING_MAX - 1)) {
        return Some(Refusal::TooDeep);
    }
    // JSON's own additions to a text do not count: on a real cluster the limit is that of the protobuf form.
    let too_large = encoded.len() > OBJECT_MAX && values().map(text_bytes).sum::<usize>() > OBJECT_MAX;
    too_large.then_some(Refusal::TooLarge)
}

pub(crate) enum Refusal {
    TooDeep,
    TooLarge,
}

fn text_bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(list) => list.iter().map(text_bytes).sum(),
        Value::Object(map) => map.iter().map(|(key, value)| key.len() + text_bytes(value)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 1,
    }
}

fn members(
    out: &mut Vec<u8>,
    map: &Map<String, Value>,
    skip: impl Fn(&str) -> bool,
    mut first: bool,
) -> Result<(), serde_json::Error> {
    for (name, value) in map.iter().filter(|(name, _)| !skip(name)) {
        if !first {
            out.push(b',');
        }
        first = false;
        serde_json::to_writer(&mut *out, name)?;
        out.push(b':');
        value.serialize(&mut serde_json::Serializer::with_formatter(&mut *out, GoNumbers))?;
    }
    Ok(())
}

/// Writes floats as Go's encoding/json does: a whole one as an integer, which is what readers then take it for.
struct GoNumbers;

impl Formatter for GoNumbers {
    fn write_f64<W: ?Sized + Write>(&mut self, writer: &mut W, value: f64) -> std::io::Result<()> {
        match value.abs() {
            // Of either sign: Go reads "-0" as the integer.
            0.0 => writer.write_all(b"0"),
            size if (1e-6..1e21).contains(&size) => write!(writer, "{value}"),
            size if size >= 1e21 => writer.write_all(format!("{value:e}").replacen('e', "e+", 1).as_bytes()),
            _ => write!(writer, "{value:e}"),
        }
    }
}

/// The draft of an object in the stored version: encoded once, here.
pub(crate) fn draft(
    object: &Object,
    index: &Index,
    writer: Option<Arc<Writer>>,
    size_hint: usize,
) -> Result<Draft, serde_json::Error> {
    let Encoded { json, type_meta_end, rv_offset } = encode(object, index.first, size_hint)?;
    let (api_version, kind) = index.types(object.api_version(), object.kind());
    Ok(Draft {
        api_version,
        kind,
        uid: object.uid().into(),
        labels: Arc::new(object.labels().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()),
        owners: object.owner_references().into(),
        deletion: Deletion::of(object.deletion_timestamp().is_some(), object.finalizers()),
        fields: index.values(object),
        json,
        type_meta_end,
        rv_offset,
        writer,
    })
}

/// The record of a draft that is not (or not yet) in the store: what a dry run answers.
pub(crate) fn record(draft: Draft, revisions: Revisions, object: &Object) -> Record {
    Record::new(RecordParts {
        key: sampan_api::record::RecordKey::new(object.namespace(), object.name()),
        api_version: draft.api_version,
        kind: draft.kind,
        uid: draft.uid,
        create_revision: revisions.created,
        mod_revision: revisions.modified,
        version: revisions.version,
        labels: draft.labels,
        owners: draft.owners,
        deletion: draft.deletion,
        fields: draft.fields,
        writer: draft.writer.unwrap_or_default(),
        json: draft.json,
        type_meta_end: draft.type_meta_end,
        rv_offset: draft.rv_offset,
    })
}

/// A record's revisions in the log. All zero: nowhere.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Revisions {
    pub(crate) created: u64,
    pub(crate) modified: u64,
    pub(crate) version: u64,
}

impl Revisions {
    pub(crate) fn of(record: &Record) -> Self {
        Self { created: record.create_revision, modified: record.mod_revision, version: record.version }
    }
}

/// The record in the version of a row that shares another's storage.
pub(crate) fn convert(record: &Record, row: &Resource, stored_as: &StoredAs) -> Result<Record, serde_json::Error> {
    let mut object = record.object();
    (stored_as.from_storage)(&mut object);
    object.set_gvk(&row.gvk());
    let Encoded { json, type_meta_end, rv_offset } = encode(&object, First::of(row), record.json.len() + 64)?;
    let mut parts = RecordParts::clone(record);
    parts.api_version = object.api_version().into();
    parts.kind = object.kind().into();
    parts.json = json;
    parts.type_meta_end = type_meta_end;
    parts.rv_offset = rv_offset;
    Ok(Record::new(parts))
}

/// The record with another version of its object, and what readers of that version select it by.
pub(crate) fn converted(record: &Record, object: &Object, index: &Index) -> Result<Record, serde_json::Error> {
    let draft = draft(object, index, None, record.json.len() + 64)?;
    let mut parts = RecordParts::clone(record);
    parts.api_version = draft.api_version;
    parts.kind = draft.kind;
    parts.labels = draft.labels;
    parts.fields = draft.fields;
    parts.json = draft.json;
    parts.type_meta_end = draft.type_meta_end;
    parts.rv_offset = draft.rv_offset;
    Ok(Record::new(parts))
}

/// Reads stored bytes for watch: what reads need and no more, unless the row indexes fields.
pub(crate) struct StoredDecoder {
    codec: Arc<dyn Codec>,
    indexes: ArcSwap<HashMap<String, Arc<Index>>>,
}

#[derive(Deserialize)]
struct Head {
    #[serde(rename = "apiVersion")]
    api_version: String,
    kind: String,
    #[serde(default)]
    metadata: HeadMeta,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct HeadMeta {
    uid: String,
    labels: BTreeMap<String, String>,
    owner_references: Vec<Value>,
    deletion_timestamp: Option<String>,
    finalizers: Vec<String>,
}

/// Any JSON that could be read as a value: numbers in range, texts in UTF-8, nesting within the reader's limit. (To skip a
/// value, as [`Head`] does, the reader looks at none of these.)
struct Readable;

impl<'de> Deserialize<'de> for Readable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Readable)
    }
}

impl<'de> Visitor<'de> for Readable {
    type Value = Self;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any JSON")
    }
    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self, A::Error> {
        while list.next_element::<Readable>()?.is_some() {}
        Ok(self)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        while map.next_entry::<Readable, Readable>()?.is_some() {}
        Ok(self)
    }
}

impl StoredDecoder {
    pub(crate) fn new(codec: Arc<dyn Codec>, table: &ResourceTable) -> Self {
        let decoder = Self { codec, indexes: ArcSwap::from_pointee(HashMap::new()) };
        decoder.use_table(table);
        decoder
    }

    pub(crate) fn use_table(&self, table: &ResourceTable) {
        let stored = table.all().filter(|row| row.stored_as.is_none());
        self.indexes.store(Arc::new(stored.map(|row| (storage_prefix(row), Arc::new(Index::of(row)))).collect()));
    }

    pub(crate) fn index(&self, prefix: &str) -> Option<Arc<Index>> {
        self.indexes.load().get(prefix).cloned()
    }
}

impl Decoder for StoredDecoder {
    fn decode(&self, prefix: &str, value: &Bytes) -> Result<Draft, String> {
        let mut json = self.codec.open(prefix, value.clone()).map_err(|error| error.to_string())?;
        let index = self.index(prefix);
        if let Some((settle, first)) = index.as_ref().and_then(|index| Some((index.settle.as_ref()?, index.first))) {
            let value: Value = serde_json::from_slice(&json).map_err(|error| error.to_string())?;
            let mut object = Object::from_value(value).ok_or("it is no object")?;
            settle(&mut object);
            json = encode(&object, first, json.len() + 64).map_err(|error| error.to_string())?.json;
        }
        let head: Head = serde_json::from_slice(&json).map_err(|error| error.to_string())?;
        let fields = match index.as_ref().filter(|index| !index.fields.is_empty()) {
            // Also what nobody has asked for yet must be readable: who has a record may take its object for granted.
            None => serde_json::from_slice(&json).map(|Readable| Arc::default()).map_err(|error| error.to_string())?,
            Some(index) => {
                let value: Value = serde_json::from_slice(&json).map_err(|error| error.to_string())?;
                index.values(&Object::from_value(value).ok_or("it is no object")?)
            }
        };
        let (type_meta_end, rv_offset) = offsets(&json, &head).ok_or("it does not begin with its type")?;
        let owners: Vec<_> = head.metadata.owner_references.iter().filter_map(OwnerReference::from_value).collect();
        let (api_version, kind) = match index {
            Some(index) => index.types(&head.api_version, &head.kind),
            None => (head.api_version.into(), head.kind.into()),
        };
        Ok(Draft {
            api_version,
            kind,
            uid: head.metadata.uid.into(),
            labels: Arc::new(head.metadata.labels),
            owners: owners.into(),
            deletion: Deletion::of(
                head.metadata.deletion_timestamp.is_some(),
                head.metadata.finalizers.iter().map(String::as_str),
            ),
            fields,
            json,
            type_meta_end,
            rv_offset,
            writer: None,
        })
    }
}

/// The offsets in bytes that [`encode`] wrote; `None` if it did not write them. What an earlier build stored may begin with the
/// other member.
fn offsets(json: &[u8], head: &Head) -> Option<(u32, u32)> {
    [First::Kind, First::ApiVersion].into_iter().find_map(|first| {
        let mut begin = Vec::with_capacity(128);
        first.begin(&mut begin, &head.api_version, &head.kind).ok()?;
        let type_meta_end = begin.len();
        begin.extend_from_slice(b"\"metadata\":{");
        json.starts_with(&begin).then_some((type_meta_end as u32, begin.len() as u32))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Plain;
    use serde_json::json;

    #[test]
    fn what_is_encoded_is_decoded() {
        let row = Resource::new("", "v1", "things", "Thing").selectable("spec.color").selectable_or("spec.on", "false");
        let table = ResourceTable::new([row]).expect("a table");
        let decoder = StoredDecoder::new(Arc::new(Plain), &table);
        let index = decoder.index("/registry/core/things/").expect("indexed");
        let check = |value: Value, encoded: &str| {
            let object = Object::from_value(value).expect("an object");
            let draft = draft(&object, &index, None, 0).expect("encodes");
            assert_eq!(std::str::from_utf8(&draft.json), Ok(encoded));
            let back = decoder.decode("/registry/core/things/", &draft.json).expect("decodes");
            assert_eq!((back.type_meta_end, back.rv_offset), (draft.type_meta_end, draft.rv_offset));
            assert_eq!((&back.labels, &back.fields, &back.owners), (&draft.labels, &draft.fields, &draft.owners));
            assert_eq!(back.deletion, draft.deletion);
            assert_eq!((back.api_version, back.kind, back.uid), (draft.api_version, draft.kind, draft.uid));
        };
        check(
            json!({"spec": {"color": "red\n"}, "kind": "Thing", "apiVersion": "v1", "aaa": 1,
                "metadata": {"resourceVersion": "7", "name": "x", "uid": "u", "labels": {"a": "b"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "pu"}]}}),
            r#"{"kind":"Thing","apiVersion":"v1","metadata":{"labels":{"a":"b"},"name":"x","ownerReferences":[{"apiVersion":"v1","kind":"Pod","name":"p","uid":"pu"}],"uid":"u"},"aaa":1,"spec":{"color":"red\n"}}"#,
        );
        check(json!({"kind": "Thing", "apiVersion": "v1"}), r#"{"kind":"Thing","apiVersion":"v1","metadata":{}}"#);
        check(
            json!({"kind": "Thing", "apiVersion": "v1", "metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z",
                "finalizers": ["a/b", "foregroundDeletion"]}}),
            r#"{"kind":"Thing","apiVersion":"v1","metadata":{"deletionTimestamp":"2026-01-01T00:00:00Z","finalizers":["a/b","foregroundDeletion"]}}"#,
        );
    }

    #[test]
    fn numbers_are_written_as_go_writes_them() {
        let row = Resource::new("", "v1", "things", "Thing");
        let index = Index::of(&row);
        let check = |sent: &str, written: &str| {
            let value: Value = serde_json::from_str(sent).expect("JSON");
            let object =
                Object::from_value(json!({"kind": "Thing", "apiVersion": "v1", "n": value})).expect("an object");
            let draft = draft(&object, &index, None, 0).expect("encodes");
            let text = String::from_utf8(draft.json.to_vec()).expect("text");
            assert_eq!(text, format!(r#"{{"kind":"Thing","apiVersion":"v1","metadata":{{}},"n":{written}}}"#));
        };
        check("1", "1");
        check("1.0", "1");
        check("[1e2, 1E5]", "[100,100000]");
        check("-0", "0");
        check("-1.5", "-1.5");
        check("1e20", "100000000000000000000");
        check("1e21", "1e+21");
        check("1.5e300", "1.5e+300");
        check("0.000001", "0.000001");
        check("1e-7", "1e-7");
        check("9007199254740993", "9007199254740993");
        check("12345678901234567890", "12345678901234567890");
    }

    #[test]
    fn an_object_begins_as_go_begins_it() {
        let check = |defined: bool, encoded: &str| {
            let mut row = Resource::new("", "v1", "things", "Thing");
            row.defined = defined;
            let decoder = StoredDecoder::new(Arc::new(Plain), &ResourceTable::new([row]).expect("a table"));
            let index = decoder.index("/registry/core/things/").expect("indexed");
            let object = Object::from_value(json!({"apiVersion": "v1", "kind": "Thing"})).expect("an object");
            let draft = draft(&object, &index, None, 0).expect("encodes");
            assert_eq!(std::str::from_utf8(&draft.json), Ok(encoded));
            // What was stored in the other order is read too.
            for stored in [TYPED, CUSTOM] {
                let back = decoder.decode("/registry/core/things/", &Bytes::from(stored)).expect("decodes");
                assert_eq!(&back.json[back.rv_offset as usize..], b"}}");
            }
        };
        const TYPED: &str = r#"{"kind":"Thing","apiVersion":"v1","metadata":{}}"#;
        const CUSTOM: &str = r#"{"apiVersion":"v1","kind":"Thing","metadata":{}}"#;
        check(false, TYPED);
        check(true, CUSTOM);
    }

    #[test]
    fn what_readers_could_not_read_is_neither_kept_nor_taken() {
        let row = Resource::new("", "v1", "plains", "Plain");
        let decoder = StoredDecoder::new(Arc::new(Plain), &ResourceTable::new([row]).expect("a table"));
        let whole = |data: &str| format!(r#"{{"apiVersion":"v1","kind":"Plain","metadata":{{}},"data":{data}}}"#);
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        let check = |data: String, readable: bool| {
            let bytes = Bytes::from(whole(&data));
            assert_eq!(decoder.decode("/registry/core/plains/", &bytes).is_ok(), readable, "{data}");
            assert_eq!(serde_json::from_slice::<Value>(&bytes).is_ok(), readable, "{data}");
        };
        check(nested(NESTING_MAX - 1), true);
        check(nested(500), false);
        check(r#"[1.5, -2, true, null, "a\n", {"b": 18446744073709551615}]"#.into(), true);
        check("1e999".into(), false);
        check(r#""\ud800""#.into(), false);

        let object = |data: Value| Object::from_value(json!({"data": data})).expect("an object");
        let refused = |data: Value| {
            let object = object(data);
            let encoded = serde_json::to_vec(&object).expect("encodes");
            refuse(&object, &encoded)
        };
        let deep = |depth: usize| serde_json::from_str(&nested(depth)).expect("JSON");
        assert!(refused(deep(NESTING_MAX - 1)).is_none());
        assert!(matches!(refused(deep(NESTING_MAX)), Some(Refusal::TooDeep)));
        assert!(refused("\n".repeat(OBJECT_MAX - 10).into()).is_none(), "its escapes do not count");
        assert!(matches!(refused("x".repeat(OBJECT_MAX + 1).into()), Some(Refusal::TooLarge)));
    }
}
