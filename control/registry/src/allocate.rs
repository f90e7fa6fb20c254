//! Shared pools: addresses and ports that a write takes or gives back in its own transaction.
//!
//! An allocation is an ordinary internal key (`/allocations/<pool>/<item>`) that must be absent when it is taken, so two
//! writers can never hold the same item, on any engine and with any number of API servers.

mod addresses;
mod pools;

pub use addresses::AddressesAndPorts;
pub use pools::{Pool, Pools};

use sampan_api::field::Path;
use sampan_api::object::Object;

/// Says which items of which pools an object holds. Pure: the registry takes and gives back.
pub trait Allocator: Send + Sync {
    /// What changes with this write: `new` is `None` at a deletion, `old` at a creation.
    fn plan(&self, new: Option<&Object>, old: Option<&Object>) -> Vec<Claim>;
}

/// One item taken or given back.
pub enum Claim {
    /// Take this very item; the path stands in the error when it cannot be had.
    Take { pool: &'static str, item: String, path: Path },
    /// Take any free item and put it into the object.
    TakeAny { pool: &'static str, set: Box<dyn Fn(&mut Object, &str) + Send + Sync> },
    /// Give it back.
    Release { pool: &'static str, item: String },
}
