use crate::entry::{Entry, Event, LeaseId};
use crate::error::Error;
use crate::lease::LeaseStatus;
use crate::statistics::Statistics;
use crate::txn::{Committed, Txn};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Is handed what was committed.
pub trait Sink: Send + Sync + 'static {
    /// Called by the one writer, in revision order, with the events of one or several whole transactions, after they are
    /// durable and before any of them is acknowledged. Must not wait: every write waits for it.
    fn committed(&self, events: &[Event]);
}

/// A range of keys: those with the prefix, after `start_after`, in order, `limit` at most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// Empty: all keys.
    pub prefix: String,
    /// Exclusive; need not exist.
    pub start_after: Option<String>,
    /// `None`: no limit.
    pub limit: Option<usize>,
}

impl Range {
    pub fn prefix(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), ..Self::default() }
    }
}

/// Entries in key order, and the revision that all of them are of.
#[derive(Clone, Debug)]
pub struct RangeResult {
    pub entries: Vec<Entry>,
    pub revision: u64,
    /// Whether the limit left entries out.
    pub more: bool,
}

/// The keys of a range, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// All of one revision.
    pub keys: Vec<Arc<str>>,
    /// Whether the limit left keys out.
    pub more: bool,
}

/// The log. etcd's semantics, except that a floor is a prefix's and that a key stands once in a transaction.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Compares, and if all hold, does all operations under the next revision. Returns when it is durable and published.
    /// A cancelled call may or may not have happened.
    ///
    /// Errors: `Conflict`, `LeaseNotFound`, `DiskFull`, `TooLarge`, `Invalid`, `Closed`.
    async fn txn(&self, txn: Txn) -> Result<Committed, Error>;

    /// Revision of the last transaction that was published: at least that of each one acknowledged. 0: an empty log.
    async fn current_revision(&self) -> Result<u64, Error>;

    /// The last revision that was committed at `time` or before, as far as the rows that are left tell: never a later one,
    /// and 0 if there is none.
    async fn revision_at(&self, time: SystemTime) -> Result<u64, Error>;

    /// Returns once `revision` has been published to the sinks; waits for ever if none is written (the caller has the
    /// deadline). Errors: `Closed`.
    async fn wait_for(&self, revision: u64) -> Result<(), Error>;

    /// The key's state as of `at`, or the current one. `None`: there is no such key then. Nothing is found where nothing can
    /// be written: a text that can be no key, or the beginning of none, is no error of `get`, `range`, `keys` and `history`.
    ///
    /// Errors: `Compacted` below the key's floor, `Future`, `Damaged`.
    async fn get(&self, key: &str, at: Option<u64>) -> Result<Option<Entry>, Error>;

    /// Errors: as for `get`, the floor being the highest of any that touches the prefix.
    async fn range(&self, range: Range, at: Option<u64>) -> Result<RangeResult, Error>;

    /// The keys of what `range` finds. No value is read, and no checksum. Errors: as for `range`, `Damaged` aside.
    async fn keys(&self, range: Range, at: Option<u64>) -> Result<Keys, Error>;

    /// Events of keys with the prefix, `after < revision <= up_to`, in order. No transaction is cut: the page ends behind
    /// the one in which `limit` was reached, and the next begins after its last event's revision. An empty page: there is nothing up to `up_to`.
    /// Delete events carry the last value.
    ///
    /// Errors: `Compacted` if `after` lies below the floor, `Future` if `after` is ahead of the log.
    async fn history(&self, prefix: &str, after: u64, up_to: u64, limit: usize) -> Result<Vec<Event>, Error>;

    /// Adds a sink, for the life of the store; returns the last revision that it will not be handed. That one may still be
    /// on its way to the other sinks, and reads do not show it before it has arrived. (Subscribe, `wait_for` what is
    /// returned, then read a range: what the log has beyond the range's revision comes through the sink.)
    fn subscribe(&self, sink: Arc<dyn Sink>) -> u64;

    /// Forgets history of the prefix below `revision`, which remains readable itself. Returns the floor in force: another
    /// one may be higher already, and engines may have one floor for all prefixes.
    ///
    /// Errors: `Future`.
    async fn compact(&self, prefix: &str, revision: u64) -> Result<u64, Error>;

    /// The highest floor of any that touches the prefix; 0 if none does.
    async fn floor(&self, prefix: &str) -> Result<u64, Error>;

    /// Makes a lease that lives for `ttl` from now and from each keep-alive. A restart of the store begins its time anew.
    /// `id`: one of the caller's choice.
    async fn lease_grant(&self, ttl: Duration, id: Option<LeaseId>) -> Result<LeaseId, Error>;

    /// Begins the lease's time anew; returns its length. Errors: `LeaseNotFound`.
    async fn lease_keep_alive(&self, id: LeaseId) -> Result<Duration, Error>;

    /// Ends the lease and deletes its keys (one transaction, or several if they exceed one's limit). Returns the revision.
    /// From its beginning on the lease takes no further keys.
    async fn lease_revoke(&self, id: LeaseId) -> Result<u64, Error>;

    /// Errors: `LeaseNotFound`.
    async fn lease_status(&self, id: LeaseId) -> Result<LeaseStatus, Error>;

    /// Counts since the opening, and alarms.
    fn statistics(&self) -> Statistics;

    /// Ends the store: what was queued is done, what comes later is `Closed`. Returns when files and locks are free.
    async fn close(&self);
}
