//! The scheduling cycle as a pure function: what a cluster looks like, what one pod asks of it, and which node it gets.
//!
//! Allowed dependencies: `api`, serde, thiserror. No async, no clock, no client, no I/O.
//!
//! Invariants:
//! - [`cycle`] is a function of its arguments: the same snapshot, pod, profile, seed and answers of the policies give the
//!   same outcome, with a warm cache of verdicts or a cold one. [`Run`] is the same in steps, and never waits.
//! - What a policy is told of a pod, and what is kept of its answers, hangs on the columns of its own unit alone.
//! - Nothing of an answer is read before [`Answer::checked`] has held it against the contract's bounds.
//! - A pod is never placed without a policy whose faults are not ignored, nor against a demand that nothing acts on.
//! - The order of nodes is a function of the snapshot: by name.
//! - A refusal is data, a fault of a policy too; nothing here fails.

mod answer;
mod cells;
mod columns;
mod constraints;
mod cycle;
mod events;
mod explain;
mod feed;
mod kept;
pub mod limits;
mod message;
mod normalize;
mod objects;
mod pod;
mod policies;
mod resources;
mod snapshot;
mod strings;
mod view;

pub use answer::{Answer, BadAnswer, Fault, FilterAnswer, Question, Reason, ScoreAnswer};
pub use cells::{Signature, TooLarge, Word};
pub use columns::{COLUMNS, ColumnSet, UnknownColumn, id as column_id};
pub use constraints::{Unserved, unserved};
pub use cycle::{CycleResult, Cycler, Outcome, Placed, Refusals, Run, Step, cycle};
pub use events::{EVENTS, is_event};
pub use explain::{Cell, Matrix, MatrixRow, explain};
pub use feed::{Changes, Feed};
pub use message::{Evictions, NO_NODES, fit_error, preemption, printable, shortened};
pub use normalize::{Normalize, SCORE_MAX, normalize};
pub use objects::{Object, ObjectKind, ObjectRef, Objects};
pub use pod::{PodInfo, Port, Protocol, Usage};
pub use policies::{
    HeldPolicy, LivePolicies, Point, Points, Policies, PolicyHosts, Profile, ProfilePolicy, Unanswered,
};
pub use resources::{amounts, pod_nonzero_requests, pod_requests};
pub use snapshot::Snapshot;
pub use strings::{Strings, Text};
pub use view::PodView;
