//! The parts of a scheduling policy that its author needs, without the way in which data travels.
//!
//! ```
//! use sampan_policy_sdk::{Column, Node, NoArgs, Pod, Point, Policy, Verdict};
//!
//! struct NotOnMondays;
//! impl Policy for NotOnMondays {
//!     const NAME: &'static str = "NotOnMondays";
//!     const POINTS: &'static [Point] = &[Point::Filter];
//!     const COLUMNS: &'static [Column] = &[Column::NodeLabels];
//!     type Args = NoArgs;
//!     fn new(_: NoArgs) -> Result<Self, String> {
//!         Ok(Self)
//!     }
//!     fn filter(&self, _pod: &Pod, node: &Node) -> Verdict {
//!         match node.label("day") {
//!             Some("monday") => Verdict::unschedulable("node(s) had a Monday"),
//!             _ => Verdict::Pass,
//!         }
//!     }
//! }
//! ```
//!
//! `sampan_policy_sdk::export!(NotOnMondays);` makes a component of the crate when it is built for `wasm32-wasip2` (as a
//! `cdylib`); built natively the crate is an ordinary library, and [`testing`] makes pods and nodes for its tests.
//!
//! Allowed dependencies: serde, serde_json, wit-bindgen. None of the rest of the project: authors outside build this too.
//!
//! Invariant: a policy's answer is a function of the pod, the node and its arguments (unless it says otherwise by
//! [`Policy::PURE`]): the host keeps answers, and asks again on a fresh instance now and then.

#[doc(hidden)]
pub mod bindings;
mod columns;
mod describe;
pub mod limits;
mod mirror;
mod policy;
mod runtime;
pub mod testing;
mod view;

pub use columns::{Column, Effect, Operator, Protocol};
pub use mirror::{Changes, Mirror, Symbol};
pub use policy::{NoArgs, Nodes, Normalize, Point, Policy, Scope, Verdict, Verdicts};
pub use runtime::{Entry, Failure, FilterAnswer, Input, Reason, Runtime, Scores, entry};
pub use view::{Comparison, Node, Pod, Requirement, RequirementKind, Term, Toleration};
