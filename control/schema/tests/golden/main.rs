//! What this crate makes against what Kubernetes' own code and server make: the golden objects of the published Go
//! modules, and exchanges recorded from a real API server.

mod defaulting;
mod errors;
mod facts;
mod objects;
mod speed;
mod support;
