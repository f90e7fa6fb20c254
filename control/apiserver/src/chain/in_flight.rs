//! How many requests are under way at once, and for how long. What is too much is told to come again; nothing queues.
//! A request is under way until its answer is small enough to be let go, or was taken by the peer.

use super::{Filter, Next, hold, refusal_output, refuse};
use crate::body::Body;
use crate::exchange::Exchange;
use crate::limits::{READS_IN_FLIGHT_MAX, REQUEST_TIMEOUT, RETRY_AFTER_SECONDS, WRITES_IN_FLIGHT_MAX};
use crate::metrics::Metrics;
use crate::respond;
use futures::future::BoxFuture;
use http::{Request, Response};
use sampan_api::Status;
use sampan_env::Tasks;
use std::sync::Arc;
use tokio::sync::Semaphore;

pub struct InFlight {
    reads: Arc<Semaphore>,
    writes: Arc<Semaphore>,
    metrics: Arc<Metrics>,
    tasks: Tasks,
}

impl InFlight {
    pub fn new(metrics: Arc<Metrics>, tasks: Tasks) -> Self {
        Self {
            reads: Arc::new(Semaphore::new(READS_IN_FLIGHT_MAX)),
            writes: Arc::new(Semaphore::new(WRITES_IN_FLIGHT_MAX)),
            metrics,
            tasks,
        }
    }
}

impl Filter for InFlight {
    fn filter(&self, request: Request<Body>, next: Next) -> BoxFuture<'_, Response<Body>> {
        Box::pin(self.pass(request, next))
    }
}

impl InFlight {
    async fn pass(&self, request: Request<Body>, next: Next) -> Response<Body> {
        let Some(exchange) = request.extensions().get::<Arc<Exchange>>() else {
            return refuse(&request, &Status::internal("the chain is incomplete"));
        };
        if exchange.in_process || exchange.info.is_long_running() {
            return next.run(request).await;
        }
        let mutating = exchange.info.is_mutating();
        let places = if mutating { &self.writes } else { &self.reads };
        let Ok(permit) = places.clone().try_acquire_owned() else {
            let text = "Too many requests, please try again later.";
            self.metrics.turned_away(mutating);
            return refuse(&request, &Status::too_many_requests(text, RETRY_AFTER_SECONDS));
        };
        let counted = self.metrics.in_flight(mutating);
        let output = refusal_output(&request);
        match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
            Ok(response) if hold::is_small(response.body()) => response,
            Ok(response) => response.map(|body| hold::hold(body, (permit, counted), &self.tasks)),
            Err(_) => {
                let text = "request did not complete within the allotted timeout";
                respond::status(&Status::timeout(text, RETRY_AFTER_SECONDS), output)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ApiService;
    use crate::body;
    use crate::limits::{ANSWER_CHUNK_BYTES, ANSWER_TIMEOUT};
    use crate::request_info::RequestInfo;
    use http::{Method, Uri};
    use http_body_util::BodyExt;
    use sampan_api::admission::Warnings;

    /// The answer of `size` bytes to a read, as the chain lets it out.
    async fn answer(chain: &InFlight, path: &'static str, size: usize) -> Body {
        let info = RequestInfo::read(&Method::GET, &Uri::from_static(path)).expect("a path");
        let exchange = Exchange { info, audit_id: String::new(), warnings: Warnings::default(), in_process: false };
        let mut request = Request::get(path).body(body::empty()).expect("a request");
        request.extensions_mut().insert(Arc::new(exchange));
        let inner = tower::service_fn(move |_: Request<Body>| -> BoxFuture<'static, _> {
            Box::pin(async move { Ok(Response::new(body::full(vec![b'x'; size]))) })
        });
        chain.pass(request, Next::of(ApiService::new(inner))).await.into_body()
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_answer_is_under_way_until_it_was_taken() {
        const PODS: &str = "/api/v1/pods";
        const SIZE: usize = 3 * ANSWER_CHUNK_BYTES + 1;
        let chain = InFlight::new(Arc::new(Metrics::default()), Tasks::new("test"));
        let under_way = || READS_IN_FLIGHT_MAX - chain.reads.available_permits();

        let small = answer(&chain, PODS, ANSWER_CHUNK_BYTES).await;
        assert_eq!((under_way(), http_body::Body::size_hint(&small).exact()), (0, Some(ANSWER_CHUNK_BYTES as u64)));

        let mut taken = answer(&chain, PODS, SIZE).await;
        let (mut sizes, mut left) = (Vec::new(), SIZE);
        while !http_body::Body::is_end_stream(&taken) {
            assert_eq!((under_way(), http_body::Body::size_hint(&taken).exact()), (1, Some(left as u64)));
            let piece = taken.frame().await.expect("more").expect("a frame").into_data().expect("data");
            left -= piece.len();
            sizes.push(piece.len());
        }
        assert_eq!(sizes, [ANSWER_CHUNK_BYTES, ANSWER_CHUNK_BYTES, ANSWER_CHUNK_BYTES, 1]);
        assert_eq!(under_way(), 0, "its end is seen with its last piece");

        let dropped = answer(&chain, PODS, SIZE).await;
        assert_eq!(under_way(), 1);
        drop(dropped);
        assert_eq!(under_way(), 0);

        let mut late = answer(&chain, PODS, SIZE).await;
        late.frame().await.expect("more").expect("the first piece");
        tokio::time::sleep(ANSWER_TIMEOUT + std::time::Duration::from_millis(1)).await;
        assert_eq!(under_way(), 0, "a peer that takes nothing holds no place");
        assert!(late.frame().await.expect("more").is_err(), "nor does its answer seem whole");

        let watch = answer(&chain, "/api/v1/pods?watch=1", SIZE).await;
        assert_eq!(under_way(), 0);
        drop(watch);
    }
}
