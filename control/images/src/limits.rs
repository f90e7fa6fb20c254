//! Named limits of the store.

/// Largest component, bytes.
pub const COMPONENT_MAX: u64 = 256 * 1024 * 1024;
/// Largest manifest or index, bytes (the distribution specification asks for at least 4 MiB).
pub const MANIFEST_MAX: u64 = 4 * 1024 * 1024;
