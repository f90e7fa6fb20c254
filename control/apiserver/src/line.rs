//! One connection, as the steps of the chain and the listener know it together: what it holds, what is under way on it,
//! and whether somebody on it has said who they are.

use crate::ledger::{Ledger, Payer};
use crate::limits::{
    ANSWERS_UNSENT, BODIES_ARRIVING, BODIES_HELD, LARGE_OBJECTS_AT_WORK, LEDGER_UNIT_BYTES, LISTS_PACKED,
    SELECTORS_HELD, WHOLE_ANSWERS_RESERVE,
};
use futures::future::AbortHandle;
use parking_lot::Mutex;
use sampan_auth::authenticator::Peer;
use sampan_env::{CancellationToken, Env};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

/// The ledgers of the server: what it holds for its clients.
#[derive(Clone)]
pub struct Ledgers {
    /// Bytes of answers that the transport holds.
    pub answers: Ledger,
    /// Bytes of bodies that have arrived and are not done with.
    pub bodies: Ledger,
    /// Bodies that are arriving.
    pub arriving: Ledger,
    /// Lists that are packed as they are sent.
    pub packing: Ledger,
    /// Bytes of large objects that are worked on.
    pub working: Ledger,
    /// Bytes of the selectors of watches.
    pub selectors: Ledger,
}

impl Default for Ledgers {
    /// Empty ones, with the bounds of [`crate::limits`].
    fn default() -> Self {
        Self {
            answers: Ledger::new(ANSWERS_UNSENT, LEDGER_UNIT_BYTES),
            bodies: Ledger::new(BODIES_HELD, LEDGER_UNIT_BYTES),
            arriving: Ledger::new(BODIES_ARRIVING, 1),
            packing: Ledger::new(LISTS_PACKED, 1),
            working: Ledger::new(LARGE_OBJECTS_AT_WORK, LEDGER_UNIT_BYTES),
            selectors: Ledger::new(SELECTORS_HELD, LEDGER_UNIT_BYTES),
        }
    }
}

/// A connection's part of each ledger.
#[derive(Clone)]
pub struct Shares {
    /// Of [`Ledgers::answers`].
    pub answers: Arc<Semaphore>,
    /// Of the same, for answers that were made whole: large ones that come in pieces leave it to them.
    pub whole_answers: Arc<Semaphore>,
    /// Of [`Ledgers::bodies`].
    pub bodies: Arc<Semaphore>,
    /// Of [`Ledgers::arriving`].
    pub arriving: Arc<Semaphore>,
    /// Of [`Ledgers::packing`].
    pub packing: Arc<Semaphore>,
}

/// New answers after which those that are no more are forgotten.
const FORGET_EVERY: usize = 64;

/// An answer that the peer may or may not take.
pub(crate) trait OnItsWay: Send + Sync {
    /// Cuts it when its peer takes nothing of it, or not the whole in time. Returns whether it did.
    fn cut_if_overdue(&self, now: Instant) -> bool;
}

/// A connection. In a request's extensions.
pub struct Line {
    env: Env,
    /// Who is at the other end, once its TLS is set up.
    peer: OnceLock<Peer>,
    /// Made when the first request is charged.
    shares: OnceLock<Shares>,
    under_way: AtomicUsize,
    idle_since: Mutex<Option<Instant>>,
    authenticated: AtomicBool,
    /// The identity that the connection is counted against, from its first authenticated request.
    payer: OnceLock<Payer>,
    answers: Mutex<Vec<Weak<dyn OnItsWay>>>,
    /// Told when somebody has said who they are for the first time.
    pub(crate) known: Notify,
    /// What the connection has become, if it has become something else.
    turned: OnceLock<Arc<Turned>>,
}

/// A connection that is no longer one of HTTP: it lasts as long as the stream that it has become.
#[derive(Default)]
pub(crate) struct Turned {
    /// The stream has to end: its connection does.
    pub end: CancellationToken,
    /// The stream is over.
    pub over: CancellationToken,
}

/// The way to end an answer that its peer does not take.
#[derive(Clone, Debug)]
pub(crate) enum Cut {
    /// HTTP/1.1: with the connection.
    Connection(CancellationToken),
    /// HTTP/2: with its stream.
    Stream(AbortHandle),
}

