//! Priority and fairness for requests that come over connections: each takes a seat of its level, or waits for one, or is
//! told to come again; and each is answered within its time. Requests of this process, and those that are long by nature,
//! take none.

use super::{Filter, Next, refuse};
use crate::body::Body;
use crate::exchange::{Bill, Exchange, Identity};
use crate::flow::seats::{By, Placed, Seats};
use crate::ledger::Payer;
use crate::limits::RETRY_AFTER_SECONDS;
use crate::respond;
use futures::future::BoxFuture;
use http::{HeaderName, Request, Response};
use sampan_api::Status;
use sampan_api::user::GROUP_UNAUTHENTICATED;
use std::sync::Arc;

const FLOW_SCHEMA_UID: HeaderName = HeaderName::from_static("x-kubernetes-pf-flowschema-uid");
const PRIORITY_LEVEL_UID: HeaderName = HeaderName::from_static("x-kubernetes-pf-prioritylevel-uid");

/// The step.
pub struct FlowControl {
    /// The seats that requests take.
    pub seats: Seats,
}

impl Filter for FlowControl {
    fn filter(self: Arc<Self>, request: Request<Body>, next: Next) -> BoxFuture<'static, Response<Body>> {
        Box::pin(async move { self.pass(request, next).await })
    }
}

impl FlowControl {
    /// Says in the response which objects gave the request its place, as Kubernetes does.
    async fn pass(&self, request: Request<Body>, next: Next) -> Response<Body> {
        let (mut response, by) = self.answer(request, next).await;
        if let Some(by) = by {
            response.headers_mut().insert(FLOW_SCHEMA_UID, by.schema);
            response.headers_mut().insert(PRIORITY_LEVEL_UID, by.level);
        }
        response
    }

    async fn answer(&self, request: Request<Body>, next: Next) -> (Response<Body>, Option<By>) {
        let found = (request.extensions().get::<Arc<Exchange>>(), request.extensions().get::<Identity>());
        let (Some(exchange), Some(Identity(user))) = found else {
            return (refuse(&request, &Status::internal("the chain is incomplete")), None);
        };
        let exchange = exchange.clone();
        let Placed { placement, exempt, by } = self.seats.place(user, &exchange.info);
        exchange.bill(|| Bill { flow: placement.flow, payer: Payer::of(user), exempt });
        if exchange.in_process() {
            return (next.run(request).await, None);
        }
        if let Some(line) = exchange.line.as_ref().filter(|_| !user.in_group(GROUP_UNAUTHENTICATED)) {
            line.authenticated(|| exchange.payer());
        }
        if exchange.info.is_long_running() {
            return (next.run(request).await, by);
        }
        let work = async {
            if !exempt {
                match self.seats.take(placement, &exchange.info).await {
                    Ok(seat) => exchange.sit(seat),
                    Err(status) => return respond::status(&status, exchange.refusals),
                }
            }
            next.run(request).await
        };
        let answer = tokio::time::timeout(exchange.timeout, work).await;
        if let Some(seat) = exchange.seat() {
            seat.give_back();
        }
        let answer = answer.unwrap_or_else(|_| {
            let text = "request did not complete within the allotted timeout";
            respond::status(&Status::timeout(text, RETRY_AFTER_SECONDS), exchange.refusals)
        });
        (answer, by)
    }
}
