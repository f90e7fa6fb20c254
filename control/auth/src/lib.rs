//! Authentication and authorization: the cluster's certificates, authenticators, authorizers, and the roles that every
//! cluster has from its first start.
//!
//! Allowed dependencies: api, env, schema, client. Never registry or store: roles and bindings are read through an
//! informer, over the same API that they guard.
//!
//! Invariants:
//! - Authorization happens in the API server's chain and nowhere else; whatever goes wrong inside it is a refusal.
//! - A private key never leaves its file and this process's memory, and is in no log line.

pub mod authenticator;
pub mod bootstrap;
pub mod bootstrap_tokens;
pub mod certificates;
pub mod limits;
pub mod node;
pub mod pki;
pub mod rbac;
pub mod service_account;
pub mod signing;
pub mod tokens;
pub mod union;

pub use authenticator::{Authenticated, Authenticator, Credentials, Peer, Refused, TokenAuthenticator};
pub use pki::Pki;
