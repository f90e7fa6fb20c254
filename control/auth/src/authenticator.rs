//! The seam between the API server's chain and whoever can tell who is asking.

use bytes::Bytes;
use futures::future::BoxFuture;
use http::HeaderMap;
use sampan_api::user::UserInfo;
use std::sync::{Arc, OnceLock};

/// The far end of one connection: the certificates that it showed (DER, its own first; verified against the server's
/// client CA by the handshake), and who that makes it, found out once a connection.
#[derive(Debug, Default)]
pub struct Peer {
    /// Its certificates.
    pub certificates: Vec<Bytes>,
    /// Filled by the first authenticator that reads the certificates; later requests of the connection take it from here.
    pub identity: OnceLock<Arc<UserInfo>>,
}

/// The credentials that a request shows.
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a> {
    pub headers: &'a HeaderMap,
    pub peer: &'a Peer,
}

impl<'a> Credentials<'a> {
    /// The token of `Authorization: Bearer TOKEN`. `None` when there is no such header, or it is of another scheme.
    pub fn bearer_token(&self) -> Option<&'a str> {
        let value = self.headers.get(http::header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, token) = value.split_once(' ')?;
        let token = token.trim();
        (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
    }
}

/// Credentials were shown and do not hold. The reason is for the log, never for the answer.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// Tells who is asking. `Ok(None)`: nothing was shown that this authenticator knows; `Err`: something was, and it is
/// wrong (answered 401 even where anonymous requests are let in).
pub trait Authenticator: Send + Sync + 'static {
    fn authenticate<'a>(
        &'a self,
        credentials: Credentials<'a>,
    ) -> BoxFuture<'a, Result<Option<Arc<UserInfo>>, Refused>>;
}

/// The identity behind a token, and for which of the audiences that were asked about it holds.
#[derive(Clone, Debug)]
pub struct Authenticated {
    /// Who it is.
    pub user: Arc<UserInfo>,
    /// Those of the audiences.
    pub audiences: Vec<String>,
}

/// Tells whose a bearer token is. `Ok(None)`: it is of no form that this authenticator knows; `Err`: it is, and it does
/// not hold.
pub trait TokenAuthenticator: Send + Sync + 'static {
    /// `audiences`: those that the token must be for, one of them at least.
    fn authenticate_token<'a>(
        &'a self,
        token: &'a str,
        audiences: &'a [String],
    ) -> BoxFuture<'a, Result<Option<Authenticated>, Refused>>;
}
