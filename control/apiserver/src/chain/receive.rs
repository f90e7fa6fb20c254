//! The outermost step: reads the request line, gives the request its id, catches panics, counts, and puts on the
//! headers that every answer carries.

use super::{Filter, Next, refuse};
use crate::answer::{self, FirstRoom, Length, Making, Sending, SharedBytes};
use crate::body::{self, Body};
use crate::exchange::Exchange;
use crate::flow::seats::too_many_requests;
use crate::limits::REQUEST_TIMEOUT;
use crate::line::{Ledgers, Line, UnderWay};
use crate::metrics::{Counted, Metrics};
use crate::query::Query;
use crate::request_info::RequestInfo;
use crate::respond;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Method, Request, Response};
use sampan_api::{Status, UserInfo};
use sampan_env::Env;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Longest id that a client may give its request, bytes.
const AUDIT_ID_MAX: usize = 64;

/// The step.
pub struct Receive {
    /// The clock, and what ids are drawn from.
    pub env: Env,
    /// Counts the requests.
    pub metrics: Arc<Metrics>,
    /// The ledgers that answers and bodies are charged to.
    pub ledgers: Ledgers,
}

impl Filter for Receive {
    fn filter(self: Arc<Self>, request: Request<Body>, next: Next) -> BoxFuture<'static, Response<Body>> {
        Box::pin(async move { self.pass(request, next).await })
    }
}

impl Receive {
    async fn pass(&self, mut request: Request<Body>, next: Next) -> Response<Body> {
        let started = self.env.instant();
        let audit_id = self.audit_id(&request);
        // A tunnel's stream would outlive its answer, and nothing here opens one.
        let info = Some(request.method()).filter(|method| *method != Method::CONNECT);
        let Some(info) = info.and_then(|method| RequestInfo::read(method, request.uri())) else {
            let mut response = refuse(&request, &respond::no_such_resource());
            respond::finish(&mut response, &audit_id, Vec::new());
            return response;
        };
        let in_process = request.extensions().get::<UserInfo>().is_some();
        let line = request.extensions_mut().remove::<Arc<Line>>();
        // Who calls without a connection and without an identity is bounded as a connection of its own is.
        let line = (!in_process).then(|| line.unwrap_or_else(|| Line::new(&self.env)));
        let under_way = request.extensions_mut().remove::<UnderWay>();
        let head = request.method() == Method::HEAD;
        let counted = Counted::of(&info, &request);
        let mut exchange = Exchange::new(info, audit_id, super::refusal_output(&request), line);
        let bounded = !exchange.in_process() && !exchange.info.is_long_running();
        let timeout = if bounded { timeout(request.uri().query()) } else { Ok(REQUEST_TIMEOUT) };
        if let Ok(timeout) = timeout {
            exchange.timeout = timeout;
        }
        let exchange = Arc::new(exchange);
        request.extensions_mut().insert(exchange.clone());
        // A panic leaves nothing of ours behind: the request's own state goes with it, and shared state is behind locks
        // that are never held across a step that could panic half-way.
        // In a block, so that a step that panics before it gives its future is one of them.
        let work = async {
            match timeout {
                Ok(_) => next.run(request).await,
                Err(status) => respond::status(&status, exchange.refusals),
            }
        };
        let mut response = match AssertUnwindSafe(work).catch_unwind().await {
            Ok(response) => response,
            Err(panic) => {
                let text = panic
                    .downcast_ref::<String>()
                    .map(String::as_str)
                    .or_else(|| panic.downcast_ref::<&str>().copied())
                    .unwrap_or("no text");
                tracing::error!(panic = text, audit_id = %exchange.audit_id, path = exchange.info.path(), "a request panicked");
                self.metrics.panicked();
                let message = "This request caused apiserver to panic. Look in the logs for details.";
                respond::status(&Status::internal(message), exchange.refusals)
            }
        };
        // HTTP/2 would carry the body of an answer that has none.
        if head {
            response = response.map(|_| body::empty());
        }
        if let Some(line) = &exchange.line {
            response = self.send(response, &exchange, line, under_way);
        }
        respond::finish(&mut response, &exchange.audit_id, exchange.warnings.take());
        let annotations = exchange.annotations.take();
        if !annotations.is_empty() {
            // There is no audit log: who looks for them finds them by the request's id.
            tracing::info!(audit_id = %exchange.audit_id, ?annotations, "audit annotations of admission");
        }
        let took = self.env.instant().saturating_duration_since(started);
        self.metrics.answered(exchange.authorized(), counted, response.status().as_u16(), took);
        response
    }
}

