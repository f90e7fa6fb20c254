//! Answers: headers that every one has, Status where a request is refused, compression where it was asked for.

use crate::answer::SharedBytes;
use crate::body::{self, Body};
use crate::encode;
use crate::limits::{ANSWER_PIECE_BYTES, GZIP_LEVEL, GZIP_MIN_BYTES};
use crate::negotiate::Output;
use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use sampan_api::{Reason, Status, StatusDetails};
use sampan_schema::ObjectType;
use serde_json::Value;
use std::io::Write as _;

/// Content type of an answer that people read.
pub const TEXT: &str = "text/plain; charset=utf-8";

/// An answer with a body of that type.
pub fn bytes(code: u16, content_type: &'static str, bytes: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(body::full(bytes));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// The answer, whose type no browser is to guess (Go's `http.Error`).
pub fn unsniffed(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// An answer whose bytes are shared with others: nothing is copied.
pub fn parts<const N: usize>(code: u16, content_type: &'static str, parts: [Bytes; N]) -> Response<Body> {
    let length = parts.iter().map(Bytes::len).sum::<usize>();
    let mut frames = Vec::new();
    for mut part in parts {
        while !part.is_empty() {
            frames.push(Ok(Frame::data(part.split_to(part.len().min(ANSWER_PIECE_BYTES)))));
        }
    }
    let body = StreamBody::new(futures::stream::iter(frames));
    let mut response = stream(code, content_type, Coding::Plain, BodyExt::boxed_unsync(body));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    response.extensions_mut().insert(SharedBytes);
    response
}

/// The compression of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Plain,
    Gzip,
}

/// The compression that the caller accepts for large answers.
pub fn coding(headers: &HeaderMap) -> Coding {
    if accepts_gzip(headers) { Coding::Gzip } else { Coding::Plain }
}

/// An answer that comes in pieces; packed ones say so.
pub fn stream(code: u16, content_type: &'static str, coding: Coding, body: Body) -> Response<Body> {
    let mut response = bytes(code, content_type, Bytes::new());
    *response.body_mut() = body;
    if coding == Coding::Gzip {
        response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        response.headers_mut().insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    response
}

/// Whether an answer of this size, bytes, is packed.
pub fn packs(headers: &HeaderMap, length: usize) -> bool {
    length >= GZIP_MIN_BYTES && accepts_gzip(headers)
}

/// Bytes, packed or not.
#[derive(Clone)]
pub struct Made {
    bytes: Bytes,
    coding: Coding,
}

/// Packs what is large, where that is `wanted`. Work for the compute threads.
pub fn packed(plain: Bytes, wanted: Coding) -> Made {
    if wanted == Coding::Gzip && plain.len() >= GZIP_MIN_BYTES {
        // Writing into memory does not fail; were it to, the plain bytes are as good.
        if let Ok(packed) = gzip(&plain) {
            return Made { bytes: packed.into(), coding: Coding::Gzip };
        }
    }
    Made { bytes: plain, coding: Coding::Plain }
}

impl Made {
    /// Bytes of it.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The answer, of bytes that others hold too.
    pub fn shared(self, code: u16, content_type: &'static str) -> Response<Body> {
        let mut response = self.response(code, content_type);
        response.extensions_mut().insert(SharedBytes);
        response
    }

    /// The answer, which says how its bytes are packed.
    pub fn response(self, code: u16, content_type: &'static str) -> Response<Body> {
        stream(code, content_type, self.coding, body::full(self.bytes))
    }
}

fn gzip(plain: &[u8]) -> std::io::Result<Vec<u8>> {
    let out = Vec::with_capacity(plain.len() / 4);
    let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::new(GZIP_LEVEL));
    encoder.write_all(plain)?;
    encoder.finish()
}

/// Whether the caller takes gzip.
pub fn accepts_gzip(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()) else { return false };
    value.split(',').any(|coding| coding.split(';').next().unwrap_or("").trim().eq_ignore_ascii_case("gzip"))
}

/// Any object that is not stored. `ty`: its type, for a protobuf form.
pub fn object(code: u16, output: Output, ty: Option<&ObjectType>, value: &Value) -> Response<Body> {
    let (content_type, encoded) = encode::value(output, ty, value);
    bytes(code, content_type, encoded)
}

/// A refusal, or the success of a deletion.
pub fn status(status: &Status, output: Output) -> Response<Body> {
    let (content_type, encoded) = encode::status(output, status);
    let mut response = bytes(status.code(), content_type, encoded);
    if let Some(seconds) = status.details.as_ref().and_then(|details| details.retry_after_seconds) {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Adds the headers that every answer carries.
pub fn finish(response: &mut Response<Body>, audit_id: &str, warnings: Vec<String>) {
    let headers = response.headers_mut();
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    }
    if let Ok(mut value) = HeaderValue::from_str(audit_id) {
        // Of one answer only: a place in the connection's table of headers (RFC 7541) would be lost to it, and each
        // answer would search through the ids of those before.
        value.set_sensitive(true);
        headers.insert("audit-id", value);
    }
    let total: usize = warnings.iter().map(String::len).sum();
    for mut text in warnings {
        if total > crate::limits::WARNING_BYTES_MAX && text.len() > crate::limits::WARNING_TEXT_MAX {
            let mut end = crate::limits::WARNING_TEXT_MAX;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
        }
        if let Ok(value) = HeaderValue::from_bytes(warning(&text).as_bytes()) {
            headers.append(http::header::WARNING, value);
        }
    }
}

/// `299 - "text"`, quoted as a header value (apimachinery's NewWarningHeader); control characters do not pass.
fn warning(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 10);
    out.push_str("299 - \"");
    for c in text.chars().filter(|c| !c.is_control()) {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

fn generic(reason: Reason, message: &str) -> Status {
    Status { details: Some(Box::<StatusDetails>::default()), ..Status::failure(reason, message) }
}

/// There is no such path, resource or subresource.
pub fn no_such_resource() -> Status {
    Status::no_such_resource()
}

/// The path is served, but not with this method.
pub fn method_not_allowed() -> Status {
    generic(Reason::MethodNotAllowed, "the server does not allow this method on the requested resource")
}

/// Something that the API has and this server does not do yet, named.
pub fn not_served(what: &str) -> Status {
    Status {
        code: 501,
        reason: "NotImplemented".into(),
        ..Status::failure(Reason::Unknown, format!("{what} is not served yet"))
    }
}

/// The answer at paths that nobody serves.
pub fn page_not_found() -> Response<Body> {
    unsniffed(bytes(404, TEXT, &b"404 page not found\n"[..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_quoted_and_hold_no_control_characters() {
        assert_eq!(warning("unknown field \"a\\b\"\r\nx"), r#"299 - "unknown field \"a\\b\"x""#);
    }

    #[test]
    fn only_large_answers_are_compressed_and_only_when_asked() {
        let check = |asked: &str, size: usize, packed: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, asked.parse().expect("a header value"));
            let response = super::packed(vec![b'x'; size].into(), coding(&headers)).response(200, "application/json");
            assert_eq!(response.headers().contains_key(CONTENT_ENCODING), packed, "{asked} {size}");
        };
        check("gzip", GZIP_MIN_BYTES, true);
        check("br, gzip;q=0.5", GZIP_MIN_BYTES, true);
        check("gzip", GZIP_MIN_BYTES - 1, false);
        check("identity", GZIP_MIN_BYTES, false);
    }
}
