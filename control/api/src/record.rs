//! A record: an object at rest, as it was written in one revision, with its encoding made once.

use crate::object::{Object, OwnerReference};
use crate::outline::{self, Outline};
use crate::status::Status;
use crate::typed;
use bytes::Bytes;
use futures::stream::BoxStream;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use std::any::Any;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

/// A record's place within its resource. Cluster-scoped objects have an empty namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordKey {
    /// `""` for cluster-scoped objects.
    pub namespace: Arc<str>,
    /// The object's name.
    pub name: Arc<str>,
}

impl RecordKey {
    /// Out of its parts; `""` is no namespace.
    pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

/// As client-go writes keys: `namespace/name`, or `name` alone.
impl std::fmt::Display for RecordKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.namespace.is_empty() { f.write_str(&self.name) } else { write!(f, "{}/{}", self.namespace, self.name) }
    }
}

/// The stage of an object's deletion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deletion {
    /// `metadata.deletionTimestamp` is not set.
    #[default]
    None,
    /// `deletionTimestamp` is set; the object stays until its finalizers and its grace period are done.
    Pending,
    /// `deletionTimestamp` is set, and the finalizer `foregroundDeletion` makes the object wait for its dependents.
    Foreground,
}

impl Deletion {
    /// The finalizer of a deletion that waits for dependents (`FinalizerDeleteDependents`).
    pub const FOREGROUND: &'static str = "foregroundDeletion";

    /// Of an object with these finalizers. `deleting`: its `metadata.deletionTimestamp` is set.
    pub fn of<'a>(deleting: bool, mut finalizers: impl Iterator<Item = &'a str>) -> Self {
        match deleting {
            false => Self::None,
            true if finalizers.any(|one| one == Self::FOREGROUND) => Self::Foreground,
            true => Self::Pending,
        }
    }

    /// Whether `metadata.deletionTimestamp` is set.
    pub fn is_pending(self) -> bool {
        self != Self::None
    }
}

/// The identity and the request behind a write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writer {
    /// The name of the identity.
    pub user: Arc<str>,
    /// The request's verb.
    pub verb: Arc<str>,
    /// The request's user agent.
    pub user_agent: Arc<str>,
    /// The request's audit id.
    pub request_id: Arc<str>,
}

