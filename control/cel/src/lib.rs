//! Expressions in CEL, as Kubernetes v1.35 has them: the environment, the checker, costs before and while they run.
//!
//! Allowed dependencies: api, schema. No I/O, no clock: what the authorizer answers is found out between two evaluations.
//!
//! Invariants:
//! - Whatever the text and the data, compilation and evaluation end: depth, nodes, types, cost units and bytes are
//!   bounded in `limits.rs`.
//! - Costs are Kubernetes' units, reckoned as Kubernetes reckons them: they decide what is taken.
//! - Data is looked at where it stands.

pub mod admission;
mod authorizer;
mod check;
mod compare;
mod compiled;
mod cost;
mod decl;
mod declarations;
pub mod devices;
mod environment;
mod error;
mod escape;
mod estimate;
mod eval;
mod formats;
mod functions;
mod inputs;
mod json;
mod library;
pub mod limits;
mod meter;
pub mod patch;
mod program;
pub mod rules;
mod syntax;
mod types;
mod unify;
mod url;
mod value;
pub mod zones;

pub use authorizer::Authorization;
pub use compiled::Compiled;
pub use decl::{Decl, Field, ListKind, Root};
pub use environment::Environment;
pub use error::{EvalError, Issue, Issues, Question};
pub use escape::{escape, is_identifier};
pub use estimate::Range;
pub use inputs::{Decisions, Inputs};
pub use library::{Cidr, Format, Quantity, Semver};
pub use program::Program;
pub use types::Type;
pub use url::Url;
pub use value::{Key, Library, List, Made, Map, Text, Value};
