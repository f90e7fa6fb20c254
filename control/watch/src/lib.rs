//! The current state of every resource, and its changes: records, snapshots, one ring a resource, cursors.
//!
//! [`Watch`] is a sink of the store. It turns events into `Arc<Record>`s, keeps the current ones in ordered persistent
//! maps (a [`Snapshot`] is a pointer copy) and the last ones in a bounded ring. A [`Cursor`] pulls: it reads the ring
//! through a bucket of the dispatch index, which holds only the events that concern it, and resumes out of the store's
//! history where the ring no longer reaches. [`EventStream`] is a cursor with initial events, bookmarks and a deadline.
//!
//! Allowed dependencies: `sampan-api`, `sampan-env`, `sampan-store`. Never SQL, never kinds: what a
//! stored value means is the [`Decoder`]'s business, which the registry hands in.
//!
//! Invariants:
//! - The writer never waits for a reader: rings are bounded and drop their oldest; who was too slow resumes from history.
//! - A cursor delivers each event of its selection once, in revision order, or ends with [`Error::Expired`].
//! - An event wakes only the cursors whose bucket it falls into.
//! - A published revision implies that every snapshot taken afterwards shows all events up to it.

mod cursor;
mod draft;
mod filter;
pub mod limits;
mod load;
mod marks;
mod ring;
mod state;
mod stream;
mod watch;

pub use cursor::Cursor;
pub use draft::{Decoder, Draft};
pub use filter::Filter;
pub use marks::Sieve;
pub use state::Snapshot;
pub use stream::{EventStream, Start, StreamOptions};
pub use watch::{Spec, Watch};

/// The reason why a watch cannot go on, or a state cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The history between the revision asked for and the oldest one kept is gone.
    #[error("too old resource version: {wanted} ({oldest})")]
    Expired { wanted: u64, oldest: u64 },
    /// The revision was not reached within the time that readers wait for it.
    #[error("revision {wanted} is ahead of the server's {current}")]
    Ahead { wanted: u64, current: u64 },
    #[error("no resource is stored under {0}")]
    UnknownResource(String),
    /// A stored value could not be read.
    #[error("{key} cannot be decoded: {reason}")]
    Undecodable { key: String, reason: String },
    #[error(transparent)]
    Store(#[from] sampan_store::Error),
}
