//! Work that takes long enough to hold other requests up.

use tokio::runtime::{Handle, RuntimeFlavor};

/// Does `work`, which is about `bytes`. From `min` on, the thread's other tasks are given to another thread first.
pub(crate) fn compute<T>(bytes: usize, min: usize, work: impl FnOnce() -> T) -> T {
    // A runtime of one thread has nobody to give them to.
    let others = || Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
    if bytes >= min && others() { tokio::task::block_in_place(work) } else { work() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sampan_env::Tasks;
    use std::time::Duration;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn others_go_on_during_long_work() {
        let check = async |bytes: usize, went_on: bool| {
            let tasks = Tasks::new("test");
            let (ours, theirs) = std::sync::mpsc::channel();
            let patience = if went_on { Duration::from_secs(30) } else { Duration::from_millis(100) };
            let worker = tasks.clone();
            let long = tasks.spawn(async move {
                drop(worker.spawn(async move { ours.send(()) }));
                compute(bytes, 1000, move || theirs.recv_timeout(patience).is_ok())
            });
            assert_eq!(long.await.expect("it ends"), went_on, "{bytes}");
        };
        check(1000, true).await;
        check(999, false).await;
    }

    #[tokio::test]
    async fn one_thread_does_everything_itself() {
        assert_eq!(compute(1000, 1000, || 7), 7);
    }
}
