//! Every bound of this room, by name. Sizes in bytes, times as `Duration`, counts plain.

use std::time::Duration;

// Slices and CPU.
/// The epoch tick: the longest time that a guest runs before others may.
pub const TICK: Duration = Duration::from_millis(1);
/// Ticks without a guest in a poll after which the ticker thread parks.
pub const IDLE_TICKS_MAX: u32 = 50;
/// Polls of guests between two looks at sockets and timers.
pub const POLLS_BETWEEN_EVENTS: u32 = 4;
/// A slice that the tick did not cut: its container's requests are answered on the threads of commands for a while.
pub const LONG_SLICE: Duration = Duration::from_millis(8);
/// Requests of one container that go on after their first slice on the threads of services at once.
pub const LONG_REQUESTS_BESIDE_OTHERS: usize = 1;
/// Requests of one container that wait for a slice beside [`LONG_REQUESTS_BESIDE_OTHERS`]: with so many, they and its next
/// ones are answered on the threads of commands.
pub const LONG_REQUESTS_WAITING: usize = 4;
/// CPU time of a request at a stretch after which its container's requests that are cut off, and its next ones, are answered
/// on the threads of commands: most requests take a tenth of it.
pub const LONG_STRETCH: Duration = Duration::from_millis(4);
/// Time within which a container has to run long again to be held for one that does.
pub const LONG_AGAIN: Duration = Duration::from_secs(1);
/// Time after a [`LONG_SLICE`], a [`LONG_STRETCH`] or [`LONG_REQUESTS_WAITING`] for which its container's requests stay on the threads of commands.
pub const LONG_SLICE_MEMORY: Duration = Duration::from_secs(60);
/// The period in which a container may use its millicores (the kernel's default `cpu.cfs_period_us`).
pub const CPU_PERIOD: Duration = Duration::from_millis(100);
/// Niceness of the threads that answer requests, above the control plane's. They keep the kernel's slice: a shorter one
/// would let them break the slices of the store's writer.
pub const SERVICE_NICE: i32 = 1;
/// Niceness of the threads that run commands, above the control plane's. Not more: on a machine with other work a batch
/// would never end.
pub const COMMAND_NICE: i32 = 5;
/// Time for which a thread of commands asks to keep a core: work that computes has its share in long pieces, so that
/// threads that wake go first. Kernels before 6.12 ignore it; there only niceness tells commands from the rest.
pub const COMMAND_SLICE: Duration = Duration::from_millis(100);
/// The weight of a container without a CPU request, in millicores (Kubernetes gives it 2 shares).
pub const BEST_EFFORT_CPU_MILLIS: u64 = 2;

