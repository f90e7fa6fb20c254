//! kubectl's configuration: read by its rules of precedence, and one cluster merged into it without touching the rest.

mod load;
mod lock;
mod merge;

pub use load::{Kubeconfig, paths};
pub use merge::{Entry, Forgotten, Merged, Target, forget, merge, render};
