//! Named limits of the commands.

/// Largest manifest file, bytes.
pub const MANIFEST_MAX: u64 = 16 * 1024 * 1024;
/// Objects in one manifest.
pub const OBJECTS_MAX: usize = 10_000;
/// How often an apply is tried again after somebody else has written between.
pub const APPLY_TRIES: usize = 5;
