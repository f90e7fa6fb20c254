//! Every bound of this room, by name. Sizes in bytes, times as `Duration`, counts plain.

use std::time::Duration;

// Slices and CPU.
/// The epoch tick: the longest time that a guest runs before others may.
pub const TICK: Duration = Duration::from_millis(1);
/// Ticks without a guest in a poll after which the ticker thread parks.
pub const IDLE_TICKS_MAX: u32 = 50;
/// Polls of guests between two looks at sockets and timers.
pub const POLLS_BETWEEN_EVENTS: u32 = 4;
/// The period in which a container may use its millicores (the kernel's default `cpu.cfs_period_us`).
pub const CPU_PERIOD: Duration = Duration::from_millis(100);
/// How much nicer than the control plane the threads are that answer requests.
pub const SERVICE_NICE: i32 = 1;
/// And those that run commands. Not more: on a machine with other work a batch would never end.
pub const COMMAND_NICE: i32 = 5;
/// How long such a thread asks to keep a core. A request is wanted at once, and soon done.
pub const SERVICE_SLICE: Duration = Duration::from_micros(500);
/// What computes has its share in long pieces, so that whoever wakes goes first.
pub const COMMAND_SLICE: Duration = Duration::from_millis(100);
/// The weight of a container without a CPU request, in millicores (Kubernetes gives it 2 shares).
pub const BEST_EFFORT_CPU_MILLIS: u64 = 2;

// One store.
pub const INSTANCES_PER_STORE_MAX: usize = 100;
pub const TABLES_PER_STORE_MAX: usize = 100;
pub const MEMORIES_PER_STORE_MAX: usize = 64;
/// Elements of all tables of one store together, each charged as 8 bytes to the container's memory too.
pub const TABLE_ELEMENTS_MAX: usize = 1_000_000;
/// What a table element costs the host.
pub const TABLE_ELEMENT_BYTES: u64 = 8;
/// Host memory that the arguments of one host call may take.
pub const HOSTCALL_BYTES_MAX: usize = 4 << 20;
/// Handles in a component's own handle tables.
pub const COMPONENT_HANDLES_MAX: usize = 10_000;
/// Host resources (streams, pollables, sockets, HTTP bodies) of one store.
pub const HOST_RESOURCES_MAX: usize = 10_000;
/// Sockets of one store: each is a file descriptor of the whole process.
pub const SOCKETS_MAX: usize = 256;
/// Bytes of one `get-random-bytes`.
pub const RANDOM_BYTES_MAX: u64 = 1 << 20;
/// What one write to stdout or stderr may carry.
pub const LOG_CHUNK_BYTES: usize = 64 << 10;
/// All headers of one request or response that a guest makes.
pub const HTTP_FIELDS_BYTES_MAX: usize = 64 << 10;
/// One piece of an outgoing HTTP body.
pub const HTTP_BODY_CHUNK_BYTES: usize = 256 << 10;
/// A trap's text as it is shown in a status.
pub const MESSAGE_BYTES_MAX: usize = 1024;

// Engines.
/// Stacks and component instances of the pool for services: two mappings each, used or not.
pub const SERVICE_INSTANCES_MAX: u32 = 1000;
/// Core instances in a component: the module, its shims, and the many of interpreted languages.
pub const CORE_INSTANCES_PER_COMPONENT: u32 = 30;
pub const SERVICE_TABLE_ELEMENTS_MAX: usize = 100_000;
/// What a slot of the pool keeps between two requests.
pub const SLOT_RESIDENT_MEMORY_BYTES: usize = 256 << 10;
pub const SLOT_RESIDENT_TABLE_BYTES: usize = 8 << 10;
pub const SLOT_RESIDENT_STACK_BYTES: usize = 32 << 10;
/// Slots that are kept for components that are not running at the moment.
pub const WARM_SLOTS_MAX: u32 = 32;
/// Resets of slots that are done together.
pub const DECOMMIT_BATCH: usize = 8;

// HTTP services.
pub const CONNECTIONS_MAX: usize = 1024;
pub const HTTP_HEADER_DEADLINE: Duration = Duration::from_secs(30);
pub const HTTP_HEAD_BYTES_MAX: usize = 64 << 10;
pub const HTTP2_STREAMS_MAX: u32 = 128;
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Requests that a service works on at once, where its memory limit does not say fewer.
pub const REQUESTS_IN_FLIGHT_MAX: usize = 128;
/// Requests that wait for a turn; the next one is answered 503.
pub const REQUESTS_QUEUED_MAX: usize = 1024;
pub const LISTEN_BACKLOG: u32 = 1024;
/// Between two attempts to accept after the process ran out of descriptors.
pub const ACCEPT_RETRY: Duration = Duration::from_millis(50);

// Outgoing HTTP.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
pub const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(60);

// Compiling.
/// The largest component that is taken at all.
pub const COMPONENT_BYTES_MAX: usize = 128 << 20;
/// The largest artefact that a compiler child may answer with.
pub const ARTEFACT_BYTES_MAX: u64 = 1 << 30;
/// Address space of the compiler child.
pub const COMPILE_ADDRESS_SPACE_MAX: u64 = 3 << 30;
/// Wall time of one compilation.
pub const COMPILE_DEADLINE: Duration = Duration::from_secs(60);
/// CPU seconds of one compiler child (over all of its jobs).
pub const COMPILE_CPU_SECONDS_MAX: u64 = 600;
pub const COMPILE_NICE: i32 = 10;
/// How long a compiler child waits for a next job before it is ended.
pub const COMPILE_WORKER_IDLE: Duration = Duration::from_secs(3);
/// Digests that are remembered as bad.
pub const BAD_DIGESTS_MAX: usize = 4096;
/// Exports and imports that `inspect` reads.
pub const EXTERNS_MAX: usize = 10_000;

// The machine.
/// Mappings that one parked command takes, and those kept for the rest of the process.
pub const MAPPINGS_PER_POD: u64 = 6;
pub const MAPPINGS_RESERVED: u64 = 8_000;
pub const DESCRIPTORS_PER_POD: u64 = 2;
pub const DESCRIPTORS_RESERVED: u64 = 512;