// One store.
/// Instances of one store: a component and the components in it.
pub const INSTANCES_PER_STORE_MAX: usize = 100;
/// Tables of one store.
pub const TABLES_PER_STORE_MAX: usize = 100;
/// Each reserves [`MEMORY_RESERVATION_BYTES`] of the process's address space, whatever its size.
pub const MEMORIES_PER_STORE_MAX: usize = 8;
/// Memories of all commands and policies of the process together: about 97 of the 128 TiB that a process has.
pub const MEMORIES_PER_PROCESS_MAX: u64 = 24_000;
/// Address space that an engine reserves for a linear memory: all that 32 bits reach, so that no access is checked.
pub const MEMORY_RESERVATION_BYTES: u64 = 4 << 30;
/// Address space that it reserves behind a linear memory, for constant offsets of accesses.
pub const MEMORY_GUARD_BYTES: u64 = 32 << 20;
/// Elements of all tables of one store together, each charged as 8 bytes to the container's memory too.
pub const TABLE_ELEMENTS_MAX: usize = 1_000_000;
/// Host memory of a table element, bytes.
pub const TABLE_ELEMENT_BYTES: u64 = 8;
/// Host memory that the arguments of one host call of a workload may take while it lasts. It is charged to nobody, so
/// that it stays below what a container may take beside its limit.
pub const HOSTCALL_BYTES_MAX: usize = 512 << 10;
/// Host memory that one answer of a policy may take, or the arguments of one of its host calls.
pub const POLICY_ANSWER_BYTES_MAX: usize = 4 << 20;
/// Handles in a component's own handle tables.
pub const COMPONENT_HANDLES_MAX: usize = 10_000;
/// Host resources (streams, pollables, sockets, HTTP bodies) of one store.
pub const HOST_RESOURCES_MAX: usize = 10_000;
/// Sockets of one container, outgoing HTTP with them: each is a file descriptor of the whole process.
pub const SOCKETS_MAX: usize = 256;
/// Bytes of one `get-random-bytes`.
pub const RANDOM_BYTES_MAX: u64 = 256 << 10;
/// The step of the clocks that a guest sees.
pub const CLOCK_RESOLUTION: Duration = Duration::from_micros(100);
/// Bytes of one write to stdout or stderr.
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
/// Elements of one table of a service: each table of the pool reserves them.
pub const SERVICE_TABLE_ELEMENTS_MAX: usize = 100_000;
/// Memories of one component of a service: one request must not take what many others need.
pub const SERVICE_MEMORIES_PER_COMPONENT: u32 = 4;
/// Tables of one module of it, and of all of them together.
pub const SERVICE_TABLES_PER_MODULE: u32 = 4;
/// Tables of all modules of a component of a service together.
pub const SERVICE_TABLES_PER_COMPONENT: u32 = 8;
/// Tables of the pool: each reserves [`SERVICE_TABLE_ELEMENTS_MAX`] pointers of address space.
pub const SERVICE_TABLES_MAX: u32 = SERVICE_INSTANCES_MAX * 4;
/// Divisor of the pool: the requests of one container may take this part of it at once.
pub const SERVICE_POOL_SHARE: u32 = 4;
/// Divisor of the pool: the containers of one namespace may take this part together, beyond what each is guaranteed.
pub const SEATS_NAMESPACE_PART: u32 = 2;
/// Divisor of the pool: this part is kept for what each container is guaranteed.
pub const SEATS_RESERVED_PART: u32 = 4;
/// Instances that each container may have whatever the others have, as long as there are any.
pub const SEATS_GUARANTEED: u32 = 8;
/// Bytes of linear memory that a slot of the pool keeps between two requests: more than a small guest touches, and so little
/// that all requests of one container leave less than 32 MiB.
pub const SLOT_RESIDENT_MEMORY_BYTES: usize = 128 << 10;
/// Bytes of a table that a slot keeps.
pub const SLOT_RESIDENT_TABLE_BYTES: usize = 8 << 10;
/// Bytes of a stack that a slot keeps.
pub const SLOT_RESIDENT_STACK_BYTES: usize = 32 << 10;
/// Slots that are kept for components that are not running at the moment.
pub const WARM_SLOTS_MAX: u32 = 32;
/// Resets of slots that are done together: each at once, since a slot that waits for others keeps all that its guest
/// touched.
pub const DECOMMIT_BATCH: usize = 1;
/// Instances of services that are made at once, for each thread that answers requests: one that runs and one that is
/// ready.
pub const STARTS_PER_WORKER: usize = 2;
/// The time that a thread which has done something that blocks waits for more of it; with it ends what its allocator keeps.
pub const BLOCKING_KEEP_ALIVE: Duration = Duration::from_secs(1);

// HTTP services.
/// Connections of one service.
pub const CONNECTIONS_MAX: usize = 1024;
/// Connections of all services, at least, however few descriptors the process may have.
pub const CONNECTIONS_MIN: usize = 32;
/// Connections that each service may have whatever the others have, as long as there are any.
pub const CONNECTIONS_GUARANTEED: usize = 4;
/// Time that a connection has to send a whole request before it makes room for another one.
pub const CONNECTION_GRACE: Duration = Duration::from_millis(250);
/// Divisor of all connections: this part is kept for what each service is guaranteed.
pub const CONNECTIONS_RESERVED_PART: usize = 4;
/// From a connection's start to the end of its first head, and between two heads.
pub const HTTP_HEADER_DEADLINE: Duration = Duration::from_secs(30);
/// The head of a request or an answer, and what is read of a body at once.
pub const HTTP_HEAD_BYTES_MAX: usize = 32 << 10;
/// Requests at once on one connection of HTTP/2.
pub const HTTP2_STREAMS_MAX: u32 = 128;
/// Bytes of bodies that a client may send over one connection of HTTP/2 before they are taken.
pub const HTTP2_WINDOW_BYTES: u32 = 64 << 10;
/// Bytes of an answer that are kept on a stream of HTTP/2 until its client takes them.
pub const HTTP2_SEND_BYTES: usize = 64 << 10;
/// Longest time of a request without progress: from its head to the head of its answer, and between two pieces of its
/// answer that its client takes.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest wait of a request for its turn and an instance before it is answered 503.
pub const TURN_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a request's body that count as progress.
pub const BODY_PROGRESS_BYTES: u64 = 16 << 10;
/// Bytes of a request's body that are read before it has a turn.
pub const BODY_AHEAD_BYTES: u64 = 64 << 10;
/// Longest wait for these bytes. A request whose body takes longer has its turn among its like.
pub const BODY_AHEAD_WAIT: Duration = Duration::from_secs(2);
/// Divisor of a service's turns: requests whose body is still on its way have this part.
pub const UNFINISHED_PART: usize = 2;
/// One part in this number of a container's memory may be held for clients before any instance works for them.
pub const CLIENTS_MEMORY_PART: u64 = 4;
/// Requests that a service works on at once, where its memory limit does not say fewer.
pub const REQUESTS_IN_FLIGHT_MAX: usize = 128;
/// Bytes that a request is taken to need beside its instance's first memory, until requests have shown it.
pub const REQUEST_HEADROOM_BYTES: u64 = 256 << 10;
/// The remembered size of the largest request falls towards that of the others by one part in this number at each
/// request.
pub const REQUEST_BYTES_DECAY: u64 = 64;
/// A page of linear memory: custom page sizes are not taken.
pub const WASM_PAGE_BYTES: u64 = 64 << 10;
/// Bytes that an instance is taken to need whose component does not say it.
pub const INSTANCE_BYTES_UNKNOWN: u64 = 1 << 20;
/// Requests that wait for a turn; the next one is answered 503.
pub const REQUESTS_QUEUED_MAX: usize = 1024;
/// Connections that the kernel keeps until they are accepted.
pub const LISTEN_BACKLOG: u32 = 1024;
/// Between two attempts to accept after the process ran out of descriptors.
pub const ACCEPT_RETRY: Duration = Duration::from_millis(50);

