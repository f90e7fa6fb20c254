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
    builder(name, stack_bytes).spawn(work)
}

/// Does work on a thread as [`thread`] starts one, and waits for it; the work may borrow. A panic goes on in the caller.
///
/// # Errors
/// The operating system's when it has no thread to give.
pub fn on_thread<T: Send>(
    name: &str,
    stack_bytes: Option<usize>,
    work: impl FnOnce() -> T + Send,
) -> std::io::Result<T> {
    std::thread::scope(|scope| {
        let thread = builder(name, stack_bytes).spawn_scoped(scope, work)?;
        match thread.join() {
            Ok(done) => Ok(done),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

fn builder(name: &str, stack_bytes: Option<usize>) -> std::thread::Builder {
    let builder = std::thread::Builder::new().name(name.to_owned());
    match stack_bytes {
        Some(bytes) => builder.stack_size(bytes),
        None => builder,
    }
}

#[cfg(test)]
mod tests {
    use super::on_thread;

    #[test]
    fn work_on_a_thread_borrows_and_its_panic_goes_on() {
        let lent = [1, 2, 3];
        let sum = on_thread("sum", Some(1 << 20), || lent.iter().sum::<i32>());
        assert_eq!(sum.expect("a thread"), 6);
        let said = std::panic::catch_unwind(|| on_thread::<()>("panic", None, || panic!("no")));
        assert_eq!(said.expect_err("a panic").downcast_ref::<&str>(), Some(&"no"));
    }
}
