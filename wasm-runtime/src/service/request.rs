//! One request: an instance, a call, an answer.

use super::Service;
use crate::command::count;
use crate::cpu::{Meter, Metered};
use crate::engine::Role;
use crate::exit::{Exit, Fault, FaultKind};
use crate::guest::store;
use crate::metrics::Counters;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::oneshot;
use wasmtime::PoolConcurrencyLimitError;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;
use wasmtime_wasi_http::{WasiHttpView, p2::types::HostIncomingRequest};

type Answer = Response<HyperOutgoingBody>;

/// How the guest's call ended, and the memory that it took.
struct Called {
    result: wasmtime::Result<()>,
    bytes: u64,
}

/// Answers in any case: what the guest does wrong is a 5xx.
pub(super) async fn answer(service: Arc<Service>, request: Request<Incoming>) -> Answer {
    let counters = &service.running.shared.counters;
    Counters::add(&counters.requests, 1);
    service.container.requests.fetch_add(1, Ordering::Relaxed);
    if request.uri().authority().is_none() && !request.headers().contains_key(header::HOST) {
        return plain(StatusCode::BAD_REQUEST, "the request names no host");
    }
    // The deadline covers the wait for a turn.
    let deadline = tokio::time::sleep(service.request_timeout);
    let mut deadline = std::pin::pin!(deadline);
    let permit = tokio::select! {
        biased;
        permit = service.gate.enter() => permit,
        () = deadline.as_mut() => return failed(&service, StatusCode::SERVICE_UNAVAILABLE, "no turn before the timeout"),
    };
    let Ok(permit) = permit else {
        Counters::add(&counters.requests_refused, 1);
        return plain(StatusCode::SERVICE_UNAVAILABLE, "too many requests are waiting");
    };
    let (head, mut answered) = oneshot::channel();
    let meter = service.container.meter(&service.running.shared, &service.running.shared.services);
    let mut guest = Metered::new(meter.clone(), call(service.clone(), request, head, meter));
    tokio::select! {
        biased;
        called = &mut guest => {
            let answer = finished(&service, called, &mut answered);
            // Only now: whoever goes next is let in by what this one needed.
            drop(permit);
            answer
        }
        head = &mut answered => {
            // The guest goes on writing the body; the rest of its time is bounded by the same deadline.
            let left = deadline.deadline();
            let rest = service.clone();
            service.tasks.spawn(async move {
                let _permit = permit;
                tokio::select! {
                    biased;
                    () = rest.running.kill.cancelled() => {}
                    called = guest => judge(&rest, &called),
                    () = tokio::time::sleep_until(left) => {
                        rest.container.request_errors.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
            head_of(&service, head.ok())
        }
        () = deadline.as_mut() => failed(&service, StatusCode::GATEWAY_TIMEOUT, "the request took too long"),
    }
}

async fn call(
    service: Arc<Service>,
    request: Request<Incoming>,
    head: oneshot::Sender<Result<Answer, ErrorCode>>,
    meter: Meter,
) -> Called {
    let running = &service.running;
    let mut store = store(
        &running.shared,
        &service.container,
        Role::Service,
        &service.surroundings,
        running.termination.clone(),
        &meter,
    );
    let result = async {
        let mut http = store.data_mut().http();
        let request: wasmtime::component::Resource<HostIncomingRequest> =
            http.new_incoming_request(Scheme::Http, request)?;
        let out = http.new_response_outparam(head)?;
        let proxy = service.pre.instantiate_async(&mut store).await?;
        proxy.wasi_http_incoming_handler().call_handle(&mut store, request, out).await
    }
    .await;
    Called { result, bytes: store.data().mem.charged() }
}

/// The guest has returned before anybody read its answer.
fn finished(service: &Service, called: Called, answered: &mut oneshot::Receiver<Result<Answer, ErrorCode>>) -> Answer {
    judge(service, &called);
    match called.result {
        Ok(()) => head_of(service, answered.try_recv().ok()),
        Err(error) if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() => {
            Counters::add(&service.running.shared.counters.requests_refused, 1);
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
    count(&service.running.shared.counters, &fault);
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
    let body = Full::new(Bytes::from_static(text.as_bytes())).map_err(|never| match never {}).boxed_unsync();
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}
