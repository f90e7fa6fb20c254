//! The two bodies of a request: what comes is read ahead of the request's turn, what goes is watched for progress.

use super::gate::Arrival;
use super::progress::Progress;
use super::untaken::Untaken;
use crate::connections::AtWork;
use crate::limits::{BODY_AHEAD_BYTES, BODY_AHEAD_WAIT};
use crate::memory::Charge;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use wasmtime_wasi_http::{Error, WasiBody};

/// A request's body, as far as it had come before the request's turn, and the rest.
pub(super) struct Received {
    ahead: VecDeque<Frame<Bytes>>,
    rest: Option<Incoming>,
    progress: Arc<Progress>,
}

/// The container may hold no more for clients.
#[derive(Debug)]
pub(super) struct NoRoom;

impl Received {
    /// Reads the body for as long as a request may wait for it without a turn.
    pub(super) async fn read(
        body: Incoming,
        progress: &Arc<Progress>,
        held: &Charge,
    ) -> Result<(Self, Arrival), NoRoom> {
        let mut it = Self { ahead: VecDeque::new(), rest: Some(body), progress: progress.clone() };
        if it.is_end_stream() {
            it.rest = None;
            return Ok((it, Arrival::Whole));
        }
        let all = it.read_ahead(held);
        let arrival = match tokio::time::timeout(BODY_AHEAD_WAIT, all).await {
            Ok(read) => read?,
            Err(_) => Arrival::Unfinished,
        };
        Ok((it, arrival))
    }

    async fn read_ahead(&mut self, held: &Charge) -> Result<Arrival, NoRoom> {
        let mut bytes = 0;
        while let Some(body) = &mut self.rest {
            if body.is_end_stream() {
                self.rest = None;
                break;
            }
            if bytes >= BODY_AHEAD_BYTES {
                return Ok(Arrival::Unfinished);
            }
            match body.frame().await {
                // An error is the guest's to hear, in its place.
                Some(Err(_)) => return Ok(Arrival::Whole),
                None => self.rest = None,
                Some(Ok(frame)) => {
                    let len = frame.data_ref().map_or(0, Bytes::len);
                    bytes += len as u64;
                    if !held.grow_for_client(len as u64) {
                        return Err(NoRoom);
                    }
                    self.progress.came(len);
                    self.ahead.push_back(frame);
                }
            }
        }
        Ok(Arrival::Whole)
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Some(frame) = self.ahead.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        let this = &mut *self;
        let Some(rest) = &mut this.rest else { return Poll::Ready(None) };
        let polled = Pin::new(rest).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            this.progress.came(frame.data_ref().map_or(0, Bytes::len));
        }
        polled.map_err(Error::from)
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.is_empty() && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let ahead: u64 = self.ahead.iter().filter_map(Frame::data_ref).map(|bytes| bytes.len() as u64).sum();
        let rest = self.rest.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint);
        let mut hint = SizeHint::new();
        hint.set_lower(ahead.saturating_add(rest.lower()));
        if let Some(upper) = rest.upper() {
            hint.set_upper(ahead.saturating_add(upper));
        }
        hint
    }
}

/// An answer's body on its way to the client.
pub(super) struct Answered {
    pub(super) body: WasiBody,
    pub(super) progress: Arc<Progress>,
    /// Of its connection.
    pub(super) untaken: Arc<Untaken>,
    /// The connection works until the answer was taken.
    pub(super) _work: AtWork,
}

impl Body for Answered {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(_))) => self.progress.made(),
            Poll::Ready(None) if self.progress.has_failed() => {
                return Poll::Ready(Some(Err(Error::InternalError(Some("the answer was cut off".into())))));
            }
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answered {
    fn drop(&mut self) {
        self.untaken.taken(&self.progress);
    }
}
