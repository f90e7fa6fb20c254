//! The node agent: it registers its Node, heartbeats, and runs the pods that are bound to it.
//!
//! Each pod UID has one worker, a task that plans ([`plan`]: a pure function of what is wanted and what is observed) and
//! then acts, through a [`PodRuntime`]. What was started stands in a [`ledger`] before it starts, so that after a crash
//! long-lived pods run again and finished ones do not; where the ledger is lost, the API's own status stands in for it.
//!
//! Allowed dependencies: api, env, schema, client, wasm-runtime. Never the rest of control/: the node sees the cluster
//! only through a client, under its own identity.
//!
//! Invariants:
//! - One worker a pod UID; a container's next run begins only after its last has ended. A worker that fails loses its
//!   containers, and is begun again.
//! - What a pod asks for and this node cannot give is refused with a reason and an Event. Ignored is only what a sandbox
//!   without files, users, kernel interfaces and names has no use for: security contexts (`privileged` with an event, and
//!   sysctls are refused), DNS settings, termination message paths, ephemeral storage. Ephemeral containers are not run: they
//!   come to a pod that runs already, and their absence from the status says so.
//! - A status is written from what was observed, never from what was meant.
//! - No number of a pod's owner overflows: the modules that take one deny arithmetic that could (a clippy lint).

pub mod address;
mod agent;
mod container;
mod environment;
mod image;
pub mod kubelet_api;
pub mod ledger;
mod lifecycle;
pub mod limits;
pub mod logs;
mod observed;
mod patch;
pub mod plan;
mod projected;
mod register;
mod report;
mod runtime;
mod shared_process;
#[cfg(test)]
mod simulation;
mod status;
mod step;
mod supervise;
#[cfg(test)]
mod tests;
mod volumes;
mod worker;

pub use agent::{Agent, AgentConfig, StartError};
pub use container::{ContainerPlan, Refusal};
pub use observed::{ContainerName, ContainerState, Observed, ObservedContainer, Terminated};
pub use runtime::{
    ContainerExit, ImageError, Launch, LaunchError, PodCapacity, PodRuntime, PodSandbox, PulledImage, Running,
};
pub use shared_process::SharedProcess;
