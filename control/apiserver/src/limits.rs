//! Every bound of the HTTP face, in one place. Figures without a reason are kube-apiserver's defaults.

use std::time::Duration;

/// Requests in flight that only read (watches apart). `--max-requests-inflight`.
pub const READS_IN_FLIGHT_MAX: usize = 400;
/// Requests in flight that write. `--max-mutating-requests-inflight`.
pub const WRITES_IN_FLIGHT_MAX: usize = 200;
/// A request other than a watch or stream is answered by then. `--request-timeout`.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// A body has arrived whole by then: a client that trickles holds no slot for longer.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// An answer larger than this is handed to the transport in pieces of this size, bytes: as much as a peer that takes
/// nothing can make one stream hold. It counts as a request in flight until the last piece.
pub const ANSWER_CHUNK_BYTES: usize = 128 * 1024;
/// A large answer is taken by the peer within this, or it is broken off.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// What a client is told to wait when it is turned away, seconds.
pub const RETRY_AFTER_SECONDS: i32 = 1;

/// Events that one chunk of a watch may carry, so that a burst is one write and not a hundred.
pub const WATCH_EVENTS_PER_CHUNK: usize = 128;
/// A chunk of a watch is sent when it has grown to this, bytes.
pub const WATCH_CHUNK_BYTES: usize = 256 * 1024;

/// Text of all `Warning` headers of an answer, bytes (k8s.io/apiserver's warning recorder).
pub const WARNING_BYTES_MAX: usize = 4 * 1024;
/// When [`WARNING_BYTES_MAX`] is passed, each text is cut to this, bytes.
pub const WARNING_TEXT_MAX: usize = 256;

/// An answer smaller than this is not compressed even when asked (k8s.io/apiserver's defaultGzipThresholdBytes).
pub const GZIP_MIN_BYTES: usize = 128 * 1024;
/// Fast and good enough for text that repeats itself (k8s.io/apiserver uses level 1).
pub const GZIP_LEVEL: u32 = 1;

/// An answer that is computed out of so many bytes of JSON (tables, YAML, protobuf), or packed out of so many bytes, is
/// not made among other requests on a thread of the runtime: about half a millisecond of work.
pub const COMPUTED_BYTES_MIN: usize = 64 * 1024;
/// The same for an answer that is only copied together.
pub const COPIED_BYTES_MIN: usize = 2 * 1024 * 1024;

/// Connections of the listener at one time, where the process may open files enough.
pub const CONNECTIONS_MAX: usize = 20_000;
/// Of so many files that the process may open, one is a connection of the listener.
pub const FILES_PER_CONNECTION: u64 = 2;
/// A connection on which nothing is said is probed so often, and given up when the probes are not answered.
pub const TCP_PROBE_INTERVAL: Duration = Duration::from_secs(30);
/// What was sent is taken by the peer within this, or its connection is given up.
pub const TCP_STALL_MAX: Duration = Duration::from_secs(60);
/// A TLS handshake is over by then.
pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The header of a request has arrived by then; also how long a connection may be open before its first request, and an
/// HTTP/1.1 connection between two.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of all headers of a request.
pub const HEADER_BYTES_MAX: usize = 64 * 1024;
/// Streams of one HTTP/2 connection (kube-apiserver's `--http2-max-streams-per-connection`).
pub const H2_STREAMS_MAX: u32 = 250;
/// Streams that the peer reset before they were answered, at one time: the defence against rapid reset.
pub const H2_RESET_STREAMS_MAX: usize = 20;
/// Flow-control window of a stream and of a connection, bytes: bodies arrive in one go.
pub const H2_STREAM_WINDOW: u32 = 4 * 1024 * 1024;
pub const H2_CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;
pub const H2_FRAME_BYTES_MAX: u32 = 64 * 1024;
/// A silent HTTP/2 connection is asked whether it lives, and given up when it does not answer.
pub const H2_PING_INTERVAL: Duration = Duration::from_secs(30);
pub const H2_PING_TIMEOUT: Duration = Duration::from_secs(15);
/// A stream of HTTP/2 that holds so many bytes unsent is not asked for its next chunk ([`ANSWER_CHUNK_BYTES`]).
pub const H2_SEND_BUFFER_BYTES: usize = 1024 * 1024;
/// Pending connections that the kernel keeps.
pub const LISTEN_BACKLOG: u32 = 4096;
/// After an accept failed for want of file descriptors, the next is tried so much later.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Requests under way get this long to end when the server stops.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(10);

/// Impersonation headers of one request, counted in values.
pub const IMPERSONATION_VALUES_MAX: usize = 256;
/// `Accept` clauses that are looked at.
pub const ACCEPT_CLAUSES_MAX: usize = 64;
/// Query parameters that are looked at.
pub const QUERY_PAIRS_MAX: usize = 256;
/// Name of a log's container, pods with more than this many containers list only so many in a message.
pub const CONTAINERS_IN_MESSAGE_MAX: usize = 32;
