//! The reconcile runtime that every controller of the house stands on, and what all of them do to objects: workers with
//! back-off, a time limit and a guard against panics; expectations; controller references and the taking and leaving of
//! dependents; conditions; status writes.
//!
//! Allowed dependencies: api, env, client. Never store or registry: a controller is a client like any other.
//!
//! Invariants:
//! - One shape: read listers, call a pure `plan(objects, now)`, apply its actions, write the status.
//! - A key is reconciled by one worker at a time; a panic or a hang ends one reconcile only and is tried again.
//! - A condition's `lastTransitionTime` moves only with its status ([`condition`]).
//! - A status is written for the object that it was computed from ([`update_status`]): another of that name is left alone.

pub mod claim;
pub mod condition;
mod error;
mod expectations;
pub mod limits;
pub mod owner;
mod runtime;
mod status;
pub mod time;

pub use error::Error;
pub use expectations::{Expectations, Unsent};
pub use runtime::{Key, Reconcile, Requeue, Runtime};
pub use status::{Conflict, update_status};
