//! Watches over WebSockets, through the listener.

mod support;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::StreamExt;
use sampan_apiserver::limits::{CONNECTIONS_MAX, DRAIN_DEADLINE};
use sampan_env::{Env, Tasks};
use serde_json::{Value, json};
use std::time::Duration;
use support::{CONFIG_MAPS, Server, config_map, server};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

const BEARER: &str = "base64url.bearer.authorization.k8s.io.";

/// A server, and its listener without TLS.
struct Listening {
    port: u16,
    server: Server,
    listener: Tasks,
}

async fn listening() -> Listening {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let server = server().await;
    let tasks = Tasks::new("listener");
    let (service, owner) = (server.service.clone(), tasks.clone());
    drop(tasks.spawn(async move {
        sampan_apiserver::serve::serve(listener, None, service, CONNECTIONS_MAX, &Env::system(), &owner).await;
    }));
    Listening { port, server, listener: tasks }
}

type Opened = (WebSocketStream<TcpStream>, String);

impl Listening {
    /// Opens a WebSocket with these subprotocols: it, and the one that the server chose. Error: the code of a refusal.
    async fn open(&self, path: &str, protocols: &[&str]) -> Result<Opened, u16> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.expect("a connection");
        let mut request = format!("ws://127.0.0.1:{}{path}", self.port).into_client_request().expect("a request");
        let protocols = protocols.join(", ").parse().expect("a header value");
        request.headers_mut().insert("sec-websocket-protocol", protocols);
        match tokio_tungstenite::client_async(request, stream).await {
            Ok((socket, response)) => {
                let chosen = response.headers().get("sec-websocket-protocol");
                let chosen = chosen.and_then(|value| value.to_str().ok()).unwrap_or("").to_owned();
                assert!(response.headers().contains_key("audit-id"));
                Ok((socket, chosen))
            }
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(other) => panic!("{other}"),
        }
    }
}

/// The next message.
async fn next(socket: &mut WebSocketStream<TcpStream>) -> Message {
    let next = tokio::time::timeout(Duration::from_secs(10), socket.next()).await.expect("in time");
    next.expect("not the end").expect("a message")
}

async fn event(socket: &mut WebSocketStream<TcpStream>) -> Value {
    let message = next(socket).await;
    serde_json::from_str(message.to_text().expect("text")).expect("JSON")
}

fn bearer(token: &str) -> String {
    format!("{BEARER}{}", URL_SAFE_NO_PAD.encode(token))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_is_a_message_and_the_token_a_subprotocol() {
    let listening = listening().await;
    listening.server.create(CONFIG_MAPS, &config_map("a")).await;
    let path = format!("{CONFIG_MAPS}?watch=1");
    let token = bearer("admin");
    let (mut socket, chosen) = listening.open(&path, &[&token, "v1.watch"]).await.expect("a WebSocket");
    assert_eq!(chosen, "v1.watch");
    let first = event(&mut socket).await;
    assert_eq!((&first["type"], &first["object"]["metadata"]["name"]), (&json!("ADDED"), &json!("a")));
    listening.server.create(CONFIG_MAPS, &config_map("b")).await;
    listening.server.create(CONFIG_MAPS, &config_map("c")).await;
    for name in ["b", "c"] {
        assert_eq!(event(&mut socket).await["object"]["metadata"]["name"], name);
    }
    // The server stops: the watch is closed properly, and the listener's end waits for nothing.
    listening.server.stopping.cancel();
    assert!(matches!(next(&mut socket).await, Message::Close(_)));
    assert!(listening.listener.drain(DRAIN_DEADLINE / 2).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_form_may_be_named_in_the_query() {
    let listening = listening().await;
    listening.server.create(CONFIG_MAPS, &config_map("a")).await;
    let token = bearer("admin");
    let open = async |query: &str| listening.open(&format!("{CONFIG_MAPS}?watch=1&{query}"), &[&token, "x"]).await;
    let table = "accept=application/json%3Bas=Table%3Bv=v1%3Bg=meta.k8s.io";
    let (mut socket, _) = open(&format!("{table}&includeObject=Object")).await.expect("a WebSocket");
    let first = event(&mut socket).await;
    assert_eq!(
        (&first["object"]["kind"], &first["object"]["rows"][0]["object"]["data"]),
        (&json!("Table"), &json!({"k": "v"}))
    );
    let (mut socket, _) = open("accept=application/vnd.kubernetes.protobuf").await.expect("a WebSocket");
    let Message::Binary(bytes) = next(&mut socket).await else { panic!("protobuf comes as bytes") };
    assert!(String::from_utf8_lossy(&bytes).contains("ADDED"));
    assert_eq!(open("accept=application/yaml").await.err(), Some(406));
    // Its time is the watch's own.
    let (mut socket, _) = open("timeoutSeconds=1&resourceVersion=1").await.expect("a WebSocket");
    let mut last = next(&mut socket).await;
    while last.is_text() {
        last = next(&mut socket).await;
    }
    assert!(matches!(last, Message::Close(_)), "{last:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_token_opens_nothing() {
    let listening = listening().await;
    let path = format!("{CONFIG_MAPS}?watch=1");
    let refused = async |protocols: &[&str]| listening.open(&path, protocols).await.err();
    assert_eq!(refused(&["x"]).await, Some(401));
    assert_eq!(refused(&[&bearer("nobody"), "x"]).await, Some(401));
    assert_eq!(refused(&[&bearer("admin")]).await, Some(401), "no other subprotocol is there to answer with");
    let list = listening.open(CONFIG_MAPS, &[&bearer("admin"), "x"]).await.err();
    assert_eq!(list, Some(200), "what is no watch is answered as ever");
}
