//! Queue, cache, binding, decision records: the cycle of `scheduler/core` put to work on a live cluster.
//!
//! [`Driver::start`] runs it: a thread of its own decides ([`Scheduler`], a state machine without I/O), tasks bind and
//! write ([`Binder`] and the like). [`Explainer`] computes a recorded decision again.
//!
//! Allowed dependencies: scheduler core, api, env, client. Never store, registry or the policies' room: policies come as
//! the core's `LivePolicies`.
//!
//! Invariants:
//! - A cycle never waits for I/O; binding and writing never hold a cycle up.
//! - A pod that was placed counts on its node until its binding is known to have failed: what is uncertain is asked
//!   again, never forgotten, so that nothing is over-committed and nothing bound twice.
//! - A decision's record names every input of its cycle.

mod active;
mod binder;
mod decisions;
mod driver;
mod explain;
mod inbox;
pub mod limits;
mod posted;
mod queue;
mod record;
mod scheduler;
mod text;
mod writer;

pub use driver::{Driver, DriverConfig, Metrics};
pub use explain::Explainer;
pub use queue::ClusterEvent;
pub use record::Records;
pub use scheduler::{Bind, BindResult, Cycled, PodChange, Scheduler, SchedulerSettings};
