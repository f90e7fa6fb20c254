//! Every bound of the HTTP face, in one place. Figures without a reason are kube-apiserver's defaults.

use crate::ledger::Bounds;
use std::time::Duration;

/// Requests that are worked on at one time, of all levels but the exempt one: `--max-requests-inflight` (400) and
/// `--max-mutating-requests-inflight` (200) together, as kube-apiserver has it with priority and fairness.
pub const SEATS_MAX: usize = 600;
/// Longest wait of a request for a seat (k8s.io/apiserver: a quarter of the request's time).
pub const SEAT_WAIT_MAX: Duration = Duration::from_secs(15);
/// Threads for work that takes long: the processor's cores, and no fewer than this.
pub const COMPUTE_THREADS_MIN: usize = 2;
/// CPU time after which such a thread gives back the memory that it has freed when it has no more work.
pub const COMPUTE_KEPT: Duration = Duration::from_millis(10);
/// Bytes brought or changed from which a request is worked on by those threads: about two milliseconds of decoding,
/// validation and encoding.
pub const COMPUTED_WRITE_BYTES_MIN: usize = 32 * 1024;
/// Objects to be looked at from which a list with a selector is worked on there.
pub const COMPUTED_SELECTION_MIN: usize = 4096;
/// A request other than a watch or stream is answered by then. `--request-timeout`.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// A body has arrived whole by then.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of a body that was refused for its size which are still taken, and dropped, while the refusal is on its way.
pub const REFUSED_BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The time for which they are.
pub const REFUSED_BODY_TIME: Duration = Duration::from_secs(2);
/// Time that a body may take before its rate is measured.
pub const BODY_GRACE: Duration = Duration::from_secs(5);
/// Least average rate of a body after that, bytes a second.
pub const BODY_BYTES_PER_SECOND_MIN: usize = 16 * 1024;
/// Bytes of bodies that have arrived and are not done with.
pub const BODIES_HELD: Bounds = Bounds { connection: 16 * MIB, identity: 32 * MIB, server: 96 * MIB };
/// Bytes that the selectors of watches hold for as long as these last.
pub const SELECTORS_HELD: Bounds = Bounds { connection: 8 * MIB, identity: 16 * MIB, server: 64 * MIB };
/// Bytes that a selector holds for each of its text: a short requirement is a key and a list of values.
pub const SELECTOR_BYTES_HELD_PER_BYTE: usize = 24;
/// Bytes of a watch's selectors that are charged to nobody: they hold about as much as the rest of the watch.
pub const SELECTOR_BYTES_FREE: usize = 256;
/// Bytes of large objects ([`COMPUTED_WRITE_BYTES_MIN`]) that are worked on at one time, as they are sent or stored: as
/// trees, and there are several of each, they hold up to seventy times as much. It is one of the largest at a time of each
/// identity; whoever comes behind them waits.
pub const LARGE_OBJECTS_AT_WORK: Bounds = Bounds { connection: 3 * MIB / 2, identity: 3 * MIB / 2, server: 3 * MIB };
/// A body that arrives is charged in steps of at least this, bytes.
pub const CHARGE_STEP_BYTES: usize = 16 * 1024;
/// Bodies that are arriving.
pub const BODIES_ARRIVING: Bounds = Bounds { connection: 64, identity: 512, server: 2048 };
/// Bytes of answers that were handed to the transport and not taken by the peer.
pub const ANSWERS_UNSENT: Bounds = Bounds { connection: 4 * MIB, identity: 16 * MIB, server: 48 * MIB };
/// Bytes of an answer to an exempt request that are charged to nobody: what a probe is told. As many may be held as there are
/// streams.
pub const EXEMPT_ANSWER_BYTES_MAX: u64 = 512;
/// Units that a connection may hold beside those of answers that were made whole, so that lists on the same connection
/// do not have small answers refused.
pub const WHOLE_ANSWERS_RESERVE: usize = 2 * MIB;
/// The unit of what is counted in bytes: a KiB.
pub const LEDGER_UNIT_BYTES: usize = 1024;
/// A MiB in that unit.
const MIB: usize = 1024;
/// An answer larger than this is made, charged and handed to the transport in pieces of about this size, bytes: as much as
/// a peer that takes nothing can make one stream hold.
pub const ANSWER_PIECE_BYTES: usize = 64 * 1024;
/// A piece of an answer is taken by the peer within this, or the answer is broken off.
pub const ANSWER_STALL_MAX: Duration = Duration::from_secs(30);
/// An answer that has an end is taken whole by the peer within this, or it is broken off.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Rows that a table of a kind with an order of its own puts in order; longer lists stay in the order of names.
pub const TABLE_SORTED_MAX: usize = 1024;
/// Lists that are packed at one time; more are sent as they are. Each holds the packer's tables, about 300 KiB.
pub const LISTS_PACKED: Bounds = Bounds { connection: 16, identity: 32, server: 64 };
/// `Retry-After` of a request that is turned away, seconds.
pub const RETRY_AFTER_SECONDS: i32 = 1;

