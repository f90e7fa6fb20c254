//! Bounds of a policy's cost and of its faults.

use std::time::Duration;

/// CPU time of one call, where the object says nothing: a cold call over 5,000 nodes takes a tenth of it.
pub const CPU: Duration = Duration::from_millis(50);
/// The most CPU time of one call that an object may ask for.
pub const CPU_MAX: Duration = Duration::from_secs(1);
/// Wall time of one call as a multiple of its CPU time, where the object says nothing.
pub const WALL_FACTOR: u32 = 20;
/// The most wall time of one call that an object may ask for.
pub const WALL_MAX: Duration = Duration::from_secs(20);
/// Memories and tables of one instance where the object says nothing, bytes.
pub const MEMORY: u64 = 64 << 20;
/// The most memory of one instance that an object may ask for, bytes.
pub const MEMORY_MAX: u64 = 512 << 20;
/// Sum of the memory that all live components may take, bytes: the largest one, the built-ins, and three more that say
/// nothing. What would go beyond it is not installed.
pub const MEMORY_LIVE: u64 = 768 << 20;
/// Sum of the memory of instances that live for a while: those of checks, audits and explanations, each of which has an
/// instance of everything that is live. Checks wait for their share, an audit that finds none is left out, an explanation
/// is refused.
pub const MEMORY_PASSING: u64 = MEMORY_LIVE;
/// Longest wait of a check for its share of [`MEMORY_PASSING`]; then its object says so, and it is tried again later.
pub const MEMORY_WAIT: Duration = Duration::from_secs(5);
/// Faults in [`STRIKE_WINDOW`] that suspend a policy.
pub const STRIKES: usize = 3;
/// Faults that wait to be told of in Events and status; older ones are counted only.
pub const STRIKES_TOLD: usize = 1024;
/// See [`STRIKES`].
pub const STRIKE_WINDOW: Duration = Duration::from_secs(600);
/// The second fault in a row of an essential policy's component makes it rest so long, each further one twice as long: it
/// is started again rather than suspended.
pub const RESTART_BASE: Duration = Duration::from_millis(500);
/// The longest rest.
pub const RESTART_MAX: Duration = Duration::from_secs(10);
/// CPU time of one piece of feeding, however small.
pub const FEED_CPU: Duration = Duration::from_millis(50);
/// CPU time more for each KiB that is fed: some forty times what an interpreter takes for a list of numbers.
pub const FEED_CPU_PER_KIB: Duration = Duration::from_millis(1);
/// Wall time of feeding as a multiple of its CPU time.
pub const FEED_WALL_FACTOR: u32 = 20;
/// Bytes of one piece of feeding.
pub const FEED_PIECE: usize = 256 << 10;
/// Bytes of the first piece that a fresh instance is fed: how long it takes tells how fast it is.
pub const FEED_FIRST_PIECE: usize = 32 << 10;
/// CPU time of feeding that the asking thread spends before one question: as much as a question may take that says
/// nothing. Where more is expected, the instance is fed on a thread of its own, and its policies answer when that is done.
pub const FEED_AT_ONCE: Duration = CPU;
/// Bytes of changes that cross together with the question: more is fed before it.
pub const FEED_WITH_QUESTION: usize = 16 << 10;
/// Bytes of its own cells up to which an object that is asked about is an ordinary one. A question about a larger one that
/// runs over its budget is that object's doing.
pub const SUBJECT_ORDINARY: usize = 16 << 10;
/// Calls of a pure policy of which one is asked again of a fresh instance. A prime, so that no workload keeps step.
pub const AUDIT_EVERY: u64 = 997;
/// Durations of calls kept for the percentiles.
pub const DURATIONS: usize = 512;
/// Characters of a fault's text in an Event or a status.
pub const MESSAGE_CHARS: usize = 512;
/// Fixtures of one object.
pub const FIXTURES: usize = 256;
/// Policies that are checked at the same time, one call or fixture each.
pub const TURNS: usize = 2;
/// CPU time of all the guest's calls in one installation: starting, describing, configuring, fixtures.
pub const INSTALL_CPU: Duration = Duration::from_secs(20);
/// Longest one installation may take from the fetch to the last fixture, waits included; it is tried again later.
pub const INSTALL_WALL: Duration = Duration::from_secs(300);
