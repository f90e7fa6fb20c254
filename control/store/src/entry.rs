use bytes::Bytes;
use std::any::Any;
use std::sync::Arc;
use std::time::SystemTime;

/// A value's parsed form or the like, which a writer hands along and sinks get back untouched. Never stored; absent
/// from what is read out of the log.
pub type Payload = Arc<dyn Any + Send + Sync>;

/// A lease's id; never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeaseId(pub u64);

/// The author of a write. Stored with each row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writer {
    pub user: String,
    pub verb: String,
    pub user_agent: String,
    pub request_id: String,
}

/// One key's state as of one revision.
#[derive(Clone)]
pub struct Entry {
    pub key: Arc<str>,
    /// Revision of the put that created the key.
    pub create_revision: u64,
    /// Revision of the last put; in a Delete event that of the deletion.
    pub mod_revision: u64,
    /// Number of puts since the creation, which is 1. In a Delete event that of the last value.
    pub version: u64,
    pub lease: Option<LeaseId>,
    /// In a Delete event the last value.
    pub value: Bytes,
    pub writer: Arc<Writer>,
    /// Time at which the batch was written, to the millisecond.
    pub time: SystemTime,
    /// Only in what the writing process itself published; `None` in reads.
    pub payload: Option<Payload>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    Put,
    Delete,
}

/// One row of the log.
#[derive(Clone)]
pub struct Event {
    pub kind: EventKind,
    pub entry: Entry,
    /// Place within the transaction, from 0.
    pub index: u32,
}

impl Event {
    pub fn revision(&self) -> u64 {
        self.entry.mod_revision
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}@{} (created {}, version {}, {} bytes)",
            self.key,
            self.mod_revision,
            self.create_revision,
            self.version,
            self.value.len()
        )
    }
}

impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {:?}.{}", self.kind, self.entry, self.index)
    }
}
