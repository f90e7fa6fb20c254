//! The revision log: keys, bytes and revisions, with etcd's semantics, behind one trait and several engines.
//!
//! [`Store`] is the contract; [`memory::MemoryStore`] and [`sqlite::SqliteStore`] keep it, and the cases of `suite` (cargo
//! feature `suite`) say what it means. The current state lives above, in watch: engines hold only key -> revisions in
//! memory, for preconditions, and answer reads out of the log.
//!
//! Allowed dependencies: `sampan-env`; sqlx in `sqlite` alone. Never kinds, HTTP or `Status`.
//!
//! Invariants:
//! - One strictly increasing revision for all keys, without gaps; one revision a transaction; a row is (revision, index).
//! - A transaction is acknowledged after it is durable and after every [`Sink`] has been handed its events, in order.
//! - A failed sync is never retried: the store answers [`Error::Closed`] from then on, and its owner ends the process.
//! - What a checksum contradicts is an error that names the row; it is never served.

mod entry;
mod error;
mod floors;
mod head;
mod key;
mod lease;
pub mod limits;
pub mod memory;
mod publish;
pub mod sqlite;
mod statistics;
mod store;
#[cfg(feature = "suite")]
pub mod suite;
mod txn;

pub use entry::{Entry, Event, EventKind, LeaseId, Payload, Writer};
pub use error::Error;
pub use lease::LeaseStatus;
pub use statistics::Statistics;
pub use store::{Keys, Range, RangeResult, Sink, Store};
pub use txn::{Committed, Compare, Op, Txn};
