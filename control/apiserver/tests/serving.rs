//! The listener: TLS with both HTTP versions offered, who is at the other end, and an end that lets requests finish.

mod support;

use rustls::pki_types::ServerName;
use sampan_apiserver::limits::{CONNECTIONS_MAX, DRAIN_DEADLINE};
use sampan_env::{Env, Tasks};
use std::sync::Arc;
use std::time::Duration;
use support::{Server, server};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

/// A server and its listener, each with an owner of its own, as the product wires them.
struct Listening {
    port: u16,
    server: Server,
    listener: Tasks,
    connector: TlsConnector,
}

async fn listening() -> Listening {
    let pair = sampan_testing::tls::pair();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let server = server().await;
    let tasks = Tasks::new("listener");
    let (service, owner) = (server.service.clone(), tasks.clone());
    let tls = sampan_apiserver::serve::tls_config(pair.server);
    drop(tasks.spawn(async move {
        sampan_apiserver::serve::serve(listener, Some(tls), service, CONNECTIONS_MAX, &Env::system(), &owner).await;
    }));
    Listening { port, server, listener: tasks, connector: TlsConnector::from(Arc::new(pair.client)) }
}

impl Listening {
    async fn connect(&self) -> impl AsyncRead + AsyncWrite + Unpin {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.expect("a connection");
        let name = ServerName::try_from("localhost").expect("a name");
        self.connector.connect(name, stream).await.expect("a handshake")
    }
}

async fn ask(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), request: &str) -> String {
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut out = vec![0; 64 * 1024];
    let read =
        tokio::time::timeout(Duration::from_secs(10), stream.read(&mut out)).await.expect("in time").expect("read");
    String::from_utf8_lossy(&out[..read]).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_over_tls_is_answered_and_the_connection_kept() {
    let listening = listening().await;
    let mut stream = listening.connect().await;
    for _ in 0..2 {
        let answer = ask(&mut stream, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("ok"), "{answer}");
    }
    // No identity can be given in a header: extensions are this process's alone.
    let answer =
        ask(&mut stream, "GET /api/v1/namespaces HTTP/1.1\r\nHost: localhost\r\nUserInfo: admin\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    let answer =
        ask(&mut stream, "GET /api/v1/namespaces HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer admin\r\n\r\n")
            .await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_closes_watches_and_idle_connections() {
    let listening = listening().await;
    let mut watching = listening.connect().await;
    let request = "GET /api/v1/namespaces?watch=1&resourceVersion=0 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer admin\r\n\r\n";
    let answer = ask(&mut watching, request).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let mut idle = listening.connect().await;
    assert!(ask(&mut idle, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.ends_with("ok"));
    let ready = async || listening.server.get("/readyz?verbose").await;
    assert_eq!(ready().await.code, 200);
    listening.server.stopping.cancel();
    let ending = ready().await;
    assert_eq!((ending.code, ending.text().contains("[-]shutdown failed")), (500, true), "{}", ending.text());
    // What is no watch goes on being answered until the listener ends.
    assert!(ask(&mut idle, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.ends_with("ok"));
    let drained = listening.listener.drain(DRAIN_DEADLINE / 2).await;
    assert!(drained.is_ok(), "{drained:?}");
    let mut rest = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(5), watching.read_to_end(&mut rest)).await;
    assert!(end.is_ok(), "the watch was ended");
    let drained = listening.server.tasks.drain(DRAIN_DEADLINE / 2).await;
    assert!(drained.is_ok(), "{drained:?}");
}
