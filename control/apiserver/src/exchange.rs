//! State of the chain about one request, handed along in its extensions.

use crate::flow::seats::Seat;
use crate::ledger::{Charge, Payer};
use crate::limits::REQUEST_TIMEOUT;
use crate::line::Line;
use crate::negotiate::Output;
use crate::request_info::RequestInfo;
use parking_lot::Mutex;
use sampan_api::UserInfo;
use sampan_api::admission::{Annotations, Warnings};
use std::future::Future;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Who a request is billed to.
pub(crate) struct Bill {
    /// The flow in whose turn it is worked on.
    pub flow: u64,
    /// Who pays for what it makes the server hold.
    pub payer: Payer,
    /// It is of an exempt level.
    pub exempt: bool,
}

/// Made by the first layer, read by all that follow.
pub struct Exchange {
    /// The request line, read.
    pub info: RequestInfo,
    /// The request's id: in the `Audit-Id` header, in the log, and in the writer of what it writes.
    pub audit_id: String,
    /// Warnings for the caller.
    pub warnings: Warnings,
    /// Annotations for the audit.
    pub(crate) annotations: Annotations,
    /// The form of a refusal.
    pub refusals: Output,
    /// Time in which it is answered, unless it is long by nature.
    pub timeout: Duration,
    /// The connection it came over. `None`: the caller is in this process, and is neither counted in flight nor timed.
    pub line: Option<Arc<Line>>,
    /// Its caller may do what it asks for.
    let_through: AtomicBool,
    bill: OnceLock<Bill>,
    seat: OnceLock<Seat>,
    charges: Mutex<Vec<Charge>>,
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange").field("info", &self.info).field("audit_id", &self.audit_id).finish_non_exhaustive()
    }
}

impl Exchange {
    /// A request that has just been received.
    pub fn new(info: RequestInfo, audit_id: String, refusals: Output, line: Option<Arc<Line>>) -> Self {
        Self {
            info,
            audit_id,
            warnings: Warnings::default(),
            annotations: Annotations::default(),
            refusals,
            timeout: REQUEST_TIMEOUT,
            line,
            let_through: AtomicBool::new(false),
            bill: OnceLock::new(),
            seat: OnceLock::new(),
            charges: Mutex::default(),
        }
    }

    /// Whether the caller is in this process.
    pub fn in_process(&self) -> bool {
        self.line.is_none()
    }

    /// Its caller is known and may do what it asks for.
    pub(crate) fn let_through(&self) {
        self.let_through.store(true, Relaxed);
    }

    /// The request line of a request that was let through.
    pub(crate) fn authorized(&self) -> Option<&RequestInfo> {
        self.let_through.load(Relaxed).then_some(&self.info)
    }

    /// The first call says who is billed.
    pub(crate) fn bill(&self, bill: impl FnOnce() -> Bill) {
        self.bill.get_or_init(bill);
    }

    /// Whether the request is of an exempt level.
    pub(crate) fn is_exempt(&self) -> bool {
        self.bill.get().is_some_and(|bill| bill.exempt)
    }

    /// The flow in whose turn the request is worked on.
    pub(crate) fn flow(&self) -> u64 {
        self.bill.get().map_or(0, |bill| bill.flow)
    }

    pub(crate) fn payer(&self) -> Payer {
        self.bill.get().map_or_else(Payer::nobody, |bill| bill.payer.clone())
    }

    pub(crate) fn sit(&self, seat: Seat) {
        self.seat.get_or_init(|| seat);
    }

    pub(crate) fn seat(&self) -> Option<&Seat> {
        self.seat.get()
    }

    /// Waits for something outside (a client, a revision, a node) without holding a seat. Error: 429, when no seat came
    /// free afterwards.
    pub(crate) async fn aside<T>(&self, wait: impl Future<Output = T>) -> Result<T, sampan_api::Status> {
        match self.seat.get() {
            Some(seat) => seat.aside(wait).await,
            None => Ok(wait.await),
        }
    }

    /// Holds charges until the request is answered.
    pub(crate) fn hold(&self, charges: Vec<Charge>) {
        self.charges.lock().extend(charges);
    }
}

/// The user who asks, after authentication and impersonation.
#[derive(Clone, Debug)]
pub struct Identity(pub Arc<UserInfo>);
