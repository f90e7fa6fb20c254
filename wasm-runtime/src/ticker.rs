//! The one thread that ends time slices. It sleeps a millisecond at a time while guests are inside a poll, and parks
//! otherwise.

use crate::error::Error;
use crate::limits::{IDLE_TICKS_MAX, TICK};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::Thread;
use wasmtime::Engine;

/// The source of epoch ticks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Tick {
    /// A thread of its own, every [`TICK`].
    #[default]
    Thread,
    /// Nowhere: in a simulation no deadline may depend on the machine.
    Never,
}

struct State {
    engines: Vec<Engine>,
    polls: AtomicUsize,
    parked: AtomicBool,
    stopped: AtomicBool,
    thread: OnceLock<Thread>,
}

/// Counts guests that are inside a poll, and ticks while there are any. Stops when dropped.
pub(crate) struct Ticker(Arc<State>);

/// While one exists the epoch advances.
pub(crate) struct InPoll<'a>(&'a State);

impl Drop for InPoll<'_> {
    fn drop(&mut self) {
        self.0.polls.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Ticker {
    pub(crate) fn new(engines: Vec<Engine>, tick: Tick) -> Result<Self, Error> {
        let state = Arc::new(State {
            engines,
            polls: AtomicUsize::new(0),
            parked: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            thread: OnceLock::new(),
        });
        if tick == Tick::Thread {
            let for_thread = state.clone();
            let thread = sampan_env::thread("epoch", Some(64 << 10), move || run(&for_thread))
                .map_err(|e| Error::io("starting the epoch thread", e))?;
            state.thread.get_or_init(|| thread.thread().clone());
        }
        Ok(Self(state))
    }

    pub(crate) fn enter(&self) -> InPoll<'_> {
        self.0.polls.fetch_add(1, Ordering::SeqCst);
        if self.0.parked.load(Ordering::SeqCst)
            && let Some(thread) = self.0.thread.get()
        {
            thread.unpark();
        }
        InPoll(&self.0)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.0.stopped.store(true, Ordering::SeqCst);
        if let Some(thread) = self.0.thread.get() {
            thread.unpark();
        }
    }
}

fn run(state: &State) {
    let mut idle = 0;
    while !state.stopped.load(Ordering::SeqCst) {
        if state.polls.load(Ordering::SeqCst) > 0 {
            idle = 0;
            for engine in &state.engines {
                engine.increment_epoch();
            }
        } else {
            idle += 1;
        }
        if idle < IDLE_TICKS_MAX {
            std::thread::sleep(TICK);
            continue;
        }
        // A guest that enters after this store sees it and unparks; one that entered before is seen by the load.
        state.parked.store(true, Ordering::SeqCst);
        while state.polls.load(Ordering::SeqCst) == 0 && !state.stopped.load(Ordering::SeqCst) {
            std::thread::park();
        }
        state.parked.store(false, Ordering::SeqCst);
        idle = 0;
    }
}
