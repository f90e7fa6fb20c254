//! One request: an instance, a call, an answer.

use super::body::{Answered, NoRoom, Received};
use super::gate::{Full, Permit};
use super::progress::Progress;
use super::{Connection, Service};
use crate::command::count;
use crate::connections::{AtWork, Place};
use crate::engine::Role;
use crate::exit::{Exit, Fault, FaultKind};
use crate::guest::store;
use crate::limits;
use crate::memory::Charge;
use crate::metered::{Meter, Metered};
use crate::metrics::Counters;
use crate::prices;
use crate::seats::Seat;
use crate::slices::Pace;
use crate::starts::StartTurn;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use wasmtime::PoolConcurrencyLimitError;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

type Answer = Response<HyperOutgoingBody>;

/// The end of the guest's call, and the memory that it took.
struct Called {
    result: wasmtime::Result<()>,
    bytes: u64,
}

/// Answers in any case: what the guest does wrong is a 5xx.
pub(super) async fn answer(service: Arc<Service>, connection: Arc<Connection>, request: Request<Incoming>) -> Answer {
    let counters = &service.running.host.counters;
    Counters::add(&counters.requests, 1);
    service.container.requests.fetch_add(1, Ordering::Relaxed);
    if request.uri().authority().is_none() && !request.headers().contains_key(header::HOST) {
        return plain(StatusCode::BAD_REQUEST, "the request names no host");
    }
    let progress = Progress::new(&service.running.host.env);
    let (request, held, turn, start) = match admit(&service, &connection.place, request, &progress).await {
        Ok(admitted) => admitted,
        Err(refused) => {
            Counters::add(&counters.requests_refused, 1);
            return refused.answer();
        }
    };
    let (head, mut answered) = oneshot::channel();
    let mut guest = Guest::start(&service, start, |meter| {
        let call = call(service.clone(), request, head, meter, progress.clone());
        async move {
            let called = call.await;
            drop(held);
            called
        }
    });
    let ended = |called: Called, head, turn: Turn| {
        // Whoever goes next is let in by what this one needed: not before it was judged.
        let answer = finished(&service, called, head);
        drop((turn.permit, turn.seat));
        let answer = watched(answer, &connection, &progress, turn.work);
        connection.untaken.said(&progress);
        answer
    };
    let late = || failed(&service, StatusCode::GATEWAY_TIMEOUT, "the request took too long");
    let head = tokio::select! {
        biased;
        called = &mut guest => return ended(called, answered.try_recv().ok(), turn),
        head = &mut answered => head,
        () = progress.stalled(service.request_timeout) => return late(),
    };
    let Ok(head) = head else {
        // Nobody can answer any more: what became of the guest tells why.
        return tokio::select! {
            called = guest => ended(called, None, turn),
            () = progress.stalled(service.request_timeout) => late(),
        };
    };
    let Turn { permit, seat, work } = turn;
    let answer = watched(head_of(&service, Some(head)), &connection, &progress, work);
    service.tasks.spawn(rest(service.clone(), connection, guest, progress, (permit, seat)));
    answer
}

/// A guest's call, on this thread or elsewhere.
enum Guest {
    Here(Metered<Called>, Arc<Service>),
    /// On the threads of commands, where nobody's request waits for its long slices.
    Elsewhere(JoinHandle<Called>),
}

impl Guest {
    fn start<F>(service: &Arc<Service>, start: StartTurn, call: impl FnOnce(Meter) -> F) -> Self
    where
        F: Future<Output = Called> + Send + 'static,
    {
        let host = &service.running.host;
        let (probe, long) = (start.is_probe(), service.container.cpu.slices.pace() == Pace::Long);
        let lane = if probe || long { &host.commands } else { &host.services };
        let meter = service.container.meter(host, lane);
        let guest = Metered::new(meter.clone(), call(meter));
        match (probe, long) {
            (true, _) => Guest::Elsewhere(host.spawn(guest.of_request(Some(start)))),
            // Nobody waits for it to begin.
            (false, true) => Guest::Elsewhere(host.spawn(guest.of_request(None))),
            (false, false) => Guest::Here(guest.of_request(Some(start)), service.clone()),
        }
    }

    /// A request that was cut off here, of a container whose slices have turned out to be long, goes on elsewhere.
    fn settle(&mut self) {
        let Guest::Here(guest, service) = self else { return };
        if guest.was_cut() && service.container.cpu.slices.pace() == Pace::Long {
            let host = &service.running.host;
            let guest = guest.take(service.container.meter(host, &host.commands));
            *self = Guest::Elsewhere(host.spawn(guest));
        }
    }
}

