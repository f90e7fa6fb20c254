//! The commands that are wanted where no kubectl is at hand, each a few calls of the public API, as whoever the
//! kubeconfig says. What works on files of the data directory (backup, verify) lives in the binary instead.
//!
//! Allowed dependencies: api, client, env; later scheduler core and policy for `sampan policy`. Never store or registry.
//!
//! Invariant: nothing here can do what kubectl with the same kubeconfig could not.

pub mod apply;
pub mod commands;
pub mod kstatus;
pub mod limits;
pub mod manifest;
pub mod wait;
