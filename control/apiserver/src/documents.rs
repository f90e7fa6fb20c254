//! Documents at fixed paths that are the same for everybody and may be kept by caches: those of OpenID Connect Discovery.

use crate::body::Body;
use crate::limits::DOCUMENT_MAX_AGE_SECONDS;
use crate::negotiate::Output;
use crate::{ApiService, Route, respond};
use http::header::CACHE_CONTROL;
use http::{HeaderValue, Method, Request, Response};
use sampan_auth::service_account::Document;
use std::convert::Infallible;

/// A route that answers with the document.
pub fn route(document: Document) -> Route {
    let prefix = document.path.to_owned();
    let answer = tower::service_fn(move |request: Request<Body>| {
        let answer = answer(&document, &request);
        std::future::ready(Ok::<_, Infallible>(answer))
    });
    Route { prefix, service: ApiService::new(answer) }
}

fn answer(document: &Document, request: &Request<Body>) -> Response<Body> {
    if request.uri().path().trim_end_matches('/') != document.path {
        return respond::page_not_found();
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return respond::status(&respond::method_not_allowed(), Output::JSON);
    }
    let mut response = respond::bytes(200, document.content_type, document.json.clone());
    let max_age = format!("public, max-age={DOCUMENT_MAX_AGE_SECONDS}");
    if let Ok(value) = HeaderValue::try_from(max_age) {
        response.headers_mut().insert(CACHE_CONTROL, value);
    }
    response
}
