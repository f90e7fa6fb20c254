//! Answers that are complete and that their client has not taken: nothing but the client can go on with them. Most are
//! taken at once; so their connection looks for the rest, and no request has a task or a timer for it.

use super::progress::Progress;
use futures::task::AtomicWaker;
use parking_lot::Mutex;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// Those of one connection.
#[derive(Debug, Default)]
pub(super) struct Untaken {
    answers: Mutex<Vec<Arc<Progress>>>,
    /// Of the connection's task, while it looks after none.
    connection: AtomicWaker,
}

impl Untaken {
    /// All of an answer was said: its client has from now on to take more of it.
    pub(super) fn said(&self, answer: &Arc<Progress>) {
        answer.made();
        let mut answers = self.answers.lock();
        if answer.is_taken() {
            return;
        }
        answers.push(answer.clone());
        drop(answers);
        self.connection.wake();
    }

    /// Nobody will take more of an answer.
    pub(super) fn taken(&self, answer: &Arc<Progress>) {
        let mut answers = self.answers.lock();
        answer.set_taken();
        answers.retain(|other| !Arc::ptr_eq(other, answer));
    }

    /// Time of the last progress of the one that has waited longest.
    fn longest(&self) -> Option<Instant> {
        self.answers.lock().iter().map(|answer| answer.last()).min()
    }
}

/// Serves a connection to its end, which it tells; None where an answer was not taken for `timeout`.
pub(super) struct UntilStalled<'a, S> {
    serve: S,
    untaken: &'a Untaken,
    timeout: Duration,
    /// Until the one that waits longest may have stalled; None while there is none.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl<'a, S> UntilStalled<'a, S> {
    pub(super) fn new(serve: S, untaken: &'a Untaken, timeout: Duration) -> Self {
        Self { serve, untaken, timeout, sleep: None }
    }

    pub(super) fn inner(&mut self) -> &mut S {
        &mut self.serve
    }
}

impl<S: Future + Unpin> Future for UntilStalled<'_, S> {
    type Output = Option<S::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        // Answers that are said within this poll are looked for at its end.
        drop(this.untaken.connection.take());
        if let Poll::Ready(ended) = Pin::new(&mut this.serve).poll(cx) {
            return Poll::Ready(Some(ended));
        }
        loop {
            // A later answer stalls later: the sleep stands for it too.
            if let Some(sleep) = &mut this.sleep {
                if sleep.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
            } else {
                // Before the look, so that nothing is missed between the two.
                this.untaken.connection.register(cx.waker());
            }
            let Some(last) = this.untaken.longest() else {
                if this.sleep.take().is_none() {
                    return Poll::Pending;
                }
                continue;
            };
            let until = last + this.timeout;
            match &mut this.sleep {
                // It has slept to its end: nothing has been taken since.
                Some(sleep) if sleep.deadline() >= until => return Poll::Ready(None),
                Some(sleep) => sleep.as_mut().reset(until),
                None => this.sleep = Some(Box::pin(tokio::time::sleep_until(until))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sampan_env::{Env, Tasks};
    use std::future::{pending, ready};

    const TIMEOUT: Duration = Duration::from_secs(60);

    /// Polled by a task of its own, as a connection is.
    fn served(tasks: &Tasks, untaken: &Arc<Untaken>) -> tokio::task::JoinHandle<Option<()>> {
        let untaken = untaken.clone();
        tasks.spawn(async move { UntilStalled::new(Box::pin(pending::<()>()), &untaken, TIMEOUT).await })
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_takes_ends_its_connection() {
        let (env, tasks, untaken) = (Env::system(), Tasks::new("test"), Arc::new(Untaken::default()));
        let mut connection = served(&tasks, &untaken);
        // It sleeps and has nothing to look for.
        assert!(tokio::time::timeout(TIMEOUT * 3, &mut connection).await.is_err());
        let began = env.instant();
        untaken.said(&Progress::new(&env));
        assert_eq!(connection.await.expect("no panic"), None);
        assert_eq!((env.instant() - began).as_secs(), TIMEOUT.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn each_piece_that_is_taken_counts() {
        let (env, tasks, untaken) = (Env::system(), Tasks::new("test"), Arc::new(Untaken::default()));
        let mut connection = served(&tasks, &untaken);
        let (slow, quick) = (Progress::new(&env), Progress::new(&env));
        untaken.said(&slow);
        for _ in 0..5 {
            assert!(tokio::time::timeout(TIMEOUT * 2 / 3, &mut connection).await.is_err());
            slow.made();
            untaken.said(&quick);
            untaken.taken(&quick);
        }
        untaken.taken(&slow);
        // One that is taken before all of it was said is looked for no more.
        untaken.said(&slow);
        assert!(tokio::time::timeout(TIMEOUT * 3, &mut connection).await.is_err());
        let began = env.instant();
        let last = Progress::new(&env);
        untaken.said(&last);
        tokio::time::sleep(TIMEOUT / 2).await;
        untaken.said(&Progress::new(&env));
        assert_eq!(connection.await.expect("no panic"), None, "the first of two is enough");
        assert_eq!((env.instant() - began).as_secs(), TIMEOUT.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_taken_at_once_needs_no_clock() {
        let (env, untaken) = (Env::system(), Untaken::default());
        let mut polls = 0;
        let serve = std::future::poll_fn(|cx| {
            polls += 1;
            let answer = Progress::new(&env);
            untaken.said(&answer);
            untaken.taken(&answer);
            if polls < 10 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(polls)
        });
        let mut watched = UntilStalled::new(serve, &untaken, TIMEOUT);
        let ended = std::future::poll_fn(|cx| {
            let polled = Pin::new(&mut watched).poll(cx);
            assert!(watched.sleep.is_none());
            polled
        });
        assert_eq!(ended.await, Some(10));
        assert_eq!(UntilStalled::new(ready(1), &untaken, TIMEOUT).await, Some(1));
    }
}
