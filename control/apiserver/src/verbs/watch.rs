//! WATCH: a stream of frames, ended by an ERROR frame where it fails. Its time and its bookmarks are the registry's.

mod socket;

use super::selection;
use crate::answer::Making;
use crate::ask::Ask;
use crate::body::{Body, BoxError};
use crate::compute::{Compute, Driven};
use crate::encode::Encoder;
use crate::flow::seats::too_many_requests;
use crate::ledger::Charge;
use crate::limits::{
    COMPUTED_BYTES_MIN, SELECTOR_BYTES_FREE, SELECTOR_BYTES_HELD_PER_BYTE, WATCH_CHUNK_BYTES, WATCH_EVENT_OVERHEAD,
    WATCH_EVENTS_PER_CHUNK,
};
use crate::metrics::Watching;
use crate::negotiate::Format;
use crate::respond;
use crate::websocket;
use bytes::Bytes;
use futures::{FutureExt, Stream, StreamExt};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use sampan_api::record::{RecordStream, WatchSlot};
use sampan_api::{FieldSelector, RecordEvent, Records, Status};
use sampan_env::Env;
use sampan_registry::Registry;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio_util::sync::WaitForCancellationFutureOwned;

/// Answers with events until the time of the watch is over, the client goes or the server stops.
///
/// # Errors
/// 400 for bad options or selectors, 406 for a form that has no stream. A revision that is no longer kept is told as an
/// event, 410.
pub async fn watch(ask: &Ask) -> Result<Response<Body>, Status> {
    let mut options = selection(ask)?;
    let output = match ask.stream_output() {
        Ok(output) => output,
        Err((status, output)) => return Ok(respond::status(&status, output)),
    };
    if !ask.name().is_empty() {
        options.fields = of_name(ask.name(), options.fields)?;
    }
    let selectors = charge_selectors(ask)?;
    // It ends by itself at its time.
    let registry = &ask.core.registry;
    if ask.wants_records() {
        let events = registry.watch(&ask.row, ask.namespace(), &options).await.map_err(Status::from)?;
        let watching = ask.core.metrics.watching(&ask.row, &ask.exchange.info);
        let stopped = ask.core.ended.clone().cancelled_owned();
        let events = Counted { events, _watching: watching }.take_until(stopped).boxed();
        return Ok(Ask::records(Records::Watch(WatchSlot::new(events))));
    }
    let events = match ask.row.converts_here() {
        true => registry.watch_stored(&ask.row, ask.namespace(), &options).await,
        false => registry.watch(&ask.row, ask.namespace(), &options).await,
    };
    let frames = Frames {
        events: events.map_err(Status::from)?,
        framer: Framer { encoder: ask.encoder(output)?, registry: registry.clone() },
        work: None,
        making: Making::default(),
        compute: ask.core.compute.clone(),
        flow: ask.exchange.flow(),
        env: ask.core.env.clone(),
        stopped: Box::pin(ask.core.stopping.clone().cancelled_owned()),
        sent: false,
        done: false,
        watching: ask.core.metrics.watching(&ask.row, &ask.exchange.info),
        _selectors: selectors,
    };
    if websocket::is_asked_for(&ask.parts.headers) {
        return over_socket(ask, frames, output.format);
    }
    let making = frames.making.clone();
    let body = BodyExt::boxed_unsync(StreamBody::new(frames));
    let mut response = Response::new(body);
    response.extensions_mut().insert(making);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(output.format.stream_type()));
    Ok(response)
}

/// Turns the connection into a WebSocket, over which the events are sent by a task of the server's.
fn over_socket(ask: &Ask, frames: Frames, format: Format) -> Result<Response<Body>, Status> {
    let handshake = websocket::handshake(&ask.parts)?;
    let line = ask.exchange.line.as_ref().ok_or_else(|| Status::bad_request("there is no connection to turn"))?;
    let (payer, ledgers) = (ask.exchange.payer(), &ask.core.ledgers);
    let account = ledgers.answers.account(&payer, Some(line.shares(ledgers).answers.clone()));
    let sending = socket::Sending { frames, format, account, turned: line.turn() };
    let (response, connection) = handshake.accept();
    drop(ask.core.tasks.spawn(sending.run(connection)));
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
    framer: Framer,
    /// A chunk that is being made by the compute threads.
    work: Option<Driven<Chunk>>,
    making: Making,
    compute: Compute,
    flow: u64,
    env: Env,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Something was sent, so a table needs no columns.
    sent: bool,
    done: bool,
    watching: Watching,
    _selectors: Option<Charge>,
}

