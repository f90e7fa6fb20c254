//! `SchedulingPolicy` objects put to work on `sampan-policy-host`: what is the scheduler's own of them.
//!
//! [`PolicyController`] watches the objects and installs what they name; [`Live`] holds what is live, as profiles; [`Host`]
//! asks it on the scheduling thread, as the cycle's `Policies`.
//!
//! Allowed dependencies: api, env, schema, client, reconcile, policy-host, wasm-runtime, scheduler core. Never the driver.
//!
//! Invariants:
//! - Built-in policies take the one path that a user's take: objects, components, budgets. But they are never suspended:
//!   a component of theirs that faults is started again, and pods wait for it.
//! - What is live changes only between two cycles: a [`Host`] adopts a whole [`PolicySet`] or none.
//! - A component that does not compile, describe itself, take its arguments or pass its fixtures never goes live; what
//!   was live before it stays.
//! - A fault never reaches the scheduler as anything but a value, and the third in a window ends a user's policy's part.

mod built_in;
mod controller;
mod describe;
mod host;
pub mod limits;
mod live;
mod mirror;
mod prepare;
mod starting;

pub use built_in::{BUILT_IN_IMAGE, built_in_policies};
pub use controller::{PolicyController, PolicyControllerConfig};
pub use describe::{DescribeError, Description, PolicyDescription};
pub use host::{Host, POD_TOO_LARGE};
pub use live::{Live, PolicySet, ProfileConfig, Profiles, Slot, Unit};
pub use prepare::{PrepareError, Prepared, prepare};
pub use sampan_policy_host::{FaultRecord, Feeding, HostConfig, Report};
