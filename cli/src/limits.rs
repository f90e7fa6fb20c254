//! Named limits of the commands.

use std::time::Duration;

/// Largest manifest file, bytes.
pub const MANIFEST_MAX: u64 = 16 * 1024 * 1024;
/// Objects in one manifest.
pub const OBJECTS_MAX: usize = 10_000;
/// Longest event of a watch, bytes.
pub const WATCH_LINE_MAX: usize = 64 * 1024 * 1024;
/// Period in which a wait looks for an event that explains it.
pub const EVENTS_EVERY: Duration = Duration::from_secs(1);
/// Events of one object's namespace that are looked at for that.
pub const EVENTS_MAX: u32 = 500;
/// A watch that ended is begun anew after a pause that doubles between these, until something was seen.
pub const WATCH_PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest pause between two watches.
pub const WATCH_PAUSE_MAX: Duration = Duration::from_secs(5);
/// Time that a shell which completes a line waits for the cluster.
pub const COMPLETION_DEADLINE: Duration = Duration::from_secs(2);
/// Names that are offered to it.
pub const COMPLETIONS_MAX: u32 = 500;
/// A time that another computer's clock has told may lie so far ahead of this one's.
pub const CLOCKS_APART: Duration = Duration::from_secs(60);
