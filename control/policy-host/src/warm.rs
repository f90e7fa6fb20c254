//! Work on instances beside the asking thread.

use parking_lot::Mutex;
use std::sync::Arc;
use tokio::runtime::Handle;

/// The result of a job that runs on a thread of its own. Dropping it tells the job that nobody waits for it.
#[derive(Debug)]
pub(crate) struct Aside<T>(Arc<Mutex<Option<T>>>);

/// The job's way to see whether anybody still waits.
pub(crate) struct Wanted<T>(Arc<Mutex<Option<T>>>);

impl<T> Wanted<T> {
    /// Whether somebody still waits for the result.
    pub fn is_wanted(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

impl<T: Send + 'static> Aside<T> {
    /// Runs `job`, then `done`. The job answers `None` where it ended because nobody waits.
    pub fn run(
        threads: &Handle,
        job: impl FnOnce(&Wanted<T>) -> Option<T> + Send + 'static,
        done: impl FnOnce() + Send + 'static,
    ) -> Self {
        let result = Arc::new(Mutex::new(None));
        let wanted = Wanted(Arc::clone(&result));
        drop(sampan_env::blocking_on(threads, move || {
            let answer = job(&wanted);
            *wanted.0.lock() = answer;
            drop(wanted);
            done();
        }));
        Self(result)
    }

    /// Whether [`Aside::take`] has an answer.
    pub fn is_done(&self) -> bool {
        self.0.lock().is_some() || Arc::strong_count(&self.0) == 1
    }

    /// `None`: it still runs. `Some(None)`: it ended without a result.
    pub fn take(&self) -> Option<Option<T>> {
        // Looked at first: a job that has ended has left what it has to leave.
        let ended = Arc::strong_count(&self.0) == 1;
        let result = self.0.lock().take();
        if result.is_none() && !ended { None } else { Some(result) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[tokio::test]
    async fn a_job_tells_when_it_is_done_and_hears_that_nobody_waits() {
        let (done, is_done) = channel();
        let job = Aside::run(&Handle::current(), |_| Some(7), move || done.send(()).expect("heard"));
        is_done.recv().expect("it ends");
        assert!(job.is_done());
        assert_eq!(job.take(), Some(Some(7)));

        let (go, wait) = channel();
        let (told, hears) = channel();
        let job = Aside::run(
            &Handle::current(),
            move |wanted: &Wanted<u8>| {
                told.send(wanted.is_wanted()).expect("heard");
                wait.recv().expect("told");
                told.send(wanted.is_wanted()).expect("heard");
                None
            },
            || {},
        );
        assert_eq!((hears.recv(), job.is_done(), job.take()), (Ok(true), false, None));
        drop(job);
        go.send(()).expect("it waits");
        assert_eq!(hears.recv(), Ok(false));

        let job: Aside<u8> = Aside::run(&Handle::current(), |_| panic!("as told"), || {});
        while !job.is_done() {
            std::thread::yield_now();
        }
        assert_eq!(job.take(), Some(None), "a job that ended without a result is not waited for");
    }
}
