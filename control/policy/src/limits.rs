//! Limits of the objects' part; what a policy may cost is in `sampan_policy_host::limits`.

use std::time::Duration;

/// Period in which counts are written into the objects' status.
pub const STATUS_EVERY: Duration = Duration::from_secs(10);
/// Period in which an image that did not change is looked at again, since its tag may have moved.
pub const REFETCH_EVERY: Duration = Duration::from_secs(60);
/// Objects that are installed at a time. They mostly wait: for an image, for a compiler, for a turn.
pub const WORKERS: usize = 32;
/// Longest wait of pods at the start for policies that are not built in: after it they are placed without.
pub const START_WAIT: Duration = Duration::from_secs(5);
/// Longest one reconcile may take: an installation, and the writes around it.
pub const RECONCILE_TIMEOUT: Duration = Duration::from_secs(360);
/// The text of `describe`, bytes.
pub const DESCRIBE_BYTES: usize = 256 << 10;
/// The part of an instance's memory that strings and pods' cells may take that are perhaps no longer needed: past it the
/// mirror is begun anew. The rest is for nodes' cells and the policy itself.
pub const MIRROR_SHARE: usize = 4;
/// Place among the filters of a policy that does not say.
pub const ORDER_DEFAULT: i32 = 1000;
/// Wait before a failed installation is first tried again.
pub const RETRY_BASE: Duration = Duration::from_millis(500);
/// The longest such wait.
pub const RETRY_MAX: Duration = Duration::from_secs(60);
