//! The allocator of the process.

use std::ffi::{c_int, c_long};

/// A request is hundreds of small allocations that die together, on another thread than they began on: the C library's
/// allocator took a quarter of a write's CPU.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

unsafe extern "C" {
    /// Of mimalloc's own interface: gives back what the calling thread keeps, and what no thread uses.
    safe fn mi_collect(force: bool);
    /// Sets an option: an index into `mi_option_e` of mimalloc.h (v2).
    safe fn mi_option_set(option: c_int, value: c_long);
}

/// `mi_option_purge_delay`: milliseconds from a page's last block until the page is given back.
const PURGE_DELAY: c_int = 15;
/// With mimalloc's own ten, large requests that come one after the other hold three times what is in use.
const PURGE_DELAY_MILLISECONDS: c_long = 1;

/// Sets what is to be so from the start.
pub fn prepare() {
    mi_option_set(PURGE_DELAY, PURGE_DELAY_MILLISECONDS);
}

/// Gives back to the system what this thread has freed, and what threads that ended have left. Mimalloc does so by itself
/// only when the thread asks for more.
pub fn give_back() {
    mi_collect(true);
}