/// The parts that make a [`Record`].
#[derive(Clone, Debug)]
pub struct RecordParts {
    /// The object's place.
    pub key: RecordKey,
    /// The object's `apiVersion`.
    pub api_version: Arc<str>,
    /// The object's kind.
    pub kind: Arc<str>,
    /// The object's UID.
    pub uid: Arc<str>,
    /// The revision of the log at which it was created.
    pub create_revision: u64,
    /// The revision of this write; in a deletion's event, the deletion's. 0: not in the store, the answer of a dry run.
    pub mod_revision: u64,
    /// The number of writes since it was created, that one included.
    pub version: u64,
    /// The object's labels.
    pub labels: Arc<BTreeMap<String, String>>,
    /// The object's owner references.
    pub owners: Arc<[OwnerReference]>,
    /// The stage of its deletion.
    pub deletion: Deletion,
    /// Values of the fields that the resource's row declares selectable, besides metadata.name and metadata.namespace.
    pub fields: Arc<[(&'static str, String)]>,
    /// The identity and the request behind this state.
    pub writer: Arc<Writer>,
    /// The encoded object without `metadata.resourceVersion`. It begins with its type in either order, and `"metadata":{`.
    pub json: Bytes,
    /// Offset of the members after `apiVersion` and `kind`, bytes: an item of a list is `{` and the rest from here.
    pub type_meta_end: u32,
    /// Right after `"metadata":{`: where `"resourceVersion":"N",` is spliced in.
    pub rv_offset: u32,
}

/// An immutable object of one revision, shared by everyone who reads it. Its JSON is encoded once, at the write; its
/// protobuf form and, where it is not large, its typed decode are made at most once, when first asked for.
#[derive(Debug)]
pub struct Record {
    parts: RecordParts,
    /// 0: not looked for.
    metadata_end: AtomicU32,
    protobuf: OnceLock<Bytes>,
    typed: OnceLock<Arc<dyn Any + Send + Sync>>,
}

impl std::ops::Deref for Record {
    type Target = RecordParts;
    fn deref(&self) -> &RecordParts {
        &self.parts
    }
}

impl Record {
    /// A record of these parts.
    pub fn new(parts: RecordParts) -> Self {
        let begin: [&[u8]; 2] = [b"{\"kind\":\"", b"{\"apiVersion\":\""];
        debug_assert!(begin.iter().any(|one| parts.json.starts_with(one)), "the encoding begins with its type");
        debug_assert!(parts.json[..parts.rv_offset as usize].ends_with(b"\"metadata\":{"));
        Self { parts, metadata_end: AtomicU32::new(0), protobuf: OnceLock::new(), typed: OnceLock::new() }
    }

    /// The object under another revision: a DELETED event carries it. Bytes are shared, nothing is copied.
    pub fn at_revision(&self, mod_revision: u64, writer: Arc<Writer>) -> Self {
        let mut parts = self.parts.clone();
        parts.mod_revision = mod_revision;
        parts.writer = writer;
        // The protobuf form carries the revision, and so does a typed decode: both are made anew if asked for.
        let metadata_end = AtomicU32::new(self.metadata_end.load(Ordering::Relaxed));
        Self { parts, metadata_end, protobuf: OnceLock::new(), typed: OnceLock::new() }
    }

    /// Bytes that [`Record::write_json`] will append, at the most.
    pub fn json_len(&self) -> usize {
        self.json.len() + RESOURCE_VERSION_MEMBER_MAX
    }

    /// Appends the object as JSON, `metadata.resourceVersion` included.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        self.splice(0, out);
    }

    /// Appends the object as an item of a typed list: without `apiVersion` and `kind`.
    pub fn write_item_json(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        self.splice(self.type_meta_end as usize, out);
    }

    fn splice(&self, from: usize, out: &mut Vec<u8>) {
        let at = self.rv_offset as usize;
        out.extend_from_slice(&self.json[from..at]);
        if self.mod_revision == 0 {
            // Not in the store: the answer of a dry run.
            out.extend_from_slice(&self.json[at..]);
            return;
        }
        out.extend_from_slice(b"\"resourceVersion\":\"");
        out.extend_from_slice(self.mod_revision.to_string().as_bytes());
        out.push(b'"');
        if self.json.get(at) != Some(&b'}') {
            out.push(b',');
        }
        out.extend_from_slice(&self.json[at..]);
    }

    /// The bytes that [`Record::write_json`] appends behind the byte `from` of the stored encoding, without copying it.
    /// `from` is not behind the metadata's beginning.
    pub fn json_parts(&self, from: usize) -> [Bytes; 3] {
        let at = self.rv_offset as usize;
        let version = if self.mod_revision == 0 {
            Bytes::new()
        } else {
            let comma = if self.json.get(at) == Some(&b'}') { "" } else { "," };
            format!("\"resourceVersion\":\"{}\"{comma}", self.mod_revision).into()
        };
        [self.json.slice(from.min(at)..at), version, self.json.slice(at..)]
    }

    /// The whole object as JSON, its `resourceVersion` in place.
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.json_len());
        self.write_json(&mut out);
        out
    }

    /// The object as a value tree, `resourceVersion` included. Parses: not for hot paths. It cannot fail: whoever makes
    /// a record has encoded its bytes within [`crate::limits::NESTING_MAX`], or has read them whole.
    pub fn object(&self) -> Object {
        self.decode()
            .ok()
            .and_then(Object::from_value)
            .map(|mut object| {
                if self.mod_revision > 0 {
                    object.set_meta("resourceVersion", self.mod_revision.to_string());
                }
                object
            })
            .expect("a record's bytes were encoded from an object")
    }

    fn decode(&self) -> Result<serde_json::Value, serde_json::Error> {
        serde_json::from_slice(&self.json)
    }

    /// That part of [`Record::object`].
    pub fn outline(&self, part: &Outline) -> Object {
        if part.is_whole() {
            return self.object();
        }
        let read = part.read(&self.json).ok().and_then(Object::from_value);
        let mut object = read.expect("a record's bytes were encoded from an object");
        if self.mod_revision > 0 && part.has(&["metadata", "resourceVersion"]) {
            object.set_meta("resourceVersion", self.mod_revision.to_string());
        }
        object
    }

    /// Offset just past the closing brace of the metadata, looked for at most once.
    pub fn metadata_end(&self) -> usize {
        let known = self.metadata_end.load(Ordering::Relaxed);
        if known != 0 {
            return known as usize;
        }
        let start = self.rv_offset as usize;
        let end = outline::end_of_map(&self.json, start - 1).unwrap_or(self.json.len());
        // An object is far smaller than what 32 bits count.
        self.metadata_end.store(u32::try_from(end).unwrap_or_default(), Ordering::Relaxed);
        end
    }

    /// The typed form, decoded at most once as long as everyone asks for the same type, and shared. That of a record over
    /// [`TYPED_KEPT_MAX`] is decoded for each that asks: a record lives as long as its event is remembered, and the typed
    /// form of a list of short texts is ten times as large as the record.
    pub fn typed<T: DeserializeOwned + Send + Sync + 'static>(&self) -> Result<Arc<T>, serde_json::Error> {
        if let Some(shared) = self.typed.get().cloned().and_then(|any| any.downcast::<T>().ok()) {
            return Ok(shared);
        }
        let decoded: Arc<T> = Arc::new(typed::from_slice(&self.to_json())?);
        if self.json.len() > TYPED_KEPT_MAX {
            return Ok(decoded);
        }
        // Another type or another thread came first: this caller keeps its own copy.
        let shared: Arc<dyn Any + Send + Sync> = decoded.clone();
        Ok(self.typed.get_or_init(|| shared).clone().downcast::<T>().unwrap_or(decoded))
    }

    /// The protobuf payload, made at most once by `encode`.
    pub fn protobuf(&self, encode: impl FnOnce(&Self) -> Bytes) -> Bytes {
        self.protobuf.get_or_init(|| encode(self)).clone()
    }

    /// Whether the protobuf payload has been made.
    pub fn has_protobuf(&self) -> bool {
        self.protobuf.get().is_some()
    }

    /// The value of a selectable field.
    pub fn field(&self, name: &str) -> Option<&str> {
        match name {
            "metadata.name" => Some(&self.key.name),
            "metadata.namespace" => Some(&self.key.namespace),
            _ => self.fields.iter().find(|(field, _)| *field == name).map(|(_, value)| value.as_str()),
        }
    }
}

