//! Requests that are made of the schema and the resource table alone, to a server that is guarded as a cluster's is.

mod cost;
mod patches;
mod requests;
mod shapes;
mod targets;

/// The allocator of the binary, whose costs are measured: the system's gives large blocks back and pays for their pages
/// again, which grows in steps.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