/// Frames, and why there are no more.
type Chunk = (Vec<u8>, Option<Status>);

/// Makes frames of events.
#[derive(Clone)]
struct Framer {
    encoder: Encoder,
    registry: Registry,
}

impl Framer {
    /// Whether that is more work than copying.
    fn is_computed(&self) -> bool {
        self.encoder.is_computed() || self.encoder.row.converts_here()
    }

    fn frame(&self, out: &mut Vec<u8>, event: RecordEvent, first: bool) -> Result<(), Status> {
        if !self.encoder.row.converts_here() {
            return self.encoder.frame(out, &event, first);
        }
        self.encoder.frame(out, &self.registry.shown(&self.encoder.row, event)?, first)
    }

    /// The frames of `events`, up to the one that has none, and why it has not.
    fn chunk(&self, events: Vec<RecordEvent>, first: bool) -> Chunk {
        let mut out = Vec::new();
        for (at, event) in events.into_iter().enumerate() {
            if let Err(status) = self.frame(&mut out, event, first && at == 0) {
                return (out, Some(status));
            }
        }
        (out, None)
    }
}

/// Bytes of the event's object.
fn bytes(event: &RecordEvent) -> usize {
    match event {
        RecordEvent::Added(record) | RecordEvent::Modified(record) | RecordEvent::Deleted(record) => record.json.len(),
        RecordEvent::Bookmark { .. } => 0,
    }
}

impl Frames {
    /// Appends what is ready, or begins to have it made elsewhere.
    fn fill(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>) {
        let computed = self.framer.is_computed();
        let (mut events, mut read) = (Vec::new(), 0);
        for _ in 0..WATCH_EVENTS_PER_CHUNK {
            match self.events.poll_next_unpin(cx) {
                Poll::Pending => break,
                Poll::Ready(None) => {
                    self.done = true;
                    break;
                }
                Poll::Ready(Some(Err(status))) => {
                    self.make(events, out);
                    if !self.done {
                        self.fail(out, &status);
                    }
                    return;
                }
                Poll::Ready(Some(Ok(event))) => {
                    self.watching.sent();
                    read += bytes(&event) + WATCH_EVENT_OVERHEAD;
                    if !computed && out.capacity() == 0 {
                        out.reserve_exact(read);
                    }
                    if computed {
                        events.push(event);
                    } else if let Err(status) = self.framer.frame(out, event, !std::mem::replace(&mut self.sent, true))
                    {
                        return self.fail(out, &status);
                    }
                }
            }
            if computed && read >= COMPUTED_BYTES_MIN {
                let (framer, first) = (self.framer.clone(), !std::mem::replace(&mut self.sent, true));
                self.work = Some(self.compute.run(self.flow, move || framer.chunk(events, first)));
                self.making.begins();
                return;
            }
            if out.len() >= WATCH_CHUNK_BYTES {
                break;
            }
        }
        // More may be ready: whoever takes the chunk asks again.
        self.make(events, out);
    }

    fn make(&mut self, events: Vec<RecordEvent>, out: &mut Vec<u8>) {
        if events.is_empty() {
            return;
        }
        let (made, why) = self.framer.chunk(events, !std::mem::replace(&mut self.sent, true));
        out.extend_from_slice(&made);
        if let Some(status) = why {
            self.fail(out, &status);
        }
    }

    fn fail(&mut self, out: &mut Vec<u8>, status: &Status) {
        self.framer.encoder.error_frame(out, status);
        self.done = true;
    }
}

impl Stream for Frames {
    type Item = Result<Frame<Bytes>, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let mut out = Vec::new();
        if let Some(work) = &mut this.work {
            let (made, why) = ready!(work.poll_unpin(cx));
            this.work = None;
            this.making.ends();
            out = made;
            if let Some(status) = why {
                this.fail(&mut out, &status);
            }
        } else if !this.done {
            // Columns show ages, and a watch is long.
            this.framer.encoder.now = this.env.now();
            this.fill(cx, &mut out);
            if this.work.is_some() {
                return self.poll_next(cx);
            }
        }
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
