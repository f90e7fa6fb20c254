//! Scheduling policies: the host's side of plugins/wit/scheduling.wit.
//!
//! A [`PolicyComponent`] is linked once; a [`PolicyInstance`] is one live copy of it with its own memory. Calls run on the
//! caller's thread, never wait, and cost at most their budget; what goes wrong is a [`PolicyFault`], after which the
//! instance is spent: its memory may be in any state.

mod abi;
mod instance;

pub use abi::{PolicyChanges, PolicyInput, PolicyReason, PolicyScores, PolicyVerdicts};
pub use instance::{PolicyBudget, PolicyCause, PolicyComponent, PolicyExports, PolicyFault, PolicyInstance, Spent};
