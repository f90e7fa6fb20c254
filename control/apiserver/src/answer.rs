//! An answer on its way out. Every byte that is handed to the transport is charged to its connection, its identity and the
//! server until the transport lets go of it; an answer for which there is no room waits, and one that nobody takes is cut.
//!
//! The cut cannot be the body's own: a transport that waits for its peer does not ask the body for more. So the connection
//! looks after its answers ([`crate::line::Line::sweep`]): what waits behind the body is dropped, and the transport is told
//! through its [`Cut`].

use crate::body::{Body, BoxError};
use crate::ledger::{Account, Charge};
use crate::limits::{ANSWER_PIECE_BYTES, ANSWER_STALL_MAX, ANSWER_TIMEOUT, EXEMPT_ANSWER_BYTES_MAX};
use crate::line::{Cut, Line, OnItsWay, UnderWay};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use tokio::time::Instant;

/// In a response's extensions: its bytes are shared with others, so the answer itself holds next to nothing.
#[derive(Clone, Copy, Debug)]
pub struct SharedBytes;

/// In a response's extensions: the charge of its first piece, which was made before the answer began.
#[derive(Clone)]
pub(crate) struct FirstRoom(pub Arc<Mutex<Option<Charge>>>);

/// In a response's extensions: whether its next frame is being made, and is no event that is waited for. The room for it is
/// kept until it is there.
#[derive(Clone, Default)]
pub(crate) struct Making(Arc<AtomicBool>);

impl Making {
    /// It is being made from now on.
    pub fn begins(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// It has been made.
    pub fn ends(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    fn is_under_way(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Whether an answer has an end of its own: watches and logs have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// It is taken whole within [`ANSWER_TIMEOUT`].
    Finite,
    Endless,
}

/// The accounts and the end of an answer that is being sent.
pub(crate) struct Sending {
    /// The account that it is charged to.
    pub account: Account,
    /// The request is of an exempt level, as probes are: others who are counted as the same identity cannot have a small
    /// answer refused.
    pub exempt: bool,
    /// Room for its first piece.
    pub room: Option<Charge>,
    /// What the body says of its next piece, where its pieces are made elsewhere.
    pub making: Option<Making>,
    /// Whether it has to be taken whole in time.
    pub length: Length,
    /// The connection, which looks after it.
    pub line: Arc<Line>,
    /// Kept until the answer is over: its connection is not idle. It tells the transport that the answer was cut.
    pub under_way: Option<UnderWay>,
}

/// No room is left for an answer that was made whole.
#[derive(Debug)]
pub(crate) struct NoRoom;

/// The body as it is sent, charged piece by piece. One that is whole in memory and not [`SharedBytes`] is charged whole, at
/// once; a small one of an exempt request not at all. `reserve`: the account of one that is whole when `account` has no room.
pub(crate) fn send(
    body: Body,
    shared: bool,
    sending: Sending,
    reserve: impl FnOnce() -> Account,
) -> Result<Body, NoRoom> {
    let exact = body.size_hint().exact();
    if exact == Some(0) {
        return Ok(body);
    }
    let whole = match exact.filter(|_| !shared) {
        None => None,
        Some(size) if sending.exempt && size <= EXEMPT_ANSWER_BYTES_MAX => Some(Arc::default()),
        Some(size) => {
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            let charge = sending.account.try_charge(size).or_else(|| reserve().try_charge(size)).ok_or(NoRoom)?;
            Some(Arc::new([Some(charge), None]))
        }
    };
    let Sending { account, room, making, length, line, under_way, .. } = sending;
    let now = line.env().instant();
    let answer = Arc::new(Answer {
        state: Mutex::new(State::Open(Open { body, rest: Bytes::new(), whole, of_frame: None })),
        taking: Mutex::new(Taking { outstanding: 0, since: now }),
        began: now,
        length,
        cut: under_way.as_ref().map(UnderWay::cut),
        line,
    });
    let watched: Weak<dyn OnItsWay> = Arc::downgrade(&answer) as _;
    answer.line.look_after(watched);
    let outgoing = Outgoing { answer, account, waiting: None, room, making, _under_way: under_way };
    Ok(outgoing.boxed_unsync())
}

/// The charges of a frame: one piece, and the bytes beyond it. Neither where it is charged to nobody.
type Charges = Arc<[Option<Charge>; 2]>;

struct Open {
    body: Body,
    /// The rest of the frame that the body gave last.
    rest: Bytes,
    /// Of an answer that was made whole.
    whole: Option<Charges>,
    /// Of `rest`.
    of_frame: Option<Charges>,
}

enum State {
    Open(Open),
    Done,
    Late,
}

/// The peer's progress in taking what it is sent.
struct Taking {
    /// Pieces that the transport holds.
    outstanding: usize,
    /// When it last took one whole, or was given one while it held none.
    since: Instant,
}

/// Shared by the body, its pieces and its connection.
pub(crate) struct Answer {
    state: Mutex<State>,
    taking: Mutex<Taking>,
    began: Instant,
    length: Length,
    cut: Option<Cut>,
    line: Arc<Line>,
}

impl Answer {
    fn handed_out(&self) {
        let mut taking = self.taking.lock();
        if taking.outstanding == 0 {
            taking.since = self.line.env().instant();
        }
        taking.outstanding += 1;
    }

    fn taken(&self) {
        let mut taking = self.taking.lock();
        taking.outstanding -= 1;
        taking.since = self.line.env().instant();
    }
}

impl OnItsWay for Answer {
    fn cut_if_overdue(&self, now: Instant) -> bool {
        let taking = self.taking.lock();
        let outstanding = taking.outstanding > 0;
        let stalled = outstanding && now.saturating_duration_since(taking.since) >= ANSWER_STALL_MAX;
        drop(taking);
        let mut state = self.state.lock();
        let open = matches!(*state, State::Open(_));
        let late = (open || outstanding)
            && self.length == Length::Finite
            && now.saturating_duration_since(self.began) >= ANSWER_TIMEOUT;
        if !stalled && !late {
            return false;
        }
        // The former state is dropped outside of the lock: it may hold whatever a body holds.
        let before = if open { Some(std::mem::replace(&mut *state, State::Late)) } else { None };
        drop(state);
        drop(before);
        if let Some(cut) = &self.cut {
            cut.cut();
        }
        true
    }
}

/// The bytes of one piece, which the transport owns until they are written.
struct Piece {
    bytes: Bytes,
    answer: Arc<Answer>,
    _charge: Option<Charges>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.answer.taken();
    }
}

struct Outgoing {
    answer: Arc<Answer>,
    account: Account,
    /// Waits for room for the next frame.
    waiting: Option<BoxFuture<'static, Option<Charge>>>,
    /// Room for the next frame, while the body makes it.
    room: Option<Charge>,
    making: Option<Making>,
    _under_way: Option<UnderWay>,
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        let before = std::mem::replace(&mut *self.answer.state.lock(), State::Done);
        drop(before);
    }
}

impl Outgoing {
    /// Ready once there is room for a piece.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.room.is_some() {
            return Poll::Ready(());
        }
        if self.waiting.is_none() {
            if let Some(room) = self.account.try_charge(ANSWER_PIECE_BYTES) {
                self.room = Some(room);
                return Poll::Ready(());
            }
            self.waiting = Some(self.account.clone().charge(ANSWER_PIECE_BYTES).boxed());
        }
        if let Some(waiting) = &mut self.waiting {
            self.room = ready!(waiting.as_mut().poll(cx));
            self.waiting = None;
        }
        Poll::Ready(())
    }

    /// A frame of the body, and its charge.
    fn take(&mut self, open: &mut Open, data: Bytes, by_piece: bool) -> Result<(), Option<BoxError>> {
        if by_piece {
            let over = data.len().saturating_sub(ANSWER_PIECE_BYTES);
            let more = match over {
                0 => None,
                // The last object of a piece, for which the piece's own room has to do where there is no more.
                over if over <= ANSWER_PIECE_BYTES / 2 => self.account.try_charge(over),
                over => {
                    Some(self.account.try_charge(over).ok_or_else(|| Some("the peer holds too much unsent".into()))?)
                }
            };
            open.of_frame = self.room.take().map(|room| Arc::new([Some(room), more]));
        }
        open.rest = data;
        Ok(())
    }

    fn piece(&self, open: &mut Open) -> Frame<Bytes> {
        let bytes = open.rest.split_to(open.rest.len().min(ANSWER_PIECE_BYTES));
        self.answer.handed_out();
        let charge = open.whole.clone().or_else(|| open.of_frame.clone());
        Frame::data(Bytes::from_owner(Piece { bytes, answer: self.answer.clone(), _charge: charge }))
    }
}

