//! The embedded OCI store.
