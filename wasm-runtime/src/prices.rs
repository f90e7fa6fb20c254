//! The cost of a guest's host resources to its container: the one price list, in bytes.
//!
//! A resource costs its fixed price while it is in its store's table, and beside it what it holds for as long as it
//! holds it: fields their content and capacity, requests their strings, streams the chunks that were written and not
//! taken yet, a connection its buffers. All of it is charged to the ledger that the container's linear memories are
//! charged to, before it is allocated.
//!
//! Each price is an upper bound of what the engine's WASI and its dependencies allocate: the entry in the table (with the
//! growth of its vector), the handle in the component's own table, the boxed value and what it allocates at once.

/// An entry of a resource table, its boxed value's header, and the component's own handle to it.
const ENTRY: u64 = 384;

/// The kinds of host resources that a guest may hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(dead_code, reason = "what no linked function makes yet has its price before it can be made")]
pub(crate) enum Kind {
    /// With the deadline that a clock's pollable owns: a second entry.
    Pollable,
    InputStream,
    OutputStream,
    /// With its text.
    Error,
    /// Without content.
    Fields,
    IncomingRequest,
    IncomingResponse,
    IncomingBody,
    FutureTrailers,
    FutureIncomingResponse,
    OutgoingRequest,
    OutgoingResponse,
    OutgoingBody,
    ResponseOutparam,
    RequestOptions,
    Network,
    /// With the kernel's buffers for both directions.
    TcpSocket,
    UdpSocket,
    IncomingDatagramStream,
    OutgoingDatagramStream,
    ResolveAddressStream,
    TerminalInput,
    TerminalOutput,
    Descriptor,
    DirectoryEntryStream,
}

impl Kind {
    /// Each of them once.
    #[cfg(test)]
    pub(crate) const ALL: [Kind; 25] = [
        Kind::Pollable,
        Kind::InputStream,
        Kind::OutputStream,
        Kind::Error,
        Kind::Fields,
        Kind::IncomingRequest,
        Kind::IncomingResponse,
        Kind::IncomingBody,
        Kind::FutureTrailers,
        Kind::FutureIncomingResponse,
        Kind::OutgoingRequest,
        Kind::OutgoingResponse,
        Kind::OutgoingBody,
        Kind::ResponseOutparam,
        Kind::RequestOptions,
        Kind::Network,
        Kind::TcpSocket,
        Kind::UdpSocket,
        Kind::IncomingDatagramStream,
        Kind::OutgoingDatagramStream,
        Kind::ResolveAddressStream,
        Kind::TerminalInput,
        Kind::TerminalOutput,
        Kind::Descriptor,
        Kind::DirectoryEntryStream,
    ];

    /// Bytes, while it is in the table.
    pub(crate) const fn price(self) -> u64 {
        match self {
            Kind::Pollable => 2 * ENTRY + 128,
            Kind::InputStream | Kind::OutputStream => ENTRY + 384,
            Kind::Error => ENTRY + 1024,
            Kind::Fields => ENTRY + 256,
            Kind::IncomingRequest | Kind::IncomingResponse => ENTRY + 1024,
            Kind::IncomingBody | Kind::FutureTrailers => ENTRY + 512,
            // The task that sends it.
            Kind::FutureIncomingResponse => ENTRY + (6 << 10),
            // With the channel of a body that was taken from it and may be gone.
            Kind::OutgoingRequest | Kind::OutgoingResponse => ENTRY + (3 << 10),
            Kind::OutgoingBody => ENTRY + (1 << 10),
            Kind::ResponseOutparam | Kind::RequestOptions => ENTRY + 128,
            Kind::Network | Kind::TerminalInput | Kind::TerminalOutput => ENTRY,
            Kind::TcpSocket => ENTRY + 2048 + 2 * SOCKET_KERNEL_BUFFER,
            Kind::UdpSocket => ENTRY + 1024 + 2 * SOCKET_KERNEL_BUFFER,
            // A datagram that was received and not taken, or is being sent.
            Kind::IncomingDatagramStream | Kind::OutgoingDatagramStream => ENTRY + (64 << 10),
            // With the addresses of a name.
            Kind::ResolveAddressStream => ENTRY + (8 << 10),
            // Files are shared: a descriptor holds a reference and a name, a reading of a directory its names.
            Kind::Descriptor => ENTRY + 512,
            Kind::DirectoryEntryStream => ENTRY + (4 << 10),
        }
    }

