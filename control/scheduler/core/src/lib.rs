//! The scheduling cycle as a pure function: what a cluster looks like, what one pod asks of it, and which node it gets.
//!
//! Allowed dependencies: `api`, serde, thiserror. No async, no clock, no client, no I/O.
//!
//! Invariants:
//! - [`cycle`] is a function of its arguments: the same snapshot, pod, profile, seed and answers of the policies give the
//!   same outcome, with a warm cache of verdicts or a cold one.
//! - The order of nodes is a function of the snapshot: by name.
//! - A refusal is data, a fault of a policy too; nothing here fails.

mod cells;
mod columns;
mod cycle;
mod events;
mod explain;
mod feed;
pub mod limits;
mod message;
mod normalize;
mod pod;
mod policies;
mod resources;
mod snapshot;
mod strings;
mod verdicts;

pub use cells::PodView;
pub use columns::{COLUMNS, ColumnSet, UnknownColumn, id as column_id};
pub use cycle::{Cycler, Outcome, Placed, Refusals, Result as CycleResult, cycle};
pub use events::{EVENTS, is_event};
pub use explain::{Cell, Matrix, MatrixPolicy, MatrixRow, explain};
pub use feed::{Changes, Feed};
pub use message::{NO_NODES, fit_error, preemption};
pub use normalize::{Normalize, SCORE_MAX, normalize};
pub use pod::{PodInfo, Port, Protocol, Usage};
pub use policies::{Ask, Fault, LivePolicies, Policies, PolicyHosts, Profile, ProfilePolicy, Reason, Scores, Unfit};
pub use resources::{amounts, pod_nonzero_requests, pod_requests};
pub use snapshot::Snapshot;
pub use strings::Strings;
