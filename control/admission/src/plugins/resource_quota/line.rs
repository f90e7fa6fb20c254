//! Turns at the quotas of a namespace: two who charge the same quota at once would only make each other charge again.

use crate::limits::QUOTA_TURN_MAX;
use parking_lot::Mutex;
use sampan_api::Status;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A line for each namespace in which somebody charges or waits.
#[derive(Default)]
pub(super) struct Lines(Mutex<HashMap<String, Arc<Semaphore>>>);

/// A turn, until it is dropped.
pub(super) struct Turn {
    lines: Arc<Lines>,
    namespace: String,
    permit: Option<OwnedSemaphorePermit>,
}

impl Lines {
    /// Waits for one's turn. Errors: none came in [`QUOTA_TURN_MAX`].
    pub(super) async fn turn(self: &Arc<Self>, namespace: &str) -> Result<Turn, Status> {
        let line = self.0.lock().entry(namespace.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(1))).clone();
        // Made before the wait: whoever gives up leaves no line behind.
        let mut turn = Turn { lines: self.clone(), namespace: namespace.to_owned(), permit: None };
        match tokio::time::timeout(QUOTA_TURN_MAX, line.acquire_owned()).await {
            Ok(Ok(permit)) => turn.permit = Some(permit),
            _ => return Err(Status::internal("resource quota evaluation timed out")),
        }
        Ok(turn)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        drop(self.permit.take());
        let mut lines = self.lines.0.lock();
        // Whoever waits or charges holds the line itself, beside the map.
        if lines.get(&self.namespace).is_some_and(|line| Arc::strong_count(line) == 1) {
            lines.remove(&self.namespace);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn one_at_a_time_charges_a_namespace_and_no_line_is_left() {
        let lines = Arc::new(Lines::default());
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let all = (0..20).map(|at| {
            let (lines, running, most) = (&lines, &running, &most);
            async move {
                let namespace = if at % 2 == 0 { "a" } else { "b" };
                let turn = lines.turn(namespace).await.expect("a turn");
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(10)).await;
                running.fetch_sub(1, Ordering::SeqCst);
                drop(turn);
            }
        });
        futures::future::join_all(all).await;
        assert_eq!(most.load(Ordering::SeqCst), 2, "one of each namespace");
        assert!(lines.0.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_is_told() {
        let lines = Arc::new(Lines::default());
        let held = lines.turn("a").await.expect("a turn");
        let refused = lines.turn("a").await.err().expect("no turn");
        assert_eq!(refused.message, "Internal error occurred: resource quota evaluation timed out");
        drop(held);
        assert!(lines.0.lock().is_empty());
    }
}