impl Open {
    fn is_over(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let answer = this.answer.clone();
        let by_piece = match &*answer.state.lock() {
            State::Open(open) => open.rest.is_empty() && open.whole.is_none(),
            State::Done => return Poll::Ready(None),
            State::Late => return Poll::Ready(Some(Err("the answer was not taken in time".into()))),
        };
        if by_piece {
            ready!(this.poll_room(cx));
        }
        let mut state = answer.state.lock();
        let State::Open(open) = &mut *state else {
            return Poll::Ready(Some(Err("the answer was not taken in time".into())));
        };
        if open.rest.is_empty() {
            let next = match Pin::new(&mut open.body).poll_frame(cx) {
                Poll::Ready(next) => next,
                Poll::Pending => {
                    // An answer that waits for an event holds no room.
                    if !this.making.as_ref().is_some_and(Making::is_under_way) {
                        this.room = None;
                    }
                    return Poll::Pending;
                }
            };
            let end = match next.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => this.take(open, data, by_piece).err(),
                Some(Ok(Err(other))) => return Poll::Ready(Some(Ok(other))),
                Some(Err(error)) => Some(Some(error)),
                None => Some(None),
            };
            if let Some(end) = end {
                let before = std::mem::replace(&mut *state, State::Done);
                drop(state);
                drop(before);
                this.room = None;
                return Poll::Ready(end.map(Err));
            }
        }
        let frame = this.piece(open);
        if open.rest.is_empty() {
            open.of_frame = None;
        }
        let before = open.is_over().then(|| std::mem::replace(&mut *state, State::Done));
        drop(state);
        drop(before);
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        match &*self.answer.state.lock() {
            State::Open(open) => open.is_over(),
            State::Done => true,
            State::Late => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &*self.answer.state.lock() {
            State::Open(open) => {
                let (mut hint, rest) = (open.body.size_hint(), open.rest.len() as u64);
                if let Some(upper) = hint.upper() {
                    hint.set_upper(upper + rest);
                }
                hint.set_lower(hint.lower() + rest);
                hint
            }
            State::Done => SizeHint::with_exact(0),
            State::Late => SizeHint::default(),
        }
    }
}