/// Bytes up to which a record keeps its typed form.
const TYPED_KEPT_MAX: usize = 64 << 10;

/// `"resourceVersion":"18446744073709551615",`
const RESOURCE_VERSION_MEMBER_MAX: usize = 42;

/// The kind of an event, as watches name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    Added,
    Modified,
    Deleted,
    Bookmark,
}

impl EventKind {
    /// As a watch frame's `type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
            Self::Bookmark => "BOOKMARK",
        }
    }
}

/// One event of a watch, in process.
#[derive(Clone, Debug)]
pub enum RecordEvent {
    Added(Arc<Record>),
    Modified(Arc<Record>),
    Deleted(Arc<Record>),
    /// Everything up to `revision` has been delivered. `initial_events_end`: the initial state is complete.
    Bookmark {
        revision: u64,
        initial_events_end: bool,
    },
}

impl RecordEvent {
    /// The kind of the event.
    pub fn kind(&self) -> EventKind {
        match self {
            Self::Added(_) => EventKind::Added,
            Self::Modified(_) => EventKind::Modified,
            Self::Deleted(_) => EventKind::Deleted,
            Self::Bookmark { .. } => EventKind::Bookmark,
        }
    }

    /// The object's state after the event (before it, where it was deleted); `None` for a bookmark.
    pub fn record(&self) -> Option<&Arc<Record>> {
        match self {
            Self::Added(record) | Self::Modified(record) | Self::Deleted(record) => Some(record),
            Self::Bookmark { .. } => None,
        }
    }
}

/// In a request's extensions: the caller is in this process and wants records, not bytes.
#[derive(Clone, Copy, Debug)]
pub struct WantRecords;

/// Events in order; an error ends it.
pub type RecordStream = BoxStream<'static, Result<RecordEvent, Status>>;

/// In a response's extensions: what a get, list or watch found, for a caller that said [`WantRecords`].
#[derive(Clone)]
pub enum Records {
    One(Arc<Record>),
    List { items: Arc<Vec<Arc<Record>>>, revision: u64, continue_token: Option<String>, remaining: Option<u64> },
    Watch(WatchSlot),
}