/// A message that a client sends over a WebSocket, bytes: nothing that it may say is longer.
pub const WEBSOCKET_MESSAGE_MAX: usize = 4 * 1024;
/// What a WebSocket holds of messages that its peer has not taken, bytes: the largest event, twice.
pub const WEBSOCKET_WRITE_BUFFER: usize = 4 * 1024 * 1024;

/// Changes of one page of a history, where the caller says no other number.
pub const CHANGES_PAGE: u64 = 100;
/// The most changes of one page.
pub const CHANGES_PAGE_MAX: usize = 500;
/// Bytes of objects after which a page of an object's history ends.
pub const HISTORY_ANSWER_BYTES: usize = 1024 * 1024;

/// Events that one chunk of a watch may carry, so that a burst is one write and not a hundred.
pub const WATCH_EVENTS_PER_CHUNK: usize = 128;
/// A chunk of a watch is sent when it has grown to this, bytes. One that is computed is made of [`COMPUTED_BYTES_MIN`].
pub const WATCH_CHUNK_BYTES: usize = ANSWER_PIECE_BYTES;

/// Text of all `Warning` headers of an answer, bytes (k8s.io/apiserver's warning recorder).
pub const WARNING_BYTES_MAX: usize = 4 * 1024;
/// When [`WARNING_BYTES_MAX`] is passed, each text is cut to this, bytes.
pub const WARNING_TEXT_MAX: usize = 256;

/// An answer smaller than this is not compressed even when asked (k8s.io/apiserver's defaultGzipThresholdBytes).
pub const GZIP_MIN_BYTES: usize = 128 * 1024;
/// Bytes of OpenAPI documents that are kept ready, as they were asked for: all that one kubectl asks for, packed.
pub const OPENAPI_KEPT_BYTES: usize = 2 * 1024 * 1024;
/// Fast and good enough for text that repeats itself (k8s.io/apiserver uses level 1).
pub const GZIP_LEVEL: u32 = 1;

