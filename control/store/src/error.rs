use crate::entry::LeaseId;

/// The reason why the store did not do what it was asked. Cloneable: one failed batch answers many waiters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A compare of the transaction does not hold. 0 says that the key does not exist.
    #[error("{key}: its revision is {actual_mod_revision}, not what the transaction expects")]
    Conflict { key: String, actual_mod_revision: u64 },
    /// The revision lies below the compaction floor.
    #[error("history below revision {floor} has been compacted")]
    Compacted { floor: u64 },
    #[error("revision is ahead of the log, which is at {current}")]
    Future { current: u64 },
    /// Nothing was written; reads go on, and a later write that fits succeeds.
    #[error("the disk is full")]
    DiskFull,
    /// The store was closed, or has failed fatally.
    #[error("the store is closed")]
    Closed,
    /// Data on disk that contradicts its checksum or the log's rules.
    #[error("the database is damaged: {what}")]
    Damaged { what: String },
    #[error("{what} is {size}, over the limit of {limit}")]
    TooLarge { what: &'static str, size: usize, limit: usize },
    #[error("invalid request: {0}")]
    Invalid(String),
    #[error("lease {:x} does not exist", .0.0)]
    LeaseNotFound(LeaseId),
    #[error("lease {:x} exists already", .0.0)]
    LeaseExists(LeaseId),
    #[error("the database has format {found}; this program knows formats up to {supported}: use a newer program")]
    NewerFormat { found: u32, supported: u32 },
    #[error("{path} is in use by another process")]
    InUse { path: String },
    #[error("SQLite {found} is too old: {required} is the first without the WAL-reset corruption")]
    OldSqlite { found: String, required: &'static str },
    /// The system refused; the text says what was being done.
    #[error("{0}")]
    Io(String),
}
