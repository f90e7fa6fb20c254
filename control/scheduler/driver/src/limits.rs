//! Times and bounds of the driver. Those of the queue are kube-scheduler's.

use std::time::Duration;

/// A pod that was refused waits at least this long after its first attempt, twice as long after each further one.
pub const BACKOFF_INITIAL: Duration = Duration::from_secs(1);
/// A pod that was refused waits no longer than this.
pub const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// A refused pod is tried again after this time though nothing happened that might help it.
pub const UNSCHEDULABLE_MAX: Duration = Duration::from_secs(300);
/// Pods placed whose binding has not been answered yet; past it no cycle runs.
pub const ASSUMED_MAX: usize = 2048;
/// Bindings under way at a time.
pub const BINDINGS: usize = 128;
/// Wait between two tries of a binding whose answer is not known.
pub const BIND_RETRY: Duration = Duration::from_millis(100);
/// The longest such wait: each is twice the one before.
pub const BIND_RETRY_MAX: Duration = Duration::from_secs(5);
/// Writes of conditions under way at a time.
pub const CONDITIONS: usize = 32;
/// Decisions posted in one write, and their bytes.
pub const DECISIONS_BATCH: usize = 256;
/// Bytes of decisions posted in one write.
pub const DECISIONS_BATCH_BYTES: usize = 1 << 20;
/// Decisions of one pod that stay in the API: an older one is deleted when a newer one is posted.
pub const DECISIONS_OF_POD: usize = 5;
/// Deletions of old decisions under way at a time.
pub const DECISIONS_DELETED_AT_ONCE: usize = 16;
/// Pods of which it is known what was last posted.
pub const DECIDED_PODS: usize = 8192;
/// Characters of an object's name (a DNS subdomain).
pub const NAME: usize = 253;
/// Wait of a decision for others to be posted with it.
pub const DECISIONS_WAIT: Duration = Duration::from_millis(250);
/// Decisions waiting to be posted; past it the oldest are dropped and counted.
pub const DECISIONS_WAITING: usize = 8192;
/// Decisions kept in memory, for explanations.
pub const DECISIONS_KEPT: usize = 4096;
/// A pause after the server could not take decisions; they wait.
pub const DECISIONS_PAUSE: Duration = Duration::from_secs(30);
/// Longest pause of the thread: between two looks at the clock, and between two returns of freed memory.
pub const IDLE_WAIT: Duration = Duration::from_secs(2);
/// Pause of a namespace's pods after one of them cost more than a cycle may: about ten times that cost.
pub const COSTLY_PAUSE: Duration = Duration::from_millis(600);
/// Cycles whose bindings and conditions wait to be begun; past it no cycle runs.
pub const DECIDED: usize = 4096;
/// Period in which the thread looks whether there is room for another.
pub const DECIDED_WAIT: Duration = Duration::from_millis(10);
/// Cycles on their way onto the record; what comes when it is full is dropped and counted.
pub const RECORDED: usize = 8192;
/// Bytes of an Event's message (kube-scheduler's limit).
pub const EVENT_MESSAGE: usize = 1024;
/// Explanations computed at a time.
pub const EXPLANATIONS: usize = 2;
/// Refusals that a decision's record names, the most frequent first, and the bytes of their texts.
pub const RECORDED_REFUSALS: usize = 64;
/// Bytes of the texts of all refusals that a record names.
pub const RECORDED_TEXT_BYTES: usize = 16 << 10;
/// Nodes that an explanation's text shows.
pub const EXPLAINED_NODES: usize = 30;
