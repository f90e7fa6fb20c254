//! Named limits and periods of a node; where Kubernetes' kubelet has the same, its default.

use std::time::Duration;

/// Period in which the node's Lease is renewed.
pub const LEASE_RENEW_EVERY: Duration = Duration::from_secs(10);
/// Time after a renewal for which the Lease holds.
pub const LEASE_DURATION: Duration = Duration::from_secs(40);
/// Period in which the Node's status is written though nothing changed.
pub const NODE_STATUS_EVERY: Duration = Duration::from_secs(300);
/// First, and longest, wait before a container that ended is run again.
pub const RESTART_BACKOFF_FIRST: Duration = Duration::from_secs(10);
/// The longest such wait.
pub const RESTART_BACKOFF_MAX: Duration = Duration::from_secs(300);
/// A container that ran this long has its back-off forgotten.
pub const RESTART_BACKOFF_RESET: Duration = Duration::from_secs(600);
/// First, and longest, wait before an image is asked for again, and before a port that is taken is tried again.
pub const START_BACKOFF_FIRST: Duration = Duration::from_secs(10);
/// The longest such wait.
pub const START_BACKOFF_MAX: Duration = Duration::from_secs(300);
/// Time for which a failed pull is shown with its error before it is shown as waiting for its next try.
pub const IMAGE_ERROR_SHOWN: Duration = Duration::from_secs(5);
/// Variables of one container, names and values together; and its words, command and args together.
pub const ENV_BYTES_MAX: usize = 256 * 1024;
/// Variables of a container, at the most.
pub const ENV_VARIABLES_MAX: usize = 4096;
/// The grace of a pod that is to go whose object does not say it.
pub const DELETION_GRACE_DEFAULT: Duration = Duration::from_secs(30);
/// Log bytes kept of one run of a container; older lines go first.
pub const LOG_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of a line that a log keeps in one piece, as containerd has it; a longer line is kept in several, and read as
/// one.
pub const LOG_PIECE_MAX: usize = 16 * 1024;
/// Last lines of a log that stand in a termination message (kubelet's MaxContainerTerminationMessageLogLines).
pub const TERMINATION_LOG_LINES_MAX: usize = 80;
/// Bytes of these lines (kubelet's MaxContainerTerminationMessageLogLength).
pub const TERMINATION_LOG_BYTES_MAX: usize = 2048;
/// Wait before a worker tries to write a status again.
pub const STATUS_RETRY: Duration = Duration::from_secs(1);
/// The port of a wasi:http container that names none.
pub const HTTP_PORT_DEFAULT: u16 = 8080;
/// Pods on one node: the addresses of 64 blocks of a /24, less the first and the last of each.
pub const PODS_MAX: u64 = 64 * 254;
/// Longest wait of a drain for workers.
pub const DRAIN: Duration = Duration::from_secs(5);
/// The port that a Node names as its kubelet's: Kubernetes' own. Nothing of this process listens there, since the API server
/// reaches the node inside the process; a port of 0 is one that scrapers cannot even try.
pub const KUBELET_PORT: u16 = 10250;

/// First and longest wait after a volume could not be made (a kubelet: 500 ms to about 2 min). The first is short: a
/// namespace that has just been made gets its CA in a moment.
pub const VOLUME_BACKOFF_FIRST: Duration = Duration::from_millis(50);
/// See [`VOLUME_BACKOFF_FIRST`].
pub const VOLUME_BACKOFF_MAX: Duration = Duration::from_secs(122);
/// Files of one volume.
pub const VOLUME_FILES_MAX: usize = 128;
/// Bytes of one volume: those of a ConfigMap.
pub const VOLUME_BYTES_MAX: usize = 1024 * 1024;
/// A token is renewed at this age at the latest, however long it holds.
pub const TOKEN_RENEWAL_AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Renewals of many tokens of one age are spread over this time.
pub const TOKEN_RENEWAL_JITTER: Duration = Duration::from_secs(10);
/// Period in which tokens to renew are looked for. No token holds for less than ten minutes.
pub const TOKEN_RENEWAL_PERIOD: Duration = Duration::from_secs(30);
/// Tokens asked for at one time.
pub const TOKENS_RENEWED_AT_ONCE: usize = 16;
