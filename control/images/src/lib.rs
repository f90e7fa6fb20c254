//! The embedded OCI store: components by name, on disk as an OCI image layout, and those that the binary carries.
//!
//! Allowed dependencies: api, env, client (whose `BlobSource` it implements). Never the store.
//!
//! Invariants:
//! - Content is addressed by its SHA-256, and checked against it at each read: a blob that differs is an error, never
//!   served.
//! - What is on disk is replaced whole or not at all.

mod layout;
pub mod limits;
mod manifest;

pub use layout::{ImageError, ImageInfo, Images, Removal, Seed};
