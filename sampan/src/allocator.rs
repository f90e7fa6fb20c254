//! The allocator of the process.

/// A request is hundreds of small allocations that die together, on another thread than they began on: the C library's
/// allocator took a quarter of a write's CPU.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

unsafe extern "C" {
    /// Of mimalloc's own interface: gives back what the calling thread keeps, and what no thread uses.
    safe fn mi_collect(force: bool);
}

/// Gives back to the system what this thread has freed, and what threads that ended have left. Mimalloc does so by itself
/// only when the thread asks for more.
pub fn give_back() {
    mi_collect(true);
}
