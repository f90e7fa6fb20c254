//! Says hello over HTTP, and writes a line a request to its log. Each request has an instance of its own.
//!
//! A component: for the host it is an empty library, since its imports have nothing to link to there.
#![cfg(target_family = "wasm")]

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{Fields, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam};

#[cfg(not(feature = "v2"))]
const GREETING: &str = "Hello";
#[cfg(feature = "v2")]
const GREETING: &str = "Hello again (v2)";

fn name_of(method: &Method) -> &str {
    match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Connect => "CONNECT",
        Method::Options => "OPTIONS",
        Method::Trace => "TRACE",
        Method::Patch => "PATCH",
        Method::Other(name) => name,
    }
}

struct Hello;

impl Guest for Hello {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let pod = std::env::var("POD_NAME").unwrap_or_else(|_| "a pod".into());
        let path = request.path_with_query().unwrap_or_else(|| "/".into());
        let text = format!("{GREETING} from {pod} at {path}\n");
        println!("{} {path}", name_of(&request.method()));

        let headers = Fields::new();
        if headers.append("content-type", b"text/plain; charset=utf-8").is_err() {
            return;
        }
        let response = OutgoingResponse::new(headers);
        let Ok(body) = response.body() else { return };
        ResponseOutparam::set(out, Ok(response));
        let Ok(stream) = body.write() else { return };
        // A client that went away needs no answer.
        if stream.blocking_write_and_flush(text.as_bytes()).is_ok() {
            drop(stream);
            drop(OutgoingBody::finish(body, None));
        }
    }
}

wasip2::http::proxy::export!(Hello);
