//! How many requests are under way at once, and for how long. What is too much is told to come again; nothing queues.

use super::{Filter, Next, refusal_output, refuse};
use crate::body::Body;
use crate::exchange::Exchange;
use crate::limits::{READS_IN_FLIGHT_MAX, REQUEST_TIMEOUT, RETRY_AFTER_SECONDS, WRITES_IN_FLIGHT_MAX};
use crate::metrics::Metrics;
use crate::respond;
use futures::future::BoxFuture;
use http::{Request, Response};
use sampan_api::Status;
use std::sync::Arc;
use tokio::sync::Semaphore;

pub struct InFlight {
    reads: Semaphore,
    writes: Semaphore,
    metrics: Arc<Metrics>,
}

impl InFlight {
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { reads: Semaphore::new(READS_IN_FLIGHT_MAX), writes: Semaphore::new(WRITES_IN_FLIGHT_MAX), metrics }
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
        let Ok(_permit) = (if mutating { &self.writes } else { &self.reads }).try_acquire() else {
            let text = "Too many requests, please try again later.";
            self.metrics.turned_away(mutating);
            return refuse(&request, &Status::too_many_requests(text, RETRY_AFTER_SECONDS));
        };
        let _counted = self.metrics.in_flight(mutating);
        let output = refusal_output(&request);
        match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
            Ok(response) => response,
            Err(_) => {
                let text = "request did not complete within the allotted timeout";
                respond::status(&Status::timeout(text, RETRY_AFTER_SECONDS), output)
            }
        }
    }
}
