//! The only room that knows the engine: limits, capabilities, artifact cache, bindings.
//!
//! A component goes in by its digest ([`Runtime::load`]), is compiled in a killable child or found in a cache, and runs
//! as a command ([`Runtime::start_command`]) or as a service ([`Runtime::start_service`]) under its container's limits
//! ([`Runtime::container`]). What a guest does wrong is an [`Exit`], never an error and never a panic.
//!
//! Allowed dependencies: wasmtime and its companions, hyper, tokio, `sampan-env`. None of control/ or node/.
//!
//! Invariants:
//! - No type of the engine stands in a public signature.
//! - Guests run on threads of their own, never on the caller's runtime.
//! - Every store is made by `guest::limited`, which sets every limit that a store has.
//! - A workload's futures, those of its outgoing HTTP too, are polled inside [`metered::Metered`]; a policy's call is polled
//!   once, on its caller's thread, under the budget of [`call`].
//! - What the host holds for a container is charged to one ledger (`memory`) at the prices of one list (`prices`), before
//!   it is allocated: an interface is linked (`linker`) through a view that charges (`paid`), or makes no resource.
//! - A request holds no instance while it waits for its client, and no turn that others need while they have fewer.
//! - Nothing is deserialised but the build's seeds and our own cache, after its checksum was verified.
//! - Every `main` of a program that makes a [`Runtime`] calls [`compile_child_main`] first.

mod artifact;
mod cache;
mod call;
mod clock;
mod command;
mod compile;
mod connections;
mod container;
mod cpu;
mod engine;
mod error;
mod exit;
mod fair;
mod guest;
mod host;
mod inspect;
pub mod limits;
mod linker;
mod memory;
mod metered;
mod metrics;
mod net;
mod paid;
pub mod policy;
mod prices;
mod priority;
mod runtime;
mod seats;
mod service;
mod slices;
mod starts;
mod ticker;
mod wasi;

pub use artifact::{Artifact, Seed};
pub use cache::digest_of;
pub use command::{CommandHandle, CommandSpec};
pub use compile::{CompileBounds, CompileClaim, Compiler, Precompiled, compile_child_main, precompile};
pub use container::{Container, ContainerLimits, Usage};
pub use engine::Role;
pub use error::Error;
pub use exit::{Exit, ExitReason};
pub use inspect::{Form, InspectError, Inspection, Worlds, inspect};
pub use metrics::RuntimeMetrics;
pub use net::{Cidr, EgressRules};
pub use runtime::{Capacity, Runtime, RuntimeConfig};
pub use service::{ServiceHandle, ServiceSpec};
pub use ticker::Tick;
pub use wasi::{LogSink, Mount, Volume};
