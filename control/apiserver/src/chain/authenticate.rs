//! Authentication: the identity that a request's credentials prove.

use super::{Filter, Next, refuse};
use crate::body::Body;
use crate::exchange::{Exchange, Identity};
use crate::line::Line;
use crate::websocket;
use futures::future::BoxFuture;
use http::{Request, Response};
use sampan_api::admission::Warnings;
use sampan_api::{Status, UserInfo};
use sampan_auth::authenticator::{Authenticator, Credentials, Peer};
use std::sync::Arc;

/// Whether a request without credentials goes on as `system:anonymous`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anonymous {
    /// Only to ask whether the server is well: `/healthz`, `/livez`, `/readyz`, `/version`.
    #[default]
    Health,
    /// Everywhere; authorization decides.
    All,
}

/// The step.
pub struct Authenticate {
    authenticator: Arc<dyn Authenticator>,
    anonymous: Anonymous,
    nobody: Arc<UserInfo>,
    no_peer: Peer,
}

impl Authenticate {
    /// By that authenticator; `anonymous` says where nobody may pass.
    pub fn new(authenticator: Arc<dyn Authenticator>, anonymous: Anonymous) -> Self {
        Self { authenticator, anonymous, nobody: Arc::new(UserInfo::anonymous()), no_peer: Peer::default() }
    }

    fn lets_in_nobody(&self, request: &Request<Body>) -> bool {
        const HEALTH: [&str; 4] = ["/healthz", "/livez", "/readyz", "/version"];
        let path = request.uri().path();
        self.anonymous == Anonymous::All
            || HEALTH
                .iter()
                .any(|one| path.strip_prefix(one).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    }
}

impl Filter for Authenticate {
    fn filter(self: Arc<Self>, request: Request<Body>, next: Next) -> BoxFuture<'static, Response<Body>> {
        Box::pin(async move { self.pass(request, next).await })
    }
}

impl Authenticate {
    async fn pass(&self, mut request: Request<Body>, next: Next) -> Response<Body> {
        // Only code of this process can have put an identity here: nothing that comes over a socket reaches extensions.
        if let Some(user) = request.extensions_mut().remove::<UserInfo>() {
            request.extensions_mut().insert(Identity(Arc::new(user)));
            return next.run(request).await;
        }
        let exchange = request.extensions().get::<Arc<Exchange>>().cloned();
        if let Err(refused) = websocket::take_bearer(request.headers_mut()) {
            tracing::debug!(refused, "a WebSocket's token does not hold");
            return refuse(&request, &Status::unauthorized());
        }
        let line = exchange.as_ref().and_then(|exchange| exchange.line.as_deref());
        let peer = line.and_then(Line::peer).unwrap_or(&self.no_peer);
        let unheard = Warnings::default();
        let warnings = exchange.as_ref().map_or(&unheard, |exchange| &exchange.warnings);
        let credentials = Credentials { headers: request.headers(), peer, warnings };
        let user = match self.authenticator.authenticate(credentials).await {
            Ok(Some(user)) => user,
            Ok(None) if self.lets_in_nobody(&request) => self.nobody.clone(),
            Ok(None) => return refuse(&request, &Status::unauthorized()),
            Err(refused) => {
                if let Some(exchange) = exchange {
                    tracing::debug!(%refused, audit_id = %exchange.audit_id, "credentials do not hold");
                }
                return refuse(&request, &Status::unauthorized());
            }
        };
        // The proof of the identity is of no use further in, and must not reach a log or a node.
        request.headers_mut().remove(http::header::AUTHORIZATION);
        request.extensions_mut().insert(Identity(user));
        next.run(request).await
    }
}
