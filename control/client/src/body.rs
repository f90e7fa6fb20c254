use crate::error::Error;
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::{BodyExt, Empty, Full};
use std::convert::Infallible;

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of both sides of the API server's service.
pub type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>;

/// The API server in this process: its whole chain, authentication aside (the caller's `UserInfo` is in the extensions).
pub type ApiService = tower::util::BoxCloneSyncService<http::Request<Body>, http::Response<Body>, Infallible>;

pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// Reads a body whole.
///
/// # Errors
/// `TooLarge` when it has more than `max` bytes; `Transport` when it breaks off.
pub async fn collect(mut body: Body, max: usize) -> Result<Bytes, Error> {
    if body.size_hint().lower() > max as u64 {
        return Err(Error::TooLarge { what: "response body", max });
    }
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(Error::transport)?.into_data() else { continue };
        if first.as_ref().map_or(0, Bytes::len) + rest.len() + data.len() > max {
            return Err(Error::TooLarge { what: "response body", max });
        }
        match &first {
            None => first = Some(data),
            Some(head) => {
                if rest.is_empty() {
                    rest.extend_from_slice(head);
                    first = Some(Bytes::new());
                }
                rest.extend_from_slice(&data);
            }
        }
    }
    Ok(if rest.is_empty() { first.unwrap_or_default() } else { rest.freeze() })
}
