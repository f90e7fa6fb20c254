//! Calls that may not wait, with a budget of CPU time: how policies are called.

use crate::clock::thread_cpu_nanos;
use sampan_env::Env;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use wasmtime::{Store, UpdateDeadline};

/// Bounds of one call before it is interrupted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Budget {
    /// CPU time of the calling thread.
    pub(crate) cpu: Duration,
    /// Wall time, for a machine so busy that the thread hardly runs.
    pub(crate) wall: Duration,
}

/// Gives `store` a fresh budget from now on. The call must run on this thread, inside [`crate::ticker::Ticker::enter`];
/// it ends in `Trap::Interrupt` at the first tick past the budget.
pub(crate) fn arm<T>(store: &mut Store<T>, env: &Env, budget: Budget) {
    let env = env.clone();
    let (cpu_start, wall_start) = (thread_cpu_nanos(), env.instant());
    let cpu_nanos = u64::try_from(budget.cpu.as_nanos()).unwrap_or(u64::MAX);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |_| {
        let spent = thread_cpu_nanos().saturating_sub(cpu_start);
        let over = spent > cpu_nanos || env.instant().duration_since(wall_start) > budget.wall;
        Ok(if over { UpdateDeadline::Interrupt } else { UpdateDeadline::Continue(1) })
    });
}

/// Polls once: the answer, or None where the guest would have to wait (the future is dropped, its fiber unwound).
pub(crate) fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