    /// The resource's name in WIT: interface and resource.
    #[cfg(test)]
    pub(crate) const fn wit(self) -> (&'static str, &'static str) {
        match self {
            Kind::Pollable => ("wasi:io/poll", "pollable"),
            Kind::InputStream => ("wasi:io/streams", "input-stream"),
            Kind::OutputStream => ("wasi:io/streams", "output-stream"),
            Kind::Error => ("wasi:io/error", "error"),
            Kind::Fields => ("wasi:http/types", "fields"),
            Kind::IncomingRequest => ("wasi:http/types", "incoming-request"),
            Kind::IncomingResponse => ("wasi:http/types", "incoming-response"),
            Kind::IncomingBody => ("wasi:http/types", "incoming-body"),
            Kind::FutureTrailers => ("wasi:http/types", "future-trailers"),
            Kind::FutureIncomingResponse => ("wasi:http/types", "future-incoming-response"),
            Kind::OutgoingRequest => ("wasi:http/types", "outgoing-request"),
            Kind::OutgoingResponse => ("wasi:http/types", "outgoing-response"),
            Kind::OutgoingBody => ("wasi:http/types", "outgoing-body"),
            Kind::ResponseOutparam => ("wasi:http/types", "response-outparam"),
            Kind::RequestOptions => ("wasi:http/types", "request-options"),
            Kind::Network => ("wasi:sockets/network", "network"),
            Kind::TcpSocket => ("wasi:sockets/tcp", "tcp-socket"),
            Kind::UdpSocket => ("wasi:sockets/udp", "udp-socket"),
            Kind::IncomingDatagramStream => ("wasi:sockets/udp", "incoming-datagram-stream"),
            Kind::OutgoingDatagramStream => ("wasi:sockets/udp", "outgoing-datagram-stream"),
            Kind::ResolveAddressStream => ("wasi:sockets/ip-name-lookup", "resolve-address-stream"),
            Kind::TerminalInput => ("wasi:cli/terminal-input", "terminal-input"),
            Kind::TerminalOutput => ("wasi:cli/terminal-output", "terminal-output"),
            Kind::Descriptor => ("wasi:filesystem/types", "descriptor"),
            Kind::DirectoryEntryStream => ("wasi:filesystem/types", "directory-entry-stream"),
        }
    }
}

/// A slot of a header map: the entry, its index, and the names' and values' own allocations, with the growth of each
/// vector. Charged for the most values that the map ever had: removals do not shrink it.
pub(crate) const FIELD_SLOT: u64 = 256;
/// Cost of a list of pollables while it is waited on, for each of them: a boxed future and a timer's entry.
pub(crate) const POLL_WAIT: u64 = 512;
/// Cost of a written chunk beside its bytes until it is taken.
pub(crate) const CHUNK: u64 = 256;
/// The kernel's buffer of a guest's socket, for each direction: set when the socket is made, so that it does not grow.
pub(crate) const SOCKET_KERNEL_BUFFER: u64 = 64 << 10;
/// A connection of outgoing HTTP: the kernel's buffers, the read buffer and a frame that was cut from the one before it,
/// and the task that drives it.
pub(crate) const OUTGOING_CONNECTION: u64 =
    2 * SOCKET_KERNEL_BUFFER + 2 * crate::limits::HTTP_HEAD_BYTES_MAX as u64 + (16 << 10);
/// A connection that a service accepted: its read buffer and the task that drives it.
pub(crate) const SERVED_CONNECTION: u64 = crate::limits::HTTP_HEAD_BYTES_MAX as u64 + (8 << 10);
/// An instance beside its linear memories and tables: its store, the engine's records of it, and its stack's touched
/// pages.
pub(crate) const STORE: u64 = 128 << 10;
/// A request that waits for its turn, beside its head and what has come of its body.
pub(crate) const WAITING_REQUEST: u64 = 4 << 10;
