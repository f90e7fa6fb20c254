//! Bounds of retries, pages, texts and history.

use std::time::Duration;

/// Names tried for a `generateName` before the client is told to try again (registry's maxNameGenerationCreateAttempts).
pub const GENERATE_NAME_ATTEMPTS_MAX: usize = 8;
/// Longest base of a generated name: 63 less the suffix (apiserver's maxGeneratedNameLength).
pub const GENERATED_NAME_BASE_MAX: usize = 58;
/// Length of a generated suffix.
pub const GENERATED_NAME_SUFFIX: usize = 5;
/// Rounds of the compare-and-swap loop before the caller is told of the conflict.
pub const UPDATE_ATTEMPTS_MAX: usize = 100;
/// Pause before a round when the winner's state has not shown up yet.
pub const UPDATE_BACKOFF: Duration = Duration::from_millis(1);
/// Objects of one page out of history that are read, or keys that are counted, at once.
pub const HISTORY_PAGE_MAX: usize = 500;
/// Objects of a page up to which it is looked up whole before it is sent; a longer one is walked through twice.
pub const LIST_HELD_MAX: u64 = 1_000;
/// Objects that are looked at at once. A piece of a list ends behind so many, and may have looked at thrice as many.
pub const LIST_EXAMINED_MAX: usize = 1024;
/// Bytes of a continue token.
pub const CONTINUE_TOKEN_MAX: usize = 4096;
/// Age up to which a read of an old revision needs the right to the kind alone: clients of Kubernetes expect this much.
pub const HISTORY_FREE: Duration = Duration::from_secs(5 * 60);
/// Errors about a second controller among an object's owners; each of them shows all owners.
pub const CONTROLLER_ERRORS_MAX: usize = 10;
/// Shortest timeout of a watch whose client names none; the longest is twice this (apiserver's minRequestTimeout).
pub const WATCH_TIMEOUT_MIN: Duration = Duration::from_secs(1800);
/// Items of a pool that are drawn at random before the pool is searched for a free one.
pub const ALLOCATE_DRAWS_MAX: usize = 16;
/// Objects written in one transaction by a batch.
pub const CREATE_BATCH_MAX: usize = 512;
/// Period in which old history is dropped.
pub const COMPACTION_PERIOD: Duration = Duration::from_secs(60);

/// Age up to which history is kept of kinds that are written all the time and read once.
pub const HISTORY_SCANT: Duration = Duration::from_secs(60);
/// Age up to which history is kept that clients of Kubernetes expect.
pub const HISTORY_USUAL: Duration = Duration::from_secs(5 * 60);
/// Age up to which history is kept that people ask about afterwards.
pub const HISTORY_AMPLE: Duration = Duration::from_secs(24 * 60 * 60);
/// Rows of the log that are looked at for one page of changes.
pub const CHANGES_EXAMINED_MAX: usize = 20_000;

/// Time for which an event stays after its last write (`--event-ttl`).
pub const EVENT_LIFETIME: Duration = Duration::from_secs(60 * 60);
/// Time for which writes of objects that live for a time share a lease (etcd3's `defaultLeaseReuseDurationSeconds`).
pub const LEASE_SHARED_FOR: Duration = Duration::from_secs(60);
/// Objects that share a lease, at the most (etcd3's `defaultLeaseMaxObjectCount`).
pub const LEASE_OBJECTS_MAX: usize = 1000;
/// Wait after definitions could not be followed, before they are read again.
pub const DEFINITIONS_RETRY: Duration = Duration::from_secs(1);

/// Time that a conversion webhook has to answer, the wait for a turn with it (webhooks' default in Kubernetes' clients).
pub const CONVERSION_TIMEOUT: Duration = Duration::from_secs(30);
/// Objects that a conversion webhook is asked about at once.
pub const CONVERSION_BATCH_MAX: usize = 100;
/// Bytes of objects that a conversion webhook is asked about at once; a larger object goes alone.
pub const CONVERSION_BATCH_BYTES: usize = 1024 * 1024;
/// Questions that one definition's webhook is asked at one time.
pub const CONVERSIONS_MAX: usize = 16;
/// Requests that wait for one definition's webhook, or for their turn to ask it; others are refused.
pub const CONVERSIONS_WAITING_MAX: usize = 256;
/// Conversions that the field managers of one object may make an apply ask for.
pub const CONVERSIONS_ASKED_MAX: usize = 64;