/// Time in which a request is to be answered: what its query gives it, at most [`REQUEST_TIMEOUT`]
/// (k8s.io/apiserver/pkg/endpoints/filters/request_deadline.go).
///
/// # Errors
/// 400, where what is given is no duration.
fn timeout(query: Option<&str>) -> Result<Duration, Status> {
    // Most have none: only what may name it, in whatever writing, is read.
    let Some(query) = query.filter(|query| query.contains("timeout") || query.contains('%')) else {
        return Ok(REQUEST_TIMEOUT);
    };
    let query = Query::parse(Some(query));
    let Some(given) = query.get("timeout").filter(|given| !given.is_empty()) else { return Ok(REQUEST_TIMEOUT) };
    let nanos = sampan_schema::parse_duration(given)
        .map_err(|why| Status::bad_request(format!("invalid timeout specified in the request URL - {why}")))?;
    let given = u64::try_from(nanos).map(Duration::from_nanos).unwrap_or_default();
    Ok(if given.is_zero() { REQUEST_TIMEOUT } else { given.min(REQUEST_TIMEOUT) })
}

impl Receive {
    /// The answer as it goes to the transport, or the refusal that takes its place when there is no room for it.
    fn send(
        &self,
        response: Response<Body>,
        exchange: &Exchange,
        line: &Arc<Line>,
        under_way: Option<UnderWay>,
    ) -> Response<Body> {
        let shares = line.shares(&self.ledgers);
        let payer = exchange.payer();
        let account = |share: &Arc<Semaphore>| self.ledgers.answers.account(&payer, Some(share.clone()));
        let endless = exchange.info.is_long_running() && response.status().is_success();
        let sending = Sending {
            account: account(&shares.answers),
            exempt: exchange.is_exempt(),
            room: response.extensions().get::<FirstRoom>().and_then(|room| room.0.lock().take()),
            making: response.extensions().get::<Making>().cloned(),
            length: if endless { Length::Endless } else { Length::Finite },
            line: line.clone(),
            under_way,
        };
        let (parts, body) = response.into_parts();
        let shared = parts.extensions.get::<SharedBytes>().is_some();
        match answer::send(body, shared, sending, || account(&shares.whole_answers)) {
            Ok(body) => Response::from_parts(parts, body),
            Err(answer::NoRoom) => {
                self.metrics.turned_away(exchange.info.is_mutating());
                respond::status(&too_many_requests(), exchange.refusals)
            }
        }
    }

    /// The client's own id, where it gives one that can stand in a log, else a new one.
    fn audit_id(&self, request: &Request<Body>) -> String {
        let given = request.headers().get("audit-id").and_then(|value| value.to_str().ok());
        match given {
            Some(id) if !id.is_empty() && id.len() <= AUDIT_ID_MAX && id.bytes().all(|b| b.is_ascii_graphic()) => {
                id.to_owned()
            }
            _ => self.env.uuid(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_bounds_the_time_of_its_request() {
        let check = |query: &str, expected: Result<u64, &str>| {
            let found = timeout(Some(query)).map_err(|status| status.message);
            let expected = expected
                .map(Duration::from_millis)
                .map_err(|why| format!("invalid timeout specified in the request URL - time: {why}"));
            assert_eq!(found, expected, "{query}");
        };
        check("timeout=1s", Ok(1_000));
        check("tim%65out=1500ms", Ok(1_500));
        for as_ever in ["timeout=0s", "timeout=-1s", "timeout=1h", "timeout=", "timeoutSeconds=abc", "a=b"] {
            check(as_ever, Ok(60_000));
        }
        check("timeout=abc", Err("invalid duration \"abc\""));
        check("timeout=1", Err("missing unit in duration \"1\""));
    }
}
