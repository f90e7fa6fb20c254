//! WebSockets (RFC 6455): the handshake, the subprotocol that carries a token, and the stream that a connection becomes.

use crate::body::{self, Body};
use crate::limits::{WEBSOCKET_MESSAGE_MAX, WEBSOCKET_WRITE_BUFFER};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::header::{
    AUTHORIZATION, CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use sampan_api::Status;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

/// A connection that has become a WebSocket.
pub(crate) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// The subprotocol with a token in it, for clients that can set no header: what follows is the token in base64url.
const BEARER: &str = "base64url.bearer.authorization.k8s.io.";
/// The version of the protocol that is spoken.
const VERSION: &str = "13";
/// Bytes that a client's key stands for.
const KEY_BYTES: usize = 16;

/// Whether a request asks to become a WebSocket.
pub(crate) fn is_asked_for(headers: &HeaderMap) -> bool {
    has_word(headers, &CONNECTION, "upgrade") && has_word(headers, &UPGRADE, "websocket")
}

fn words<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|word| !word.is_empty())
}

fn has_word(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    words(headers, name).any(|one| one.eq_ignore_ascii_case(word))
}

/// Makes an `Authorization` header of the token that a WebSocket's subprotocols carry, and takes it out of them.
///
/// # Errors
/// What is wrong with the token's subprotocol, in k8s.io/apiserver's words.
pub(crate) fn take_bearer(headers: &mut HeaderMap) -> Result<(), &'static str> {
    if !is_asked_for(headers) || headers.contains_key(AUTHORIZATION) {
        return Ok(());
    }
    let is_token = |word: &&str| word.starts_with(BEARER);
    let tokens: Vec<&str> =
        words(headers, &SEC_WEBSOCKET_PROTOCOL).filter(is_token).map(|word| &word[BEARER.len()..]).collect();
    let token = match tokens.as_slice() {
        [] => return Ok(()),
        [token] => *token,
        _ => return Err("multiple base64.bearer.authorization tokens specified"),
    };
    let token = URL_SAFE_NO_PAD.decode(token).map_err(|_| "invalid base64.bearer.authorization token encoding")?;
    let token = String::from_utf8(token).map_err(|_| "invalid base64.bearer.authorization token")?;
    let rest: Vec<&str> = words(headers, &SEC_WEBSOCKET_PROTOCOL).filter(|word| !is_token(word)).collect();
    // One must be left to be named in the answer.
    if rest.is_empty() {
        return Err("missing additional subprotocol");
    }
    let rest = HeaderValue::from_str(&rest.join(",")).map_err(|_| "invalid subprotocols")?;
    let mut bearer =
        HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| "invalid base64.bearer.authorization token")?;
    bearer.set_sensitive(true);
    headers.insert(SEC_WEBSOCKET_PROTOCOL, rest);
    headers.insert(AUTHORIZATION, bearer);
    Ok(())
}

/// A handshake that holds.
pub(crate) struct Handshake {
    accept: String,
    protocol: Option<HeaderValue>,
    connection: OnUpgrade,
}

/// Reads the handshake of a request that [`is_asked_for`]. Of several subprotocols the first is spoken: a watch is the same
/// in all of them.
///
/// # Errors
/// 400, when it is none of this version, or came over a connection that cannot become something else.
pub(crate) fn handshake(parts: &Parts) -> Result<Handshake, Status> {
    if !has_word(&parts.headers, &SEC_WEBSOCKET_VERSION, VERSION) {
        return Err(Status::bad_request("only version 13 of WebSockets is served"));
    }
    let key = parts
        .headers
        .get(SEC_WEBSOCKET_KEY)
        .filter(|key| STANDARD.decode(key.as_bytes()).is_ok_and(|bytes| bytes.len() == KEY_BYTES));
    let key = key.ok_or_else(|| Status::bad_request("Sec-WebSocket-Key is no key of a WebSocket"))?;
    let connection = parts.extensions.get::<OnUpgrade>().cloned();
    let connection =
        connection.ok_or_else(|| Status::bad_request("a WebSocket begins on a connection of HTTP/1.1 of its own"))?;
    let protocol = words(&parts.headers, &SEC_WEBSOCKET_PROTOCOL).next().map(HeaderValue::from_str);
    let protocol = protocol.transpose().map_err(|_| Status::bad_request("a subprotocol is no name"))?;
    Ok(Handshake { accept: derive_accept_key(key.as_bytes()), protocol, connection })
}

