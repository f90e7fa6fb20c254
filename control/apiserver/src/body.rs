//! The bodies of both directions, and how to read one whole without being flooded.

use crate::limits::{BODY_TIMEOUT, REFUSED_BODY_BYTES_MAX, REFUSED_BODY_TIME};
use bytes::{Bytes, BytesMut};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use sampan_api::Status;
use sampan_api::limits::REQUEST_BODY_MAX;

/// The error of a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// The body type on both sides of the service, in process and out of it.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A body of these bytes.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body of none.
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

pub(crate) fn too_large() -> Status {
    Status::request_entity_too_large(&format!("limit is {REQUEST_BODY_MAX}"))
}

/// Reads on in a body that was refused, and drops what comes: who sends all before reading anything would be told of a
/// stream or a connection that was reset, and not why (RFC 9113, 8.1). At most [`REFUSED_BODY_BYTES_MAX`] bytes, for
/// [`REFUSED_BODY_TIME`].
pub(crate) async fn discard(mut body: Body) {
    let rest = async {
        let mut left = REFUSED_BODY_BYTES_MAX;
        while let Some(Ok(frame)) = body.frame().await {
            let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { return };
            left = rest;
        }
    };
    // Whoever sends longer has its stream reset.
    tokio::time::timeout(REFUSED_BODY_TIME, rest).await.unwrap_or_default();
}

/// Reads the body of somebody whom this process trusts: at most [`REQUEST_BODY_MAX`] bytes within [`BODY_TIMEOUT`].
pub(crate) async fn read_trusted(body: Body) -> Result<Bytes, Status> {
    tokio::time::timeout(BODY_TIMEOUT, collect(body, |_| Ok(()))).await.unwrap_or_else(|_| Err(late()))
}

pub(crate) fn late() -> Status {
    Status::timeout("the body of the request did not arrive in time", 1)
}

/// Collects the frames of a whole body; `arrived` is told how many bytes there are with each, and may refuse them.
pub(crate) async fn collect(mut body: Body, arrived: impl FnMut(usize) -> Result<(), Status>) -> Result<Bytes, Status> {
    collect_from(&mut body, arrived).await
}

/// As [`collect`], and leaves what was not read.
pub(crate) async fn collect_from(
    body: &mut Body,
    mut arrived: impl FnMut(usize) -> Result<(), Status>,
) -> Result<Bytes, Status> {
    // Most bodies are one frame: then its bytes are the body and nothing is copied.
    let mut first: Option<Bytes> = None;
    let mut rest: Option<BytesMut> = None;
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|error| Status::bad_request(format!("the body of the request broke off: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        let so_far = rest.as_ref().map_or_else(|| first.as_ref().map_or(0, Bytes::len), BytesMut::len);
        if so_far + data.len() > REQUEST_BODY_MAX {
            return Err(too_large());
        }
        arrived(so_far + data.len())?;
        match (&mut first, &mut rest) {
            (_, Some(all)) => all.extend_from_slice(&data),
            (None, None) => first = Some(data),
            (Some(one), None) => {
                let mut all = BytesMut::with_capacity(one.len() + data.len());
                all.extend_from_slice(one);
                all.extend_from_slice(&data);
                rest = Some(all);
            }
        }
    }
    Ok(rest.map(BytesMut::freeze).or(first).unwrap_or_default())
}
