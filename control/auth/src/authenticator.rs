//! The seam between the API server's chain and whoever can tell who is asking.

use bytes::Bytes;
use futures::future::BoxFuture;
use http::HeaderMap;
use parking_lot::Mutex;
use sampan_api::admission::Warnings;
use sampan_api::user::UserInfo;
use std::sync::Arc;
use std::time::SystemTime;

/// What the certificates of a connection come to.
#[derive(Clone, Debug)]
pub(crate) struct Verified {
    /// `None`: they name nobody. An error: why they do not hold.
    pub(crate) user: Result<Option<Arc<UserInfo>>, String>,
    /// When that may change, because one of them begins or ends to hold; `None`: it stays.
    pub(crate) until: Option<SystemTime>,
}

/// The far end of one connection: the certificates that it showed (DER, its own first), of which the handshake has proved
/// that the key is the client's and nothing else, and what they come to, found out once as long as that stays.
#[derive(Debug, Default)]
pub struct Peer {
    /// Its certificates.
    pub certificates: Vec<Bytes>,
    /// Filled by the authenticator that verifies the certificates; later requests of the connection take it from here.
    pub(crate) verified: Mutex<Option<Verified>>,
}

impl Peer {
    /// One that showed these certificates.
    pub fn showing(certificates: Vec<Bytes>) -> Self {
        Self { certificates, verified: Mutex::default() }
    }
}

/// The credentials that a request shows.
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a> {
    pub headers: &'a HeaderMap,
    pub peer: &'a Peer,
    /// What the client is told about them beside the answer.
    pub warnings: &'a Warnings,
}

impl<'a> Credentials<'a> {
    /// The token of `Authorization: Bearer TOKEN`: what stands between the first space and the next one. `None` when there is
    /// no such header, it is of another scheme, or nothing stands there.
    pub fn bearer_token(&self) -> Option<&'a str> {
        self.bearer().map(|(token, _)| token).filter(|token| !token.is_empty())
    }

    /// Whether a second space stands where the token should begin, so that there is none.
    pub fn has_spaced_token(&self) -> bool {
        matches!(self.bearer(), Some(("", Some(_))))
    }

    /// The word after `Bearer`, and what follows it.
    fn bearer(&self) -> Option<(&'a str, Option<&'a str>)> {
        let value = self.headers.get(http::header::AUTHORIZATION)?.to_str().ok()?;
        let mut words = value.trim().splitn(3, ' ');
        let scheme = words.next()?;
        let token = words.next()?;
        scheme.eq_ignore_ascii_case("bearer").then(|| (token, words.next()))
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
    /// What who shows the token is to be told about it.
    pub warning: Option<&'static str>,
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
