//! The host of Wasm policies, for every use of them: fetching and compiling a component, budgets, feeding a mirror,
//! fixtures, swapping between two questions, strikes and suspension, status.
//!
//! A host implements [`Installed`] for what it makes live, keeps it in a [`Live`] table, and asks through
//! [`Instances`]. [`Installer`] brings components from an image to something that can be checked, in fair [`Turns`].
//!
//! Allowed dependencies: api, env, client, reconcile, wasm-runtime. Never the scheduler or admission: they stand on it.
//!
//! Invariants:
//! - What is live changes only between two questions: [`Instances::adopt`] takes up a whole [`Set`] or none.
//! - A fault is a value, and says whose doing it is ([`Blame`]); only the policy's own are held against it.
//! - The mirror is fed on a budget that grows with what is fed; a question costs its own budget and nothing else.
//! - All memory that policies may take is bounded: what is live by [`limits::MEMORY_LIVE`], what is there for a while
//!   (checks, audits, explanations) by [`limits::MEMORY_PASSING`].

mod budget;
mod feed;
mod install;
mod instances;
pub mod limits;
mod live;
mod question;
mod requests;
mod running;
mod stats;
mod status;
mod successor;
mod turns;
mod wakers;
mod warm;
mod warming;

pub use budget::{Allowance, BudgetError, allowance};
pub use feed::{bytes_of, split};
pub use install::{Component, Installer};
pub use instances::{Blame, Fault, Feeding, HostConfig, Instances};
pub use live::{Installed, Live, Set, Slot, Strike, TooMuchMemory, Unit};
pub use question::{Mirror, Point, Question};
pub use stats::{FaultRecord, Report};
pub use status::{Failed, Stage, Verdict, Verdicts, conditions, is_suspended, verdict, was_suspended};
pub use turns::{NoPassingMemory, OverTime, Turn, Turns, Work};