/// Bytes of JSON from which an answer, or a chunk of a watch, that is computed of them (tables, YAML, protobuf, another
/// version than the stored one), or bytes that are packed, is made by the compute threads: about half a millisecond of work,
/// and some milliseconds for a table of a pod that is all containers.
pub const COMPUTED_BYTES_MIN: usize = 64 * 1024;
/// What an event costs besides its object, in bytes of one: its frame, and a table's around it.
pub const WATCH_EVENT_OVERHEAD: usize = 512;
/// Connections of the listener at one time, where the process may open files enough.
pub const CONNECTIONS_MAX: usize = 20_000;
/// Descriptors of the process for each connection of the listener: the connection limit is the descriptor limit divided
/// by this.
pub const FILES_PER_CONNECTION: u64 = 2;
/// Period of probes on a silent connection; it is given up when they are not answered.
pub const TCP_PROBE_INTERVAL: Duration = Duration::from_secs(30);
/// Time in which the peer takes sent bytes, or its connection is given up.
pub const TCP_STALL_MAX: Duration = Duration::from_secs(60);
/// A TLS handshake is over by then.
pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The header of a request has arrived by then; also how long a connection may be open before its first request, and an
/// HTTP/1.1 connection between two.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// A connection on which nothing is under way ends after this (kube-apiserver's IdleTimeout).
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(90);
/// Time in which the peer answers the announcement that its connection ends.
pub const GOAWAY_PATIENCE: Duration = Duration::from_secs(5);
/// One connection in this number is reserved for peers that have not authenticated yet.
pub const NEWCOMERS_PART: usize = 4;
/// Idle time of an unauthenticated connection before it has to make room for another. It covers a distant peer's next
/// message, and is what those behind wait when silent connections hold all places.
pub const NEWCOMER_GRACE: Duration = Duration::from_millis(100);
/// Answers of one connection that may be cut because they are not taken; with one more, the connection is.
pub const CUTS_PER_CONNECTION_MAX: usize = 16;
/// Bytes of all headers of a request.
pub const HEADER_BYTES_MAX: usize = 64 * 1024;
/// Streams of one HTTP/2 connection (kube-apiserver's `--http2-max-streams-per-connection`).
pub const H2_STREAMS_MAX: u32 = 250;
/// Streams that the peer reset before they were answered, at one time: the defence against rapid reset.
pub const H2_RESET_STREAMS_MAX: usize = 100;
/// Flow-control window of a stream and of a connection, bytes: as much as a connection can make us hold of bodies that
/// nobody has asked for yet.
pub const H2_STREAM_WINDOW: u32 = 512 * 1024;
/// Flow-control window of a connection, bytes.
pub const H2_CONNECTION_WINDOW: u32 = 1024 * 1024;
/// The largest frame of HTTP/2 that is taken, bytes.
pub const H2_FRAME_BYTES_MAX: u32 = 64 * 1024;
/// A silent HTTP/2 connection is asked whether it lives, and given up when it does not answer.
pub const H2_PING_INTERVAL: Duration = Duration::from_secs(30);
/// It has answered by then.
pub const H2_PING_TIMEOUT: Duration = Duration::from_secs(15);
/// Unsent bytes from which a stream of HTTP/2 is not asked for its next piece ([`ANSWER_PIECE_BYTES`]).
pub const H2_SEND_BUFFER_BYTES: usize = 128 * 1024;
/// Pending connections that the kernel keeps.
pub const LISTEN_BACKLOG: i32 = 4096;
/// A connection that has brought so many bytes without a pause lets the others on its thread have their turn.
pub const TURN_READ_BYTES: usize = 16 * 1024;
/// The same of one that has taken so many.
pub const TURN_WRITE_BYTES: usize = 128 * 1024;
/// What the kernel keeps of a connection's answers, bytes (it takes twice as much for its own records). By itself it would
/// take four megabytes of each peer that reads nothing.
pub const SEND_BUFFER_BYTES: usize = 256 * 1024;
/// Pause after an accept that failed for want of file descriptors.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Requests under way get this long to end when the server stops.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(10);

/// Impersonation headers of one request, counted in values.
pub const IMPERSONATION_VALUES_MAX: usize = 256;
/// `Accept` clauses that are looked at.
pub const ACCEPT_CLAUSES_MAX: usize = 64;
/// Query parameters that are looked at.
pub const QUERY_PAIRS_MAX: usize = 256;
/// Containers of a pod that a message about a log's container names.
pub const CONTAINERS_IN_MESSAGE_MAX: usize = 32;
/// How long caches may keep the documents about tokens' keys, seconds (kube-apiserver's).
pub const DOCUMENT_MAX_AGE_SECONDS: u32 = 3600;
/// Attempts at the eviction of a pod that changes while it is evicted (Go's `EvictionsRetry`).
pub const EVICTION_TRIES_MAX: usize = 20;
/// Disruptions of one budget that its controller has not seen; with more, none is allowed (Go's `MaxDisruptedPodSize`).
pub const DISRUPTED_PODS_MAX: usize = 2000;
/// Priority levels in force: each request that waits is weighed against all of them. Kubernetes has no bound.
pub const LEVELS_MAX: usize = 256;
/// Flow schemas in force: each request is held against them in their order. Kubernetes has no bound.
pub const SCHEMAS_MAX: usize = 1024;

/// Wait after the servers of groups could not be followed, before they are read again.
pub const AGGREGATION_RETRY: Duration = Duration::from_secs(1);
/// Wait after a change of the servers of groups, before those are asked what they serve.
pub const AGGREGATION_SETTLE: Duration = Duration::from_millis(50);
/// Age of what other servers serve at which they are asked again (kube-aggregator's resync of discovery).
pub const AGGREGATED_PERIOD: Duration = Duration::from_secs(60);
/// Time that another server has to say what it serves (kube-aggregator's).
pub const AGGREGATED_TIMEOUT: Duration = Duration::from_secs(5);
/// Servers that are asked at one time what they serve.
pub const AGGREGATED_AT_ONCE: usize = 8;
/// Largest body of a request that is handed through to another server, bytes.
pub const PROXIED_BODY_MAX: usize = 64 * 1024 * 1024;
