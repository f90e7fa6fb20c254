//! The chain around the verbs, as tower layers, outermost first: panics, request info and audit id; authentication;
//! impersonation; priority and fairness; authorization.

mod authenticate;
mod authorize;
mod flow_control;
mod impersonate;
mod receive;

pub use authenticate::{Anonymous, Authenticate};
pub use authorize::Authorize;
pub(crate) use authorize::{attributes, forbidden};
pub use flow_control::FlowControl;
pub use impersonate::Impersonate;
pub use receive::Receive;

use crate::ApiService;
use crate::body::Body;
use crate::exchange::Exchange;
use crate::negotiate::{Output, error_output};
use crate::respond;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response};
use sampan_api::Status;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower::{Layer, Service};

/// One step of the chain: looks at a request, then answers it or lets the rest of the chain do so.
pub trait Filter: Send + Sync + 'static {
    fn filter(self: Arc<Self>, request: Request<Body>, next: Next) -> BoxFuture<'static, Response<Body>>;
}

/// The rest of the chain. A clone counts one reference, however long the rest is.
#[derive(Clone)]
pub struct Next(Arc<Answers>);

type Answers = dyn Fn(Request<Body>) -> BoxFuture<'static, Response<Body>> + Send + Sync;

impl Next {
    /// The end of a chain.
    pub fn new(answers: impl Fn(Request<Body>) -> BoxFuture<'static, Response<Body>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(answers))
    }

    /// The answer of the rest of the chain.
    pub fn run(&self, request: Request<Body>) -> BoxFuture<'static, Response<Body>> {
        (self.0)(request)
    }
}

impl Service<Request<Body>> for Next {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = futures::future::Map<
        BoxFuture<'static, Response<Body>>,
        fn(Response<Body>) -> Result<Response<Body>, Infallible>,
    >;

    /// Always ready: what is too much is answered 429, not made to wait.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.run(request).map(Ok)
    }
}

/// Makes a [`Filter`] a tower layer.
pub struct FilterLayer<F>(Arc<F>);

impl<F: Filter> FilterLayer<F> {
    /// The layer of this step.
    pub fn new(filter: F) -> Self {
        Self(Arc::new(filter))
    }
}

impl<F: Filter> Layer<Next> for FilterLayer<F> {
    type Service = Next;
    fn layer(&self, inner: Next) -> Next {
        let filter = self.0.clone();
        Next::new(move |request| filter.clone().filter(request, inner.clone()))
    }
}

/// The answer of another room's service.
pub(crate) async fn call(mut service: ApiService, request: Request<Body>) -> Response<Body> {
    match service.call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// Refuses `request` at a step of the chain, in the format that it asked for.
fn refuse(request: &Request<Body>, status: &Status) -> Response<Body> {
    respond::status(status, refusal_output(request))
}

/// The form of a refusal of `request`, which is read once.
fn refusal_output(request: &Request<Body>) -> Output {
    match request.extensions().get::<Arc<Exchange>>() {
        Some(exchange) => exchange.refusals,
        None => error_output(request.headers(), request.uri().query()),
    }
}
