//! Shared pools: addresses and ports that a write takes or gives back in its own transaction.
//!
//! An allocation is an ordinary internal key (`/allocations/<pool>/<item>`, its value the holder's key) that must be
//! absent when it is taken, so two writers never hold the same item, on any engine and with any number of API servers.

mod pools;

pub(crate) use pools::{Draws, Taken};
pub use pools::{Pool, Pools};

use sampan_api::field::{BadValue, FieldErrors, Path};
use sampan_api::object::Object;
use sampan_schema::gates::Gates;

/// The prefix of all allocations.
pub(crate) const ALLOCATIONS: &str = "/allocations/";

/// Says which items of which pools an object holds. Pure: the registry takes and gives back.
pub trait Allocator: Send + Sync {
    /// The pools that its claims name: a registry opens only where it has them all.
    fn pools(&self) -> &'static [&'static str];
    /// What is wrong with what the object asks for by name: then nothing is drawn.
    fn check(&self, _gates: &Gates, _new: &Object, _old: Option<&Object>) -> FieldErrors {
        FieldErrors::default()
    }
    /// The claims of this write: `new` is `None` at a deletion, `old` at a creation.
    fn plan(&self, new: Option<&Object>, old: Option<&Object>) -> Vec<Claim>;
}

/// Puts a drawn item into the object.
pub type SetItem = Box<dyn Fn(&mut Object, &str) + Send + Sync>;

/// One item taken or given back.
pub enum Claim {
    /// Take this very item; path and value stand in the error when it cannot be had.
    Take { pool: &'static str, item: String, path: Path, shown: BadValue },
    /// Take any free item and put it into the object.
    TakeAny { pool: &'static str, set: SetItem },
    /// Give it back.
    Release { pool: &'static str, item: String },
}
