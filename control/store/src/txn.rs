use crate::entry::{Event, LeaseId, Payload, Writer};
use crate::error::Error;
use crate::key;
use crate::limits::{TXN_BYTES_MAX, TXN_COMPARES_MAX, TXN_OPS_MAX, VALUE_BYTES_MAX, WRITER_FIELD_BYTES_MAX};
use bytes::Bytes;
use std::collections::HashSet;
use std::sync::Arc;

/// Compares and operations that happen together, under one revision, or not at all. A key may stand in one operation only.
#[derive(Clone)]
pub struct Txn {
    pub compares: Vec<Compare>,
    pub ops: Vec<Op>,
    pub writer: Writer,
}

/// A condition for the transaction to happen; the first that does not hold is reported. 0 stands for an absent key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compare {
    ModRevision { key: Arc<str>, equals: u64 },
    CreateRevision { key: Arc<str>, equals: u64 },
    Version { key: Arc<str>, equals: u64 },
}

#[derive(Clone)]
pub enum Op {
    /// Sets the value. Without a lease the key loses the one it had.
    Put { key: Arc<str>, value: Bytes, payload: Option<Payload>, lease: Option<LeaseId> },
    /// Removes the key; nothing happens (and no revision is used) if there is none. `last` is the value removed, where the
    /// caller knows it because it compares the revision: it spares the store a read.
    Delete { key: Arc<str>, payload: Option<Payload>, last: Option<Bytes> },
}

impl Op {
    pub fn put(key: impl Into<Arc<str>>, value: impl Into<Bytes>) -> Self {
        Self::Put { key: key.into(), value: value.into(), payload: None, lease: None }
    }

    pub fn delete(key: impl Into<Arc<str>>) -> Self {
        Self::Delete { key: key.into(), payload: None, last: None }
    }

    pub fn key(&self) -> &Arc<str> {
        match self {
            Self::Put { key, .. } | Self::Delete { key, .. } => key,
        }
    }
}

impl Compare {
    pub fn absent(key: impl Into<Arc<str>>) -> Self {
        Self::ModRevision { key: key.into(), equals: 0 }
    }

    pub fn key(&self) -> &Arc<str> {
        match self {
            Self::ModRevision { key, .. } | Self::CreateRevision { key, .. } | Self::Version { key, .. } => key,
        }
    }
}

/// The outcome of a transaction. Without events (nothing to delete, no operations) no revision was used, and `revision`
/// is the log's at that time.
#[derive(Clone, Debug)]
pub struct Committed {
    pub revision: u64,
    pub events: Vec<Event>,
}

impl Txn {
    /// Checks what can be told without the log, and cuts the writer's fields to their limit.
    pub(crate) fn check(&mut self) -> Result<(), Error> {
        let too_large = |what, size, limit| Err(Error::TooLarge { what, size, limit });
        if self.ops.len() > TXN_OPS_MAX {
            return too_large("the number of operations", self.ops.len(), TXN_OPS_MAX);
        }
        if self.compares.len() > TXN_COMPARES_MAX {
            return too_large("the number of compares", self.compares.len(), TXN_COMPARES_MAX);
        }
        for compare in &self.compares {
            key::check(compare.key())?;
        }
        let mut keys = HashSet::new();
        let mut bytes = 0;
        for op in &self.ops {
            key::check(op.key())?;
            if self.ops.len() > 1 && !keys.insert(&**op.key()) {
                return Err(Error::Invalid(format!("{} stands in two operations of one transaction", op.key())));
            }
            if let Op::Put { value, .. } = op {
                if value.len() > VALUE_BYTES_MAX {
                    return too_large("a value", value.len(), VALUE_BYTES_MAX);
                }
                bytes += value.len();
            }
        }
        if bytes > TXN_BYTES_MAX {
            return too_large("a transaction", bytes, TXN_BYTES_MAX);
        }
        let Writer { user, verb, user_agent, request_id } = &mut self.writer;
        for field in [user, verb, user_agent, request_id] {
            field.truncate(field.floor_char_boundary(WRITER_FIELD_BYTES_MAX));
        }
        Ok(())
    }

    /// Bytes of values, for the batch's limit.
    pub(crate) fn bytes(&self) -> usize {
        self.ops.iter().map(|op| if let Op::Put { value, .. } = op { value.len() } else { 0 }).sum()
    }
}
