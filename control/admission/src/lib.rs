//! The admission chain: what may be written, and what is filled in, beyond what a kind's own strategy says.
//!
//! Allowed dependencies: api, env, schema, cel, client, auth, quota. Never registry or store: it is handed attributes and objects
//! and reads the rest of the cluster through a client, as `system:apiserver`.
//!
//! Invariants:
//! - It runs inside the compare-and-swap loop, perhaps several times: it has no side effects. What must be written with the
//!   object is handed to the registry, which puts it into the same transaction.
//! - It fails closed: what a plugin cannot find out is a refusal.

mod chain;
mod configuration;
mod derived;
mod escalation;
pub mod limits;
mod lru;
mod matching;
pub mod plugins;
mod registration;
mod reinvocation;
mod scene;

pub use chain::{Chain, Plugin};
pub use configuration::{Configurations, PluginConfiguration};
pub use registration::{Parts, Selection, chain};
