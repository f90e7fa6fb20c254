//! WATCH: a stream of frames, ended by an ERROR frame where it fails. Its time and its bookmarks are the registry's.

use super::selection;
use crate::ask::Ask;
use crate::body::{Body, BoxError};
use crate::encode::Encoder;
use crate::flow::seats::too_many_requests;
use crate::ledger::Charge;
use crate::limits::{SELECTOR_BYTES_FREE, SELECTOR_BYTES_HELD_PER_BYTE, WATCH_CHUNK_BYTES, WATCH_EVENTS_PER_CHUNK};
use crate::metrics::Watching;
use crate::respond;
use bytes::Bytes;
use futures::{FutureExt, Stream, StreamExt};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use sampan_api::record::{RecordStream, WatchSlot};
use sampan_api::{FieldSelector, RecordEvent, Records, Status};
use sampan_env::Env;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio_util::sync::WaitForCancellationFutureOwned;

/// Answers with events until the time of the watch is over, the client goes or the server stops.
///
/// # Errors
/// 400 for bad options or selectors, 406 for a form that has no stream. A revision that is no longer kept is told as an
/// event, 410.
pub async fn watch(ask: &Ask) -> Result<Response<Body>, Status> {
    let output = match ask.stream_output() {
        Ok(output) => output,
        Err((status, output)) => return Ok(respond::status(&status, output)),
    };
    let mut options = selection(ask)?;
    if !ask.name().is_empty() {
        options.fields = of_name(ask.name(), options.fields)?;
    }
    let selectors = charge_selectors(ask)?;
    // It ends by itself at its time.
    let events = ask.core.registry.watch(&ask.row, ask.namespace(), &options).await.map_err(Status::from)?;
    let watching = ask.core.metrics.watching(&ask.row);
    if ask.wants_records() {
        let stopped = ask.core.ended.clone().cancelled_owned();
        let events = Counted { events, _watching: watching }.take_until(stopped).boxed();
        return Ok(Ask::records(Records::Watch(WatchSlot::new(events))));
    }
    let frames = Frames {
        events,
        encoder: ask.encoder(output)?,
        env: ask.core.env.clone(),
        stopped: Box::pin(ask.core.stopping.clone().cancelled_owned()),
        sent: false,
        done: false,
        watching,
        _selectors: selectors,
    };
    let body = BodyExt::boxed_unsync(StreamBody::new(frames));
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(output.format.stream_type()));
    Ok(response)
}

/// What the watch's selectors hold for as long as it lasts. Error: 429, where its identity or the server holds too much.
fn charge_selectors(ask: &Ask) -> Result<Option<Charge>, Status> {
    let query = ask.query();
    let text = ["labelSelector", "fieldSelector"].map(|name| query.get(name).map_or(0, str::len)).iter().sum::<usize>();
    if text <= SELECTOR_BYTES_FREE || ask.exchange.in_process() {
        return Ok(None);
    }
    let account = ask.core.ledgers.selectors.account(&ask.exchange.payer(), None);
    let charge = account.try_charge(text.saturating_mul(SELECTOR_BYTES_HELD_PER_BYTE));
    charge.map(Some).ok_or_else(too_many_requests)
}

/// The selector of the old `/watch/` path that names one object. One that the request brings was authorized: it must mean
/// that same object, and stands.
fn of_name(name: &str, given: FieldSelector) -> Result<FieldSelector, Status> {
    if given.is_everything() {
        return FieldSelector::parse(&format!("metadata.name={name}"))
            .map_err(|error| Status::bad_request(error.to_string()));
    }
    match given.required_value("metadata.name") {
        Some(selected) if selected == name => Ok(given),
        _ => Err(Status::bad_request("fieldSelector metadata.name doesn't match requested name")),
    }
}

/// A watch of this process, counted as long as it lives.
struct Counted {
    events: RecordStream,
    _watching: Watching,
}

impl Stream for Counted {
    type Item = Result<RecordEvent, Status>;
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.poll_next_unpin(cx)
    }
}

/// Events into frames: all that are ready go into one chunk, within bounds.
struct Frames {
    events: RecordStream,
    encoder: Encoder,
    env: Env,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Something was sent, so a table needs no columns.
    sent: bool,
    done: bool,
    watching: Watching,
    _selectors: Option<Charge>,
}

impl Frames {
    /// Appends what is ready.
    fn fill(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>) {
        for _ in 0..WATCH_EVENTS_PER_CHUNK {
            match self.events.poll_next_unpin(cx) {
                Poll::Pending => return,
                Poll::Ready(None) => {
                    self.done = true;
                    return;
                }
                Poll::Ready(Some(Err(status))) => return self.fail(out, &status),
                Poll::Ready(Some(Ok(event))) => {
                    if let Err(status) = self.encoder.frame(out, &event, !self.sent) {
                        return self.fail(out, &status);
                    }
                    self.sent = true;
                    self.watching.sent();
                }
            }
            if out.len() >= WATCH_CHUNK_BYTES {
                // There may be more: come back without waiting for a new event.
                cx.waker().wake_by_ref();
                return;
            }
        }
        cx.waker().wake_by_ref();
    }

    fn fail(&mut self, out: &mut Vec<u8>, status: &Status) {
        self.encoder.error_frame(out, status);
        self.done = true;
    }
}

impl Stream for Frames {
    type Item = Result<Frame<Bytes>, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.done {
            return Poll::Ready(None);
        }
        // Columns show ages, and a watch is long.
        this.encoder.now = this.env.now();
        let mut out = Vec::new();
        this.fill(cx, &mut out);
        if !out.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(out.into()))));
        }
        if this.done || this.stopped.poll_unpin(cx).is_ready() {
            this.done = true;
            return Poll::Ready(None);
        }
        Poll::Pending
    }
}