impl Cut {
    pub(crate) fn cut(&self) {
        match self {
            Self::Connection(token) => token.cancel(),
            Self::Stream(handle) => handle.abort(),
        }
    }
}

/// A request under way; its connection is not idle while it lives. In a request's extensions.
#[derive(Clone)]
pub struct UnderWay(Arc<Counted>);

impl UnderWay {
    /// The way to end its answer.
    pub(crate) fn cut(&self) -> Cut {
        self.0.cut.clone()
    }
}

struct Counted {
    line: Arc<Line>,
    cut: Cut,
}

impl Drop for Counted {
    fn drop(&mut self) {
        if self.line.under_way.fetch_sub(1, Ordering::AcqRel) == 1 {
            *self.line.idle_since.lock() = Some(self.line.env.instant());
        }
    }
}

impl Line {
    /// A connection that is idle from now on.
    pub fn new(env: &Env) -> Arc<Self> {
        Arc::new(Self {
            env: env.clone(),
            peer: OnceLock::new(),
            shares: OnceLock::new(),
            under_way: AtomicUsize::new(0),
            idle_since: Mutex::new(Some(env.instant())),
            authenticated: AtomicBool::new(false),
            payer: OnceLock::new(),
            answers: Mutex::default(),
            known: Notify::new(),
            turned: OnceLock::new(),
        })
    }

    /// The connection becomes something else, which ends it.
    pub(crate) fn turn(&self) -> Arc<Turned> {
        self.turned.get_or_init(Arc::default).clone()
    }

    /// What it has become.
    pub(crate) fn turned(&self) -> Option<&Arc<Turned>> {
        self.turned.get()
    }

    /// The clock of its server.
    pub(crate) fn env(&self) -> &Env {
        &self.env
    }

    /// The peer is there: from now on it may be idle.
    pub fn begins_idle(&self) {
        *self.idle_since.lock() = Some(self.env.instant());
    }

    /// The first call says who is at the other end.
    pub(crate) fn meets(&self, peer: Peer) {
        self.peer.get_or_init(|| peer);
    }

    /// Who is at the other end.
    pub(crate) fn peer(&self) -> Option<&Peer> {
        self.peer.get()
    }

    /// The connection's parts of these ledgers.
    pub fn shares(&self, ledgers: &Ledgers) -> &Shares {
        self.shares.get_or_init(|| Shares {
            answers: ledgers.answers.connection(),
            whole_answers: Arc::new(Semaphore::new(WHOLE_ANSWERS_RESERVE)),
            bodies: ledgers.bodies.connection(),
            arriving: ledgers.arriving.connection(),
            packing: ledgers.packing.connection(),
        })
    }

    /// A request begins, whose answer ends by `cut`.
    pub(crate) fn begin(self: &Arc<Self>, cut: Cut) -> UnderWay {
        if self.under_way.fetch_add(1, Ordering::AcqRel) == 0 {
            *self.idle_since.lock() = None;
        }
        UnderWay(Arc::new(Counted { line: self.clone(), cut }))
    }

    /// Since when nothing has been asked; `None`: a request is under way.
    pub fn idle_since(&self) -> Option<Instant> {
        if self.under_way.load(Ordering::Acquire) > 0 { None } else { *self.idle_since.lock() }
    }

    /// Notes that a request on the connection was authenticated.
    pub fn authenticated(&self, payer: impl FnOnce() -> Payer) {
        if !self.authenticated.swap(true, Ordering::AcqRel) {
            self.payer.get_or_init(payer);
            self.known.notify_one();
        }
    }

    /// The identity that the connection is counted against.
    pub fn payer(&self) -> Option<&Payer> {
        self.payer.get()
    }

    /// Has the answer cut when its peer does not take it.
    pub(crate) fn look_after(&self, answer: Weak<dyn OnItsWay>) {
        let mut answers = self.answers.lock();
        if answers.len() % FORGET_EVERY == FORGET_EVERY - 1 {
            answers.retain(|one| one.strong_count() > 0);
        }
        answers.push(answer);
    }

    /// Cuts the answers that the peer does not take. Returns how many.
    pub fn sweep(&self, now: Instant) -> usize {
        let answers = {
            let mut answers = self.answers.lock();
            answers.retain(|one| one.strong_count() > 0);
            answers.clone()
        };
        answers.iter().filter_map(Weak::upgrade).filter(|answer| answer.cut_if_overdue(now)).count()
    }
}