impl Handshake {
    /// The answer, after which the connection is a WebSocket, and the way to that.
    pub fn accept(self) -> (Response<Body>, OnUpgrade) {
        let mut response = Response::new(body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        if let Ok(accept) = HeaderValue::from_str(&self.accept) {
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        }
        if let Some(protocol) = self.protocol {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        (response, self.connection)
    }
}

/// The WebSocket that a connection becomes once the answer has been sent. `None`: it ended before.
pub(crate) async fn open(connection: OnUpgrade) -> Option<Socket> {
    let upgraded = connection.await.ok()?;
    let config = WebSocketConfig::default()
        .max_message_size(Some(WEBSOCKET_MESSAGE_MAX))
        .max_frame_size(Some(WEBSOCKET_MESSAGE_MAX))
        .read_buffer_size(WEBSOCKET_MESSAGE_MAX)
        .write_buffer_size(0)
        .max_write_buffer_size(WEBSOCKET_WRITE_BUFFER);
    Some(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(protocols: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, HeaderValue::from_static("keep-alive, Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("WebSocket"));
        for protocol in protocols {
            headers.append(SEC_WEBSOCKET_PROTOCOL, protocol.parse().expect("a header value"));
        }
        headers
    }

    #[test]
    fn a_subprotocol_may_carry_the_token() {
        let token = format!("{BEARER}{}", URL_SAFE_NO_PAD.encode("a-token"));
        let check = |protocols: &[&str], expected: Result<(Option<&str>, &str), &str>| {
            let mut headers = headers(protocols);
            let outcome = take_bearer(&mut headers).map(|()| {
                let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
                (text(AUTHORIZATION).map(str::to_owned), text(SEC_WEBSOCKET_PROTOCOL).unwrap_or("").to_owned())
            });
            let expected = expected.map(|(bearer, rest)| (bearer.map(str::to_owned), rest.to_owned()));
            assert_eq!(outcome, expected, "{protocols:?}");
        };
        check(&["a, b"], Ok((None, "a, b")));
        check(&[&format!("{token}, a"), "b"], Ok((Some("Bearer a-token"), "a,b")));
        check(&[&token], Err("missing additional subprotocol"));
        check(&[&token, &token, "a"], Err("multiple base64.bearer.authorization tokens specified"));
        check(&[&format!("{BEARER}%"), "a"], Err("invalid base64.bearer.authorization token encoding"));
        check(&[&format!("{BEARER}_w"), "a"], Err("invalid base64.bearer.authorization token"));
        // Only of what asks to become a WebSocket.
        let mut plain = HeaderMap::new();
        plain.insert(SEC_WEBSOCKET_PROTOCOL, token.parse().expect("a header value"));
        assert_eq!((take_bearer(&mut plain), plain.len()), (Ok(()), 1));
    }

    #[test]
    fn handshakes_are_of_version_13_with_a_key() {
        let check = |version: &str, key: &str, message: &str| {
            let request = http::Request::get("/").header(SEC_WEBSOCKET_VERSION, version).header(SEC_WEBSOCKET_KEY, key);
            let (parts, ()) = request.body(()).expect("a request").into_parts();
            let refused = handshake(&parts).err().map(|status| status.message);
            assert_eq!(refused.as_deref(), Some(message));
        };
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        check("8", key, "only version 13 of WebSockets is served");
        check("13", "short", "Sec-WebSocket-Key is no key of a WebSocket");
        check("13", key, "a WebSocket begins on a connection of HTTP/1.1 of its own");
    }
}
