//! The node agent: it registers its Node, heartbeats, and runs the pods that are bound to it.
//!
//! Each pod UID has one worker, a task that plans ([`plan`]: a pure function of what is wanted and what is observed) and
//! then acts, through a [`PodRuntime`]. What was started stands in a [`ledger`] before it starts, so that after a crash
//! long-lived pods run again and finished ones do not.
//!
//! Allowed dependencies: api, env, schema, client, wasm-runtime. Never the rest of control/: the node sees the cluster
//! only through a client, under its own identity.
//!
//! Invariants:
//! - One worker a pod UID; a container's next run begins only after its last has ended.
//! - What a pod asks for and this node cannot give is refused with a reason and an Event, never ignored.
//! - A status is written from what was observed, never from what was meant.

pub mod address;
mod agent;
mod container;
pub mod kubelet_api;
pub mod ledger;
pub mod limits;
pub mod logs;
mod observed;
pub mod plan;
mod register;
mod runtime;
mod shared_process;
mod status;
mod worker;

pub use agent::{Agent, AgentConfig, StartError};
pub use container::{ContainerPlan, Refusal};
pub use observed::{ContainerState, Observed, ObservedContainer, Terminated};
pub use runtime::{ContainerExit, ImageError, Launch, LaunchError, PodRuntime, PulledImage, Running};
pub use shared_process::SharedProcess;
