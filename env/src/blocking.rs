//! Threads: the one place that starts them.

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// Runs work that blocks on a thread of the runtime's pool. Its owner is whoever awaits the handle: such work cannot be
/// cancelled, and so it ends by itself.
///
/// # Panics
/// Outside a runtime.
pub fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    tokio::task::spawn_blocking(work)
}

/// As [`blocking`], on the pool of another runtime.
pub fn blocking_on<T: Send + 'static>(runtime: &Handle, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    runtime.spawn_blocking(work)
}

/// Starts a thread of that name (Linux shows its first 15 bytes), for work that is no task: a clock that ticks, a loop
/// that computes. Its owner keeps the handle, or a channel by which it ends. `stack_bytes`: of its stack; std's default otherwise.
///
/// # Errors
/// The operating system's when it has no thread to give.
pub fn thread<T: Send + 'static>(
    name: &str,
    stack_bytes: Option<usize>,
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<std::thread::JoinHandle<T>> {
    let builder = std::thread::Builder::new().name(name.to_owned());
    let builder = match stack_bytes {
        Some(bytes) => builder.stack_size(bytes),
        None => builder,
    };
    builder.spawn(work)
}