/// A stream that its one reader takes out.
#[derive(Clone)]
pub struct WatchSlot(Arc<Mutex<Option<RecordStream>>>);

impl WatchSlot {
    /// Out of a stream, which one reader takes.
    pub fn new(stream: RecordStream) -> Self {
        Self(Arc::new(Mutex::new(Some(stream))))
    }

    /// The stream, the first time.
    pub fn take(&self) -> Option<RecordStream> {
        self.0.lock().take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record(json: &'static str) -> Record {
        let find = |needle: &str| (json.find(needle).expect("part of the encoding") + needle.len()) as u32;
        Record::new(RecordParts {
            key: RecordKey::new("default", "a"),
            api_version: "v1".into(),
            kind: "ConfigMap".into(),
            uid: "u".into(),
            create_revision: 3,
            mod_revision: 17,
            version: 2,
            labels: Arc::default(),
            owners: Arc::new([]),
            deletion: Deletion::None,
            fields: Arc::new([("type", "Opaque".to_owned())]),
            writer: Arc::default(),
            json: Bytes::from_static(json.as_bytes()),
            type_meta_end: find("\"kind\":\"ConfigMap\","),
            rv_offset: find("\"metadata\":{"),
        })
    }

    #[test]
    fn the_revision_is_spliced_in() {
        let check = |json: &'static str, whole: &str, item: &str| {
            let record = record(json);
            assert_eq!(String::from_utf8(record.to_json()).expect("utf-8"), whole);
            let mut out = Vec::new();
            record.write_item_json(&mut out);
            assert_eq!(String::from_utf8(out).expect("utf-8"), item);
        };
        check(
            r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{}}"#,
            r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"resourceVersion":"17","name":"a"},"data":{}}"#,
            r#"{"metadata":{"resourceVersion":"17","name":"a"},"data":{}}"#,
        );
        check(
            r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{}}"#,
            r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"resourceVersion":"17"}}"#,
            r#"{"metadata":{"resourceVersion":"17"}}"#,
        );
    }

    #[test]
    fn the_metadata_and_parts_of_an_object_are_found() {
        let whole = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a}"},"data":{"a":"1"}}"#;
        let record = record(whole);
        for _ in 0..2 {
            assert_eq!(&record.json[record.metadata_end()..], br#","data":{"a":"1"}}"#);
        }
        assert_eq!(record.at_revision(20, Arc::default()).metadata_end(), record.metadata_end());
        let mut part = Outline::default();
        part.add(["data"], Outline::Names);
        assert_eq!(record.outline(&part).into_value(), json!({"data": {"a": null}}));
        part.add(["metadata"], Outline::Whole);
        let expected = json!({"data": {"a": null}, "metadata": {"name": "a}", "resourceVersion": "17"}});
        assert_eq!(record.outline(&part).into_value(), expected);
        assert_eq!(record.outline(&Outline::Whole), record.object());
    }

    #[test]
    fn a_typed_decode_is_shared() {
        let record = record(r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}"#);
        let one = record.typed::<serde_json::Value>().expect("decodes");
        let two = record.typed::<serde_json::Value>().expect("decodes");
        assert!(Arc::ptr_eq(&one, &two));
        assert_eq!(one["metadata"], json!({"name": "a", "resourceVersion": "17"}));
        assert_eq!(record.at_revision(20, Arc::default()).object().resource_version(), "20");
        assert_eq!((record.field("type"), record.field("metadata.name")), (Some("Opaque"), Some("a")));
    }

    #[test]
    fn a_typed_decode_of_a_large_record_lives_no_longer_than_who_asked() {
        let check = |bytes: usize, kept: bool| {
            let data = "x".repeat(bytes);
            let json = format!(
                r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"a"}},"data":{{"k":"{data}"}}}}"#
            );
            let record = record(Box::leak(json.into_boxed_str()));
            let decoded = Arc::downgrade(&record.typed::<serde_json::Value>().expect("decodes"));
            assert_eq!(decoded.upgrade().is_some(), kept, "{bytes} bytes");
        };
        check(TYPED_KEPT_MAX / 2, true);
        check(TYPED_KEPT_MAX, false);
    }
}
