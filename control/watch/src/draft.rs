//! The object that a writer knows before the commit, of which a record is made afterwards.

use bytes::Bytes;
use sampan_api::object::OwnerReference;
use sampan_api::record::{Deletion, Record, RecordKey, RecordParts, Writer};
use sampan_store::Entry;
use std::collections::BTreeMap;
use std::sync::Arc;

/// An encoded object with what reads of it need, made once: by the registry at a write (handed through the store as the
/// event's payload), or by the [`Decoder`] where only bytes are there.
#[derive(Clone, Debug)]
pub struct Draft {
    pub api_version: Arc<str>,
    pub kind: Arc<str>,
    pub uid: Arc<str>,
    pub labels: Arc<BTreeMap<String, String>>,
    pub owners: Arc<[OwnerReference]>,
    /// See [`RecordParts::deletion`].
    pub deletion: Deletion,
    pub fields: Arc<[(&'static str, String)]>,
    /// See [`RecordParts::json`], and the two offsets into it.
    pub json: Bytes,
    pub type_meta_end: u32,
    pub rv_offset: u32,
    /// The author; `None`: as the store's entry says.
    pub writer: Option<Arc<Writer>>,
}

/// Reads stored values back into drafts.
pub trait Decoder: Send + Sync + 'static {
    /// `prefix` is that of the resource, `/registry/apps/deployments/`. The error says what is wrong with the value.
    fn decode(&self, prefix: &str, value: &Bytes) -> Result<Draft, String>;
}

/// Texts that one record has from the one before it, where they say the same: most of what is read one after the other lies in
/// one namespace, has the same labels, and was written by one client.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    namespace: Arc<str>,
    labels: Arc<BTreeMap<String, String>>,
    writer: Writer,
}

/// Makes `kept` say `text`, and shares it.
fn shared(kept: &mut Arc<str>, text: &str) -> Arc<str> {
    if **kept != *text {
        *kept = text.into();
    }
    kept.clone()
}

impl Texts {
    /// The namespace and name in a key of the resource with `prefix`.
    fn record_key(&mut self, prefix: &str, key: &str) -> RecordKey {
        let rest = key.strip_prefix(prefix).unwrap_or(key);
        let (namespace, name) = rest.split_once('/').unwrap_or(("", rest));
        RecordKey::new(shared(&mut self.namespace, namespace), name)
    }

    fn labels_of(&mut self, draft: &Draft) -> Arc<BTreeMap<String, String>> {
        if self.labels != draft.labels {
            self.labels = draft.labels.clone();
        }
        self.labels.clone()
    }

    pub(crate) fn writer_of(&mut self, entry: &Entry) -> Arc<Writer> {
        let (kept, writer) = (&mut self.writer, &entry.writer);
        Arc::new(Writer {
            user: shared(&mut kept.user, &writer.user),
            verb: shared(&mut kept.verb, &writer.verb),
            user_agent: shared(&mut kept.user_agent, &writer.user_agent),
            request_id: shared(&mut kept.request_id, &writer.request_id),
        })
    }

    pub(crate) fn record_of(&mut self, prefix: &str, entry: &Entry, draft: &Draft) -> Record {
        Record::new(RecordParts {
            key: self.record_key(prefix, &entry.key),
            api_version: draft.api_version.clone(),
            kind: draft.kind.clone(),
            uid: draft.uid.clone(),
            create_revision: entry.create_revision,
            mod_revision: entry.mod_revision,
            version: entry.version,
            labels: self.labels_of(draft),
            owners: draft.owners.clone(),
            deletion: draft.deletion,
            fields: draft.fields.clone(),
            writer: draft.writer.clone().unwrap_or_else(|| self.writer_of(entry)),
            json: draft.json.clone(),
            type_meta_end: draft.type_meta_end,
            rv_offset: draft.rv_offset,
        })
    }
}
