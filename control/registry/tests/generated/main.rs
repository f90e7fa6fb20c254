//! Requests that are made of the schema and the resource table alone.

mod cost;
mod generate;
mod requests;
mod times;

/// The allocator of the binary, whose costs are measured: the system's gives large blocks back and pays for their pages
/// again, which grows in steps.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
