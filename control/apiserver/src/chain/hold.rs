//! A large answer on its way out. It keeps its place among the requests in flight until the peer has taken it, is handed
//! out in pieces so that a slow peer holds one of them and not the whole, and is given up at a deadline.
//!
//! The deadline cannot be the body's own: a transport that waits for its peer does not ask the body for more.

use crate::body::{Body, BoxError};
use crate::limits::{ANSWER_CHUNK_BYTES, ANSWER_TIMEOUT};
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use sampan_env::Tasks;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::task::JoinHandle;

/// Whether the answer is so small that it is handed to the transport in one piece, which then holds it anyway.
pub(super) fn is_small(body: &Body) -> bool {
    body.size_hint().exact().is_some_and(|size| size <= ANSWER_CHUNK_BYTES as u64)
}

/// The same body; `place` is dropped when it has ended, is dropped itself, or is late.
pub(super) fn hold<P: Send + 'static>(body: Body, place: P, tasks: &Tasks) -> Body {
    let answer = Answer(Arc::new(Mutex::new(State::Open(Open { body, rest: Bytes::new(), _place: place }))));
    let late = answer.clone();
    let timer = tasks.spawn_until_cancelled(async move {
        tokio::time::sleep(ANSWER_TIMEOUT).await;
        late.give_up();
    });
    Held { answer, timer }.boxed_unsync()
}

struct Open<P> {
    body: Body,
    /// What is left of the frame that the body gave last.
    rest: Bytes,
    _place: P,
}

enum State<P> {
    Open(Open<P>),
    Done,
    Late,
}

/// Shared by the body and its deadline.
struct Answer<P>(Arc<Mutex<State<P>>>);

impl<P> Clone for Answer<P> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<P> Answer<P> {
    fn state(&self) -> MutexGuard<'_, State<P>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_up(&self) {
        let mut state = self.state();
        if matches!(*state, State::Open(_)) {
            *state = State::Late;
        }
    }
}

struct Held<P> {
    answer: Answer<P>,
    timer: JoinHandle<()>,
}

impl<P> Drop for Held<P> {
    fn drop(&mut self) {
        self.timer.abort();
        // The timer's own share may live a moment longer.
        *self.answer.state() = State::Done;
    }
}

impl<P> Open<P> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                end => return Poll::Ready(end),
            }
        }
        let piece = self.rest.split_to(self.rest.len().min(ANSWER_CHUNK_BYTES));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_over(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }
}

impl<P: Send + 'static> http_body::Body for Held<P> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut state = self.answer.state();
        let open = match &mut *state {
            State::Open(open) => open,
            State::Done => return Poll::Ready(None),
            State::Late => return Poll::Ready(Some(Err("the answer was not taken in time".into()))),
        };
        let next = ready!(open.poll(cx));
        if !matches!(next, Some(Ok(_))) || open.is_over() {
            *state = State::Done;
        }
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        match &*self.answer.state() {
            State::Open(open) => open.is_over(),
            State::Done => true,
            State::Late => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &*self.answer.state() {
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