impl Future for Guest {
    type Output = Called;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Called> {
        let this = self.get_mut();
        this.settle();
        match this {
            Guest::Here(guest, _) => Pin::new(guest).poll(cx),
            Guest::Elsewhere(guest) => Pin::new(guest).poll(cx).map(|ended| {
                ended.unwrap_or_else(|error| Called { result: Err(wasmtime::format_err!("{error}")), bytes: 0 })
            }),
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if let Guest::Elsewhere(guest) = self {
            guest.abort();
        }
    }
}

/// The right of a request to run, and its connection with it.
struct Turn {
    permit: Permit,
    seat: Seat,
    work: AtWork,
}

/// The reason why a request never reached an instance.
enum Refused {
    NoRoom,
    QueueFull,
    NoTurn,
}

impl Refused {
    fn answer(self) -> Answer {
        let text = match self {
            Refused::NoRoom => "the requests that wait hold as much memory as they may",
            Refused::QueueFull => "too many requests are waiting",
            Refused::NoTurn => "no turn before the timeout",
        };
        plain(StatusCode::SERVICE_UNAVAILABLE, text)
    }
}

/// Reads ahead, and waits for a turn and an instance. Until then the request holds nothing but what is charged to the
/// clients' part of the container's memory.
async fn admit(
    service: &Arc<Service>,
    place: &Arc<Place>,
    request: Request<Incoming>,
    progress: &Arc<Progress>,
) -> Result<(Request<Received>, Charge, Turn, StartTurn), Refused> {
    let head: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let held = Charge::for_client(&service.container.mem, prices::WAITING_REQUEST + head as u64);
    let held = held.ok_or(Refused::NoRoom)?;
    let (parts, body) = request.into_parts();
    let (body, arrival) = Received::read(body, progress, &held).await.map_err(|NoRoom| Refused::NoRoom)?;
    let work = place.at_work();
    let turn = async {
        let permit = service.gate.enter(arrival).await.map_err(|Full| Refused::QueueFull)?;
        let seat = service.running.host.seats.sit(&service.sitter).await;
        let start = service.running.host.starts.turn(service.container.id, &service.container.cpu).await;
        Ok((Turn { permit, seat, work }, start))
    };
    let mut turn = std::pin::pin!(turn);
    let (turn, start) = match futures::poll!(turn.as_mut()) {
        Poll::Ready(turn) => turn?,
        Poll::Pending => {
            let wait = service.request_timeout.min(limits::TURN_TIMEOUT);
            tokio::time::timeout(wait, turn).await.unwrap_or(Err(Refused::NoTurn))?
        }
    };
    Ok((Request::from_parts(parts, body), held, turn, start))
}

fn watched(answer: Answer, connection: &Connection, progress: &Arc<Progress>, work: AtWork) -> Answer {
    let (progress, untaken) = (progress.clone(), connection.untaken.clone());
    answer.map(|body| Answered { body, progress, untaken, _work: work }.boxed_unsync())
}

/// The guest goes on writing its answer for as long as its client takes it.
async fn rest(
    service: Arc<Service>,
    connection: Arc<Connection>,
    guest: Guest,
    progress: Arc<Progress>,
    turn: (Permit, Seat),
) {
    let killed = service.running.kill.clone();
    tokio::select! {
        biased;
        () = killed.cancelled() => progress.fail(),
        called = guest => {
            judge(&service, &called);
            drop(turn);
            connection.untaken.said(&progress);
        }
        () = progress.stalled(service.request_timeout) => {
            progress.fail();
            service.container.request_errors.fetch_add(1, Ordering::Relaxed);
            // Whoever has given up this answer may wait for others over the same connection.
            if !progress.is_taken() {
                connection.place.cut.cancel();
            }
        }
    }
}

async fn call(
    service: Arc<Service>,
    request: Request<Received>,
    head: oneshot::Sender<Result<Answer, ErrorCode>>,
    meter: Meter,
    progress: Arc<Progress>,
) -> Called {
    let running = &service.running;
    let made = store(
        &running.host,
        &service.container,
        Role::Service,
        &service.surroundings,
        running.termination.clone(),
        &meter,
    );
    let mut store = match made {
        Ok(store) => store,
        Err(error) => return Called { result: Err(error.into()), bytes: 0 },
    };
    let result = async {
        // Whoever waits for the answer may have gone.
        let (request, out) = store.data_mut().paid_http().incoming(request, move |answer| drop(head.send(answer)))?;
        let proxy = service.pre.instantiate_async(&mut store).await?;
        proxy.wasi_http_incoming_handler().call_handle(&mut store, request, out).await
    }
    .await;
    if result.is_err() {
        // Before the store goes: its end would look like the answer's.
        progress.fail();
    }
    Called { result, bytes: store.data().mem.peak() }
}

/// The guest has returned before anybody read its answer.
fn finished(service: &Service, called: Called, head: Option<Result<Answer, ErrorCode>>) -> Answer {
    judge(service, &called);
    match called.result {
        Ok(()) => head_of(service, head),
        Err(error) if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() => {
            Counters::add(&service.running.host.counters.requests_refused, 1);
            plain(StatusCode::SERVICE_UNAVAILABLE, "the node has no free instance")
        }
        Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "the component failed"),
    }
}

/// Counts what went wrong; running out of memory ends the container.
fn judge(service: &Service, called: &Called) {
    service.gate.observed(called.bytes);
    let Err(error) = &called.result else { return };
    let fault = Fault::of(error);
    count(&service.running.host.counters, &fault);
    service.container.request_errors.fetch_add(1, Ordering::Relaxed);
    match fault.kind {
        FaultKind::OutOfMemory => {
            // Published once nobody listens any more: the next start needs the address.
            if service.verdict.set(Exit::out_of_memory(&fault.message)).is_err() {
                tracing::debug!("another request ended the container first");
            }
            service.running.kill.cancel();
        }
        _ => tracing::debug!(message = %fault.message, "a request failed in the component"),
    }
}

fn head_of(service: &Service, head: Option<Result<Answer, ErrorCode>>) -> Answer {
    match head {
        Some(Ok(answer)) => answer,
        Some(Err(code)) => {
            tracing::debug!(?code, "the component answered with an error");
            failed(service, StatusCode::INTERNAL_SERVER_ERROR, "the component answered with an error")
        }
        None => failed(service, StatusCode::INTERNAL_SERVER_ERROR, "the component gave no answer"),
    }
}

fn failed(service: &Service, status: StatusCode, text: &'static str) -> Answer {
    service.container.request_errors.fetch_add(1, Ordering::Relaxed);
    plain(status, text)
}

fn plain(status: StatusCode, text: &'static str) -> Answer {
    let body =
        http_body_util::Full::new(Bytes::from_static(text.as_bytes())).map_err(|never| match never {}).boxed_unsync();
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}
