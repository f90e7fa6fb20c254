//! A request on its way to the server of its group version, and the answer on its way back (kube-aggregator's
//! `handler_proxy.go`).

use super::{Aggregation, Served, identity};
use crate::body::Body;
use crate::exchange::Exchange;
use crate::limits::PROXIED_BODY_MAX;
use crate::request_info::RequestInfo;
use crate::respond;
use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderName, LOCATION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use sampan_api::{Status, UserInfo};

/// The group and version of a path, resource or not.
pub(crate) fn target(info: &RequestInfo) -> Option<(&str, &str)> {
    if info.is_resource_request() {
        return Some((info.group(), info.version()));
    }
    let mut parts = info.path().trim_matches('/').split('/');
    let found = match parts.next()? {
        "apis" => (parts.next()?, parts.next()?),
        "api" => ("", parts.next()?),
        _ => return None,
    };
    Some(found)
}

const UNAVAILABLE: &str = "service unavailable";

fn plain(code: u16, text: &str) -> Response<Body> {
    let mut response = respond::bytes(code, respond::TEXT, format!("{text}\n"));
    response
        .headers_mut()
        .insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    response
}

/// Has the request answered by the server of its group version.
///
/// # Errors
/// 429, when no seat came free after the other server answered.
pub(crate) async fn forward(
    aggregation: &Aggregation,
    served: &Served,
    exchange: &Exchange,
    user: &UserInfo,
    parts: &Parts,
    body: Body,
) -> Result<Response<Body>, Status> {
    let Some(backend) = served.backend.as_ref().filter(|_| served.available) else {
        return Ok(plain(503, UNAVAILABLE));
    };
    if parts.headers.contains_key(UPGRADE) {
        return Ok(plain(501, "connections to aggregated servers are not upgraded yet"));
    }
    let request = match outgoing(parts, user, body) {
        Ok(request) => request,
        Err(error) => return Ok(plain(500, &error.to_string())),
    };
    Ok(match exchange.aside(aggregation.backends.send(backend, request)).await? {
        Ok(response) => incoming(response),
        Err(error) => {
            tracing::warn!(
                group = served.group,
                version = served.version,
                error,
                "an aggregated server did not answer"
            );
            plain(503, &error)
        }
    })
}

/// Headers that are between two ends of one connection.
const HOP_BY_HOP: [HeaderName; 7] =
    [CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];

fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
    headers.remove("keep-alive");
}

fn outgoing(parts: &Parts, user: &UserInfo, body: Body) -> Result<Request<Body>, http::Error> {
    let path = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let mut request = Request::builder().method(parts.method.clone()).uri(path).body(())?;
    let mut headers = parts.headers.clone();
    strip(&mut headers);
    headers.remove(HOST);
    identity::tell(&mut headers, user)?;
    *request.headers_mut() = headers;
    // Bodies are handed through as they come.
    Ok(request.map(|()| Limited::new(body, PROXIED_BODY_MAX).boxed_unsync()))
}

fn incoming(mut response: Response<Body>) -> Response<Body> {
    if response.status().is_redirection() && response.headers().contains_key(LOCATION) {
        let text = "the backend attempted to redirect this request, which is not permitted";
        let mut refused = respond::bytes(502, respond::TEXT, text);
        refused.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
        return refused;
    }
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return plain(502, "the backend changed the protocol, which is not permitted");
    }
    strip(response.headers_mut());
    response.extensions_mut().clear();
    response
}
