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
use crate::negotiate::{Output, error_output};
use crate::respond;
use futures::future::BoxFuture;
use http::{Request, Response};
use sampan_api::Status;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower::{Layer, Service};

/// One step of the chain: looks at a request, then answers it or lets the rest of the chain do so.
pub trait Filter: Send + Sync + 'static {
    fn filter(&self, request: Request<Body>, next: Next) -> BoxFuture<'_, Response<Body>>;
}

/// The rest of the chain.
pub struct Next(ApiService);

impl Next {
    pub(crate) fn of(service: ApiService) -> Self {
        Self(service)
    }

    /// The answer of the rest of the chain.
    pub async fn run(mut self, request: Request<Body>) -> Response<Body> {
        match self.0.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
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

impl<F: Filter> Layer<ApiService> for FilterLayer<F> {
    type Service = ApiService;
    fn layer(&self, inner: ApiService) -> ApiService {
        ApiService::new(Filtered { filter: self.0.clone(), inner })
    }
}

/// A service behind a [`Filter`].
struct Filtered<F> {
    filter: Arc<F>,
    inner: ApiService,
}

impl<F> Clone for Filtered<F> {
    fn clone(&self) -> Self {
        Self { filter: self.filter.clone(), inner: self.inner.clone() }
    }
}

impl<F: Filter> Service<Request<Body>> for Filtered<F> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    /// Always ready: what is too much is answered 429, not made to wait.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (filter, next) = (self.filter.clone(), Next(self.inner.clone()));
        Box::pin(async move { Ok(filter.filter(request, next).await) })
    }
}

/// Refuses `request` at a step of the chain, in the format that it asked for.
fn refuse(request: &Request<Body>, status: &Status) -> Response<Body> {
    respond::status(status, refusal_output(request))
}

fn refusal_output(request: &Request<Body>) -> Output {
    error_output(request.headers(), request.uri().query())
}
