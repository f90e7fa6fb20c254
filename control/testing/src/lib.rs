//! The parts that tests of several crates share: the reference data and the comparisons with it, an API server in this
//! process, objects made of the schema, a self-signed TLS pair, chance that repeats itself.
//!
//! Allowed dependencies: anything below the binary. Only tests depend on this: `xtask tidy` refuses it elsewhere.
//!
//! Invariant: a comparison that compares nothing fails, unless `SAMPAN_REFERENCE=none` says that there is nothing to compare
//! with.

mod dice;
#[cfg(feature = "generate")]
pub mod generate;
pub mod reference;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "tls")]
pub mod tls;

pub use dice::Dice;
