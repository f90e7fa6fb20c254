//! What a policy may cost, and how often it may fail.

use std::time::Duration;

/// CPU time of one call, where the object says nothing: a cold call over 5,000 nodes takes a tenth of it.
pub const CPU: Duration = Duration::from_millis(50);
/// The most that an object may ask for.
pub const CPU_MAX: Duration = Duration::from_secs(1);
/// Wall time of one call as a multiple of its CPU time, where the object says nothing.
pub const WALL_FACTOR: u32 = 20;
pub const WALL_MAX: Duration = Duration::from_secs(20);
/// Memories and tables of one instance, bytes.
pub const MEMORY: u64 = 64 << 20;
pub const MEMORY_MAX: u64 = 512 << 20;
/// Faults in [`STRIKE_WINDOW`] that suspend a policy.
pub const STRIKES: usize = 3;
pub const STRIKE_WINDOW: Duration = Duration::from_secs(600);
/// The second fault in a row of a built-in policy's component makes it rest so long, each further one twice as long: it
/// is started again rather than suspended.
pub const RESTART_BASE: Duration = Duration::from_millis(500);
pub const RESTART_MAX: Duration = Duration::from_secs(10);
/// Budget of feeding the whole mirror to the fresh instance that an audit asks: it grows with the cluster, and says
/// nothing of the policy.
pub const FEED_CPU: Duration = Duration::from_secs(1);
pub const FEED_WALL: Duration = Duration::from_secs(20);
/// One call in so many of a pure policy is asked again of a fresh instance. A prime, so that no workload keeps step.
pub const AUDIT_EVERY: u64 = 997;
/// Durations of calls kept for the percentiles.
pub const DURATIONS: usize = 512;
/// How often counts are written into the objects' status.
pub const STATUS_EVERY: Duration = Duration::from_secs(10);
/// How often an image that did not change is looked at again, since its tag may have moved.
pub const REFETCH_EVERY: Duration = Duration::from_secs(60);
/// Objects that are brought to life at a time: one that compiles for long holds up none but its own.
pub const WORKERS: usize = 2;
/// How long pods wait at the start for policies that are not built in: then they are placed, and the rest comes later.
pub const START_WAIT: Duration = Duration::from_secs(5);
/// What a fault says in an Event or a status.
pub const MESSAGE_CHARS: usize = 512;
/// The text of `describe`.
pub const DESCRIBE_BYTES: usize = 256 << 10;
/// Place among the filters of a policy that does not say.
pub const ORDER_DEFAULT: i32 = 1000;
/// How often a failed preparation is tried again.
pub const RETRY_BASE: Duration = Duration::from_millis(500);
pub const RETRY_MAX: Duration = Duration::from_secs(60);
/// Retries of one status write that meets another writer.
pub const STATUS_WRITES: usize = 4;
/// Fixtures of one object.
pub const FIXTURES: usize = 256;
