use std::future::Future;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The owner of a room's tasks: every task is spawned through one, hears one cancellation token, and is waited for at
/// the end with a deadline.
#[derive(Clone, Debug)]
pub struct Tasks {
    tracker: TaskTracker,
    token: CancellationToken,
    name: &'static str,
}

/// Tasks that had not ended when the deadline of [`Tasks::drain`] came.
#[derive(Debug)]
pub struct DrainError {
    /// The name that the owner was made with.
    pub owner: &'static str,
    /// Tasks that go on.
    pub remaining: usize,
}

impl std::fmt::Display for DrainError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} tasks had not ended at the deadline", self.owner, self.remaining)
    }
}
impl std::error::Error for DrainError {}

impl Tasks {
    /// An owner without tasks; `name` stands in errors.
    pub fn new(name: &'static str) -> Self {
        Self { tracker: TaskTracker::new(), token: CancellationToken::new(), name }
    }

    /// An owner whose tasks end when `self`'s do, or earlier when it is drained by itself.
    pub fn child(&self, name: &'static str) -> Self {
        Self { tracker: TaskTracker::new(), token: self.token.child_token(), name }
    }

    /// The token that tasks select on; it is cancelled by [`Tasks::drain`] or by a parent's.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Spawns a task that is waited for at the drain. It should watch [`Tasks::token`] if it does not end by itself.
    #[allow(clippy::disallowed_methods, reason = "this is the one place that spawns")]
    pub fn spawn<F>(&self, future: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        tokio::spawn(self.tracker.track_future(future))
    }

    /// Spawns a task that is simply dropped at its next await once the owner is drained.
    pub fn spawn_until_cancelled<F>(&self, future: F) -> tokio::task::JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let token = self.token.clone();
        self.spawn(async move {
            tokio::select! {
                () = token.cancelled() => {}
                () = future => {}
            }
        })
    }

    /// Runs `work` on a thread of `runtime` that may block; callable from any thread. It is waited for at the drain.
    #[allow(clippy::disallowed_methods, reason = "this is the one place that spawns")]
    pub fn spawn_blocking_on<F, T>(&self, work: F, runtime: &tokio::runtime::Handle) -> tokio::task::JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.tracker.spawn_blocking_on(work, runtime)
    }

    /// Number of tasks under way.
    pub fn len(&self) -> usize {
        self.tracker.len()
    }

    /// Whether no task is under way.
    pub fn is_empty(&self) -> bool {
        self.tracker.is_empty()
    }

    /// Cancels, then waits for all tasks, but no longer than `deadline`.
    pub async fn drain(&self, deadline: Duration) -> Result<(), DrainError> {
        self.token.cancel();
        self.tracker.close();
        tokio::time::timeout(deadline, self.tracker.wait())
            .await
            .map_err(|_| DrainError { owner: self.name, remaining: self.tracker.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn drain_waits_and_names_who_did_not_end() {
        let tasks = Tasks::new("test");
        let token = tasks.token().clone();
        tasks.spawn(async move { token.cancelled().await });
        tasks.drain(Duration::from_secs(1)).await.expect("a task that listens ends");

        let stuck = Tasks::new("stuck");
        stuck.spawn(std::future::pending::<()>());
        let error = stuck.drain(Duration::from_secs(1)).await.expect_err("a task that does not listen is reported");
        assert_eq!((error.owner, error.remaining), ("stuck", 1));
    }

    #[tokio::test]
    async fn a_child_ends_with_its_parent() {
        let parent = Tasks::new("parent");
        let child = parent.child("child");
        child.spawn_until_cancelled(std::future::pending());
        parent.drain(Duration::from_secs(1)).await.expect("nothing of its own");
        child.drain(Duration::from_secs(1)).await.expect("the child's task was cancelled through its parent");
    }
}
