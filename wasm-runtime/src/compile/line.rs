//! The line at the compiler: turns of components to be compiled.
//!
//! There are three lines, each with a compiler of its own: one for jobs that may be short, one for those that were not,
//! one for policies. A job whose length is not known is tried in the short line with a small budget and goes to the long
//! one when that is used up, so that what compiles in a moment never waits for what does not. Within a line the owner
//! that has used the least CPU time is next, and of its jobs the smallest.

use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// One line of jobs, of which one runs at a time.
#[derive(Debug, Default)]
pub(super) struct Line {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    running: bool,
    next: u64,
    owners: HashMap<Arc<str>, Owner>,
}

#[derive(Debug, Default)]
struct Owner {
    /// CPU time that its jobs took, with what the others had before it came.
    used: Duration,
    /// By size in bytes, then by arrival.
    jobs: BTreeMap<(usize, u64), oneshot::Sender<Turn>>,
}

/// The right to compile; the next job's turn comes when it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    /// None: the turn went to nobody.
    line: Option<Arc<Line>>,
    owner: Arc<str>,
}

impl Line {
    /// Waits for a turn; calls `waits` first where it does not come at once.
    pub(super) async fn turn(self: &Arc<Self>, owner: &Arc<str>, bytes: usize, waits: impl FnOnce()) -> Turn {
        let told = {
            let mut state = self.state.lock();
            if !state.running {
                state.running = true;
                state.owner(owner);
                return Turn { line: Some(self.clone()), owner: owner.clone() };
            }
            let (tell, told) = oneshot::channel();
            let place = (bytes, state.next);
            state.next += 1;
            state.owner(owner).jobs.insert(place, tell);
            told
        };
        waits();
        match told.await {
            Ok(turn) => turn,
            // The sender is in the line, which `self` keeps.
            Err(_) => std::future::pending().await,
        }
    }

    fn end(self: &Arc<Self>) {
        loop {
            let mut state = self.state.lock();
            let Some((owner, tell)) = state.pop() else {
                state.running = false;
                return;
            };
            drop(state);
            let turn = Turn { line: Some(self.clone()), owner };
            // One that gave up is passed over; its turn must not end the line once more.
            match tell.send(turn) {
                Ok(()) => return,
                Err(mut turn) => turn.line = None,
            }
        }
    }
}

impl State {
    fn owner(&mut self, owner: &Arc<str>) -> &mut Owner {
        // An owner that comes anew has no claim on the time that the others used meanwhile.
        let least = self.owners.values().filter(|it| !it.jobs.is_empty()).map(|it| it.used).min();
        let it = self.owners.entry(owner.clone()).or_default();
        if it.jobs.is_empty() {
            it.used = it.used.max(least.unwrap_or_default());
        }
        it
    }

    fn pop(&mut self) -> Option<(Arc<str>, oneshot::Sender<Turn>)> {
        let waiting = self.owners.iter().filter(|(_, it)| !it.jobs.is_empty());
        let (owner, _) = waiting.min_by_key(|(name, it)| (it.used, Arc::clone(name)))?;
        let owner = owner.clone();
        let (_, tell) = self.owners.get_mut(&owner)?.jobs.pop_first()?;
        Some((owner, tell))
    }
}

impl Turn {
    /// Charges the job's CPU time to its owner.
    pub(super) fn used(&self, cpu: Duration) {
        let Some(line) = &self.line else { return };
        let mut state = line.state.lock();
        if let Some(owner) = state.owners.get_mut(&self.owner) {
            owner.used = owner.used.saturating_add(cpu);
        }
        // Those that are even with all others need no memory of it.
        let waiting = state.owners.values().any(|it| !it.jobs.is_empty());
        if !waiting {
            let own = self.owner.clone();
            state.owners.retain(|name, _| *name == own);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(line) = self.line.take() {
            line.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use std::cell::Cell;

    async fn waits<'a>(line: &'a Arc<Line>, owner: &'a Arc<str>, bytes: usize) -> Turn {
        line.turn(owner, bytes, || {}).await
    }

    #[test]
    fn the_owner_that_used_least_is_next_and_its_smallest_job_first() {
        let line = Arc::new(Line::default());
        let (bomber, other): (Arc<str>, Arc<str>) = ("bomber".into(), "other".into());
        let told = Cell::new(0);
        let first = line.turn(&bomber, 1, || told.set(1)).now_or_never().expect("nobody is before it");
        let mut bombs: Vec<_> = (0..3).map(|_| Box::pin(waits(&line, &bomber, 1))).collect();
        for bomb in &mut bombs {
            assert!(bomb.as_mut().now_or_never().is_none());
        }
        let mut large = Box::pin(waits(&line, &other, 100));
        assert!(large.as_mut().now_or_never().is_none());
        let mut small = Box::pin(line.turn(&other, 10, || told.set(2)));
        assert!(small.as_mut().now_or_never().is_none());
        assert_eq!(told.get(), 2, "told that it waits");

        first.used(Duration::from_secs(60));
        drop(first);
        let turn = small.now_or_never().expect("its owner used nothing, and it is the smallest");
        turn.used(Duration::from_secs(1));
        drop(turn);
        let turn = large.now_or_never().expect("its owner used little");
        drop(turn);
        assert!(bombs[0].as_mut().now_or_never().is_some());
    }

    #[test]
    fn one_that_gave_up_holds_nobody() {
        let line = Arc::new(Line::default());
        let owner: Arc<str> = "a".into();
        let first = waits(&line, &owner, 1).now_or_never().expect("free");
        let mut gone = Box::pin(waits(&line, &owner, 1));
        assert!(gone.as_mut().now_or_never().is_none());
        let mut third = Box::pin(waits(&line, &owner, 2));
        assert!(third.as_mut().now_or_never().is_none());
        drop(gone);
        drop(first);
        drop(third.now_or_never().expect("its turn"));
        assert!(waits(&line, &owner, 1).now_or_never().is_some(), "the line is free again");
    }
}
