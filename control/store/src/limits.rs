//! Every limit of the store. Sizes are bytes unless the name says otherwise.

use std::time::Duration;

/// Longest key. Kubernetes' longest: group, resource, namespace and name, each at most 253.
pub const KEY_BYTES_MAX: usize = 1_100;
/// Largest value. The API server takes requests of up to 3 MiB (k8s.io/apiserver, `MaxRequestBodyBytes`).
pub const VALUE_BYTES_MAX: usize = 3 << 20;
/// Most operations in one transaction, and most rows of one revision.
pub const TXN_OPS_MAX: usize = 1_024;
/// Most compares in one transaction.
pub const TXN_COMPARES_MAX: usize = 2_048;
/// Most bytes of values in one transaction.
pub const TXN_BYTES_MAX: usize = 16 << 20;
/// Longest of each of a writer's four fields; longer ones are cut there.
pub const WRITER_FIELD_BYTES_MAX: usize = 512;

/// Transactions that may wait for the writer; the next one waits to be queued.
pub const QUEUE_TXNS_MAX: usize = 4_096;
/// Rows from which a batch takes no further transaction.
pub const BATCH_ROWS_MAX: usize = 512;
/// Bytes of values from which a batch takes no further transaction.
pub const BATCH_BYTES_MAX: usize = 4 << 20;

/// Transactions of a batch, those refused included.
pub const BATCH_TXNS_MAX: usize = 1_024;
/// Times that a batch which nothing waits for lets others run first, who may bring more: each is a moment of the first one's wait.
pub const BATCH_TURNS_MAX: usize = 4;

/// Greatest revision: a row's id is `revision << INDEX_BITS | index` in 63 bits, and JSON's integers end at 2^53.
pub const REVISION_MAX: u64 = (1 << 53) - 1;
/// Bits of a row id that hold the index within a revision.
pub const INDEX_BITS: u32 = 10;

/// Most events of one page of history (a transaction is never cut, so that the last one may exceed it).
pub const HISTORY_EVENTS_MAX: usize = 10_000;
/// Shortest and longest time to live of a lease.
pub const LEASE_TTL_MIN: Duration = Duration::from_millis(1);
pub const LEASE_TTL_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// Most leases alive at a time.
pub const LEASES_MAX: usize = 100_000;
/// Most prefixes with a compaction floor of their own.
pub const FLOORS_MAX: usize = 1_024;

/// Pages in the write-ahead log at which it is checkpointed.
pub const CHECKPOINT_PAGES: u64 = 2_000;
/// Least size of the write-ahead log, bytes, so that commits do not grow it (a longer file costs a second sync).
pub const WAL_BYTES_ALLOCATED: u64 = 4 << 20;
/// Rows looked at in one read, and rows removed in one transaction, by a compaction.
pub const COMPACT_SCAN_ROWS: usize = 4_096;
pub const COMPACT_DELETE_ROWS: usize = 500;
/// Row counts up to this have their INSERT kept prepared; longer ones are parsed each time, to save memory.
pub const PREPARED_ROWS_MAX: usize = 64;
/// Wait before a lease is ended again when the disk was full.
pub const LEASE_RETRY: Duration = Duration::from_secs(1);
/// Rows read at a time when the whole log is walked.
pub const VERIFY_PAGE_ROWS: usize = 500;
/// Most problems that a verification lists.
pub const VERIFY_PROBLEMS_MAX: usize = 100;
/// Rows that SQLite's thread may be ahead of their reader: each hand-over wakes a thread.
pub const ROW_BUFFER: usize = 512;
/// Read-only connections for history.
pub const READERS_MAX: usize = 2;
/// Page cache of the writer's connection, and of each reader's, in KiB.
pub const WRITER_CACHE_KIB: u32 = 8 << 10;
pub const READER_CACHE_KIB: u32 = 1 << 10;

const _: () = assert!(TXN_OPS_MAX <= 1 << INDEX_BITS, "an index fits its bits");
const _: () = assert!(REVISION_MAX.leading_zeros() > INDEX_BITS, "a row id fits 63 bits");
const _: () = assert!(VALUE_BYTES_MAX <= TXN_BYTES_MAX, "the largest value fits a transaction");
