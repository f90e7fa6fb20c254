//! What objects use of a namespace's quota, and whether it is enough (k8s.io/apiserver/pkg/quota/v1 and
//! pkg/quota/v1/evaluator/core of Kubernetes v1.35). Admission charges by it, the quota controller counts by it.
//!
//! Allowed dependencies: api. Never a client, a clock or I/O: objects and the time are handed in.
//!
//! Invariants:
//! - The use of an object is computed in one place, whoever asks: what was charged is what is counted.
//! - Amounts that do not parse are none: the API server stores no such.

mod amounts;
mod charge;
mod evaluator;
mod item;
pub mod pod;
mod scope;

pub use amounts::Amounts;
pub use charge::{Quota, Write, charge, count};
pub use evaluator::{Evaluator, count_name};
pub use item::Item;
pub use scope::is_best_effort;
