//! Named limits of the commands.

use std::time::Duration;

/// Largest manifest file, bytes.
pub const MANIFEST_MAX: u64 = 16 * 1024 * 1024;
/// Objects in one manifest.
pub const OBJECTS_MAX: usize = 10_000;
/// Attempts of an apply that meets conflicts with other writers.
pub const APPLY_TRIES: usize = 5;
/// A watch that ended is begun anew after a pause that doubles between these, until something was seen.
pub const WATCH_PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest pause between two watches.
pub const WATCH_PAUSE_MAX: Duration = Duration::from_secs(5);