// Outgoing HTTP.
/// For an outgoing connection to be made, where the guest sets nothing else.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// From an outgoing request to its answer's head, where the guest sets nothing else.
pub const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(60);

// Compiling.
/// The largest component that is taken at all.
pub const COMPONENT_BYTES_MAX: usize = 128 << 20;
/// The largest artefact that a compiler child may answer with.
pub const ARTEFACT_BYTES_MAX: u64 = 1 << 30;
/// Address space of the compiler child.
pub const COMPILE_ADDRESS_SPACE_MAX: u64 = 3 << 30;
/// CPU time of one compilation: what needs more is the component's own fault, and remembered.
pub const COMPILE_CPU_MAX: Duration = Duration::from_secs(60);
/// CPU time of the first try of a component whose length is not known, in the line of short ones.
pub const COMPILE_SHORT_CPU: Duration = Duration::from_secs(3);
/// Address space of that first try, bytes.
pub const COMPILE_SHORT_ADDRESS_SPACE: u64 = 3 << 29;
/// A component of more bytes is known to be long.
pub const COMPILE_SHORT_BYTES_MAX: usize = 8 << 20;
/// Wall time of one compilation. Whoever reaches this first had a busy machine, and may be tried again.
pub const COMPILE_DEADLINE: Duration = Duration::from_secs(120);
/// Time that a compiler child which stopped answering has to be reaped.
pub const COMPILE_REAP: Duration = Duration::from_secs(1);
/// Niceness of compilers, above the control plane's.
pub const COMPILE_NICE: i32 = 10;
/// Time that a compiler child waits for a next job before it is ended.
pub const COMPILE_WORKER_IDLE: Duration = Duration::from_secs(3);
/// Digests that are remembered as bad.
pub const BAD_DIGESTS_MAX: usize = 4096;
/// Exports and imports of a component's outermost level.
pub const EXTERNS_MAX: usize = 10_000;
/// Components in a component, at all levels together.
pub const COMPONENTS_NESTED_MAX: usize = 200;
/// Core modules, at all levels together.
pub const MODULES_MAX: usize = 200;
/// Types with the parts that they are made of, at all levels together.
pub const TYPES_MAX: usize = 100_000;
/// Functions of all modules, and those that adapt them.
pub const FUNCTIONS_MAX: usize = 500_000;
/// Instances that are declared, of modules and of components.
pub const INSTANCES_MAX: usize = 2_000;
/// Memories that are declared, used or not.
pub const MEMORIES_DECLARED_MAX: usize = 100;
/// Tables that are declared, used or not.
pub const TABLES_DECLARED_MAX: usize = 1_000;
/// Globals of all modules.
pub const GLOBALS_MAX: usize = 200_000;
/// Imports, exports, aliases and segments at all levels together.
pub const ITEMS_MAX: usize = 500_000;

// The machine.
/// Mappings that one parked command takes, and those kept for the rest of the process.
pub const MAPPINGS_PER_POD: u64 = 6;
/// Mappings that are kept for the rest of the process.
pub const MAPPINGS_RESERVED: u64 = 8_000;
/// Descriptors that each pod may need: its listener, and one more.
pub const DESCRIPTORS_PER_POD: u64 = 2;
/// Descriptors that are kept for the rest of the process.
pub const DESCRIPTORS_RESERVED: u64 = 512;
/// Divisor of the other descriptors: this part is for the sockets of guests and the connections of services, half of it
/// for each, and the rest for the pods themselves.
pub const GUEST_SOCKETS_PART: u64 = 2;
/// Fewest sockets of all guests, however few descriptors the process may have.
pub const GUEST_SOCKETS_MIN: usize = 32;
/// Divisor of guests' sockets: one container may hold this part.
pub const SOCKETS_SHARE: usize = 4;

// Policies.
/// Newest bytes of a policy's output that are kept: they stand in a fault's text.
pub const POLICY_OUTPUT_BYTES: usize = 2048;
/// Lines of it that are shown.
pub const POLICY_OUTPUT_LINES: usize = 4;
/// Bytes of one text of a policy that are shown.
pub const POLICY_TEXT_BYTES: usize = 512;
