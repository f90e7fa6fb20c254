//! The commands that are wanted where no kubectl is at hand, each a few calls of the public API, as whoever the
//! kubeconfig says. Commands on files of the data directory (`sampan image`) live in the binary instead.
//!
//! Allowed dependencies: api, client, env. Never store or registry.
//!
//! Invariant: nothing here can do what kubectl with the same kubeconfig could not.

pub mod apply;
pub mod commands;
pub mod complete;
pub mod get;
pub mod history;
pub mod jsonpath;
pub mod kstatus;
pub mod limits;
pub mod logs;
pub mod manifest;
mod moment;
pub mod session;
pub mod status;
pub mod table;
pub mod wait;
