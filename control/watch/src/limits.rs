//! Bounds of rings, pages and waits.

use std::time::Duration;

/// Events that a resource's ring keeps.
pub const RING_EVENTS_MAX: usize = 4096;
/// Encoded bytes that a resource's ring keeps alive, at least one event aside.
pub const RING_BYTES_MAX: usize = 8 << 20;
/// Events that a cursor takes out of the ring at once.
pub const CURSOR_BATCH_MAX: usize = 64;
/// Events that a cursor reads out of the store's history at once.
pub const HISTORY_PAGE_MAX: usize = 512;
/// Objects of a snapshot that initial events are made of at once.
pub const SNAPSHOT_CHUNK: usize = 256;
/// Keys that the loading of a resource reads at once.
pub const LOAD_PAGE_MAX: usize = 2000;
/// Entries of a page that are decoded where they are read; a larger page is another thread's.
pub const DECODE_HERE_MAX: usize = 32;
/// Longest wait of a read for a revision that the server has not reached (apiserver's blockTimeout).
pub const AHEAD_WAIT_MAX: Duration = Duration::from_secs(3);
/// The longest that a watch lasts, whatever its client asks for.
pub const WATCH_TIMEOUT_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Period in which a quiet watch sends a bookmark (apiserver's bookmarkFrequency). History is kept longer, so that a
/// watch of which nothing concerned it does not find itself too old.
pub const BOOKMARK_PERIOD: Duration = Duration::from_secs(60);
