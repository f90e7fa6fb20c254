//! Every limit of the client.

use std::time::Duration;

/// Time of a whole request, its body included; of watches and streams: until the head of the response.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// TCP and TLS of a new connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// HTTP/2 pings on a connection with open streams, and how long an answer may take: as client-go's read idle timeout.
pub const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
pub const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(15);
/// Idle connections kept to the server, and for how long.
pub const IDLE_CONNECTIONS_MAX: usize = 8;
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(90);

/// Attempts of one request that is answered 429 or 503 with Retry-After, and the longest wait obeyed.
pub const ATTEMPTS_MAX: u32 = 10;
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// Largest body read whole, bytes: a list of 150,000 small objects in one page.
pub const BODY_MAX: usize = 512 * 1024 * 1024;
/// Largest body of a refusal that is read for its Status, bytes.
pub const ERROR_BODY_MAX: usize = 3 * 1024 * 1024;
/// Largest frame of a watch, bytes: twice the largest request body, for metadata that the server adds.
pub const WATCH_FRAME_MAX: usize = 6 * 1024 * 1024;
/// Objects asked for in one page of a list.
pub const PAGE_SIZE: u32 = 500;
/// Pages followed by one list.
pub const PAGES_MAX: usize = 10_000;
/// Longest a token read from a file is believed before it is read again (client-go: one minute).
pub const TOKEN_FILE_MAX_AGE: Duration = Duration::from_secs(60);
/// Largest token or kubeconfig file, bytes.
pub const CONFIG_FILE_MAX: u64 = 4 * 1024 * 1024;

/// Informers of one factory: each built-in and custom resource, and parts of some.
pub const INFORMERS_MAX: usize = 12_000;
/// Changes that wait for a subscriber before it is told `Lost` and given the state anew.
pub const SUBSCRIPTION_BUFFER: usize = 4096;
/// A watch asks the server to end it after this long, and up to twice as long (client-go: 5 to 10 minutes).
pub const WATCH_TIMEOUT_MIN: Duration = Duration::from_secs(300);
/// Longest wait for the next initial event of a watch-list before falling back to list and watch.
pub const INITIAL_EVENTS_IDLE: Duration = Duration::from_secs(30);
/// First and longest wait before a broken list or watch is tried again, each with as much jitter; a watch that lasted
/// for the reset time starts from the first wait again (client-go: 0.8 s, 30 s, 2 min).
pub const REFLECTOR_BACKOFF_BASE: Duration = Duration::from_millis(200);
pub const REFLECTOR_BACKOFF_MAX: Duration = Duration::from_secs(30);
pub const REFLECTOR_BACKOFF_RESET: Duration = Duration::from_secs(120);

/// client-go's `ItemExponentialFailureRateLimiter` defaults: 5 ms, doubled each time. Its cap of 1000 s is for people
/// to notice; ours is shorter, since a retry here costs little.
pub const QUEUE_BACKOFF_BASE: Duration = Duration::from_millis(5);
pub const QUEUE_BACKOFF_MAX: Duration = Duration::from_secs(60);

/// Events that wait to be written before new ones are dropped (client-go's broadcaster queues 1000).
pub const EVENT_QUEUE: usize = 4096;
/// Events being written at the same time.
pub const EVENT_WRITES_MAX: usize = 16;
/// Attempts to write one event while the server cannot be reached, and the wait between (client-go: 12 times, 10 s).
pub const EVENT_ATTEMPTS_MAX: u32 = 12;
pub const EVENT_RETRY_WAIT: Duration = Duration::from_secs(10);
/// Keys that the event correlator remembers, each of its three memories.
pub const EVENT_CACHE_MAX: usize = 4096;
/// Similar events (all but the message the same) within the interval before they are combined.
pub const EVENT_SIMILAR_MAX: usize = 10;
pub const EVENT_SIMILAR_INTERVAL: Duration = Duration::from_secs(600);
/// Events of one source about one object at once, and how long it takes to earn one more.
pub const EVENT_BURST: f64 = 25.0;
pub const EVENT_REFILL: Duration = Duration::from_secs(300);
/// Longest message of an event, bytes (the API's own limit is 1 KiB for reasons and notes of events.k8s.io).
pub const EVENT_MESSAGE_MAX: usize = 1024;

/// Longest wait for the lock of a kubeconfig, and the pause between two tries.
pub const CONFIG_LOCK_WAIT: Duration = Duration::from_secs(5);
pub const CONFIG_LOCK_POLL: Duration = Duration::from_millis(50);
/// Age at which the file that kubectl locks a kubeconfig with has no owner any more: kubectl keeps it for one write.
pub const CONFIG_LOCK_STALE: Duration = Duration::from_secs(2);

/// Longest image reference, bytes (the distribution specification allows 255 for the name and 128 for the tag).
pub const REFERENCE_MAX: usize = 512;

const _: () = assert!(REQUEST_TIMEOUT.as_secs() > CONNECT_TIMEOUT.as_secs());
const _: () = assert!(KEEP_ALIVE_TIMEOUT.as_secs() < KEEP_ALIVE_INTERVAL.as_secs());

/// Largest answer of a webhook, bytes: a patch of the largest object, in base64, with room for the rest.
pub const WEBHOOK_ANSWER_MAX: usize = 8 * 1024 * 1024;
/// Bytes of a webhook's refusal that are read.
pub const WEBHOOK_REFUSAL_MAX: usize = 64 * 1024;
/// Aggregated servers whose connections are kept.
pub const AGGREGATED_SERVERS_MAX: usize = 256;
/// Webhooks whose connections are kept.
pub const WEBHOOKS_MAX: usize = 256;
/// Largest file of the system's authorities that is read, bytes: those of common systems have a quarter of a MiB.
pub const ROOTS_FILE_MAX: u64 = 4 * 1024 * 1024;
/// Files looked at for the system's authorities where they are in folders.
pub const ROOTS_FILES_MAX: usize = 2_000;
