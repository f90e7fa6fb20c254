//! The listener: TCP, TLS, HTTP/1.1 and HTTP/2, with a bound on everything that a stranger can make us hold.

mod connection;
mod pace;
mod places;

use crate::ApiService;
use crate::limits::{
    ACCEPT_PAUSE, CONNECTIONS_MAX, FILES_PER_CONNECTION, LISTEN_BACKLOG, SEND_BUFFER_BYTES, TCP_PROBE_INTERVAL,
    TCP_STALL_MAX,
};
use crate::line::Line;
use connection::{Connection, H2, HTTP_1_1, Http};
use pace::Paced;
use places::Places;
use rustix::net::sockopt;
use sampan_env::{Env, Tasks};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Connections that a listener takes in a process that may open `files` descriptors: the others are for the pods'
/// connections and the log.
pub fn connections_max(files: u64) -> usize {
    usize::try_from(files / FILES_PER_CONNECTION).unwrap_or(usize::MAX).clamp(1, CONNECTIONS_MAX)
}

/// Serves `service` on `listener`, at most `connections` at a time, until `tasks` is cancelled; then connections end
/// after their requests under way, or at the drain's deadline. `tls`: see [`tls_config`].
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    service: ApiService,
    connections: usize,
    env: &Env,
    tasks: &Tasks,
) {
    deepen(&listener);
    let acceptor = tls.map(TlsAcceptor::from);
    let places = Places::new(connections);
    let http = Arc::new(Http::default());
    let stopped = tasks.token().clone();
    loop {
        // Beyond the cap, connections wait in the kernel's backlog: those that are served stay fast.
        let line = Line::new(env);
        let place = tokio::select! {
            () = stopped.cancelled() => return,
            place = places.enter(&line, &stopped) => place,
        };
        let accepted = tokio::select! {
            () = stopped.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                if let Err(error) = tune(&stream) {
                    tracing::debug!(%error, from = %address, "a connection goes without its options");
                }
                line.begins_idle();
                let connection = Connection {
                    address,
                    acceptor: acceptor.clone(),
                    http: http.clone(),
                    service: service.clone(),
                    tasks: tasks.clone(),
                    line,
                    place,
                };
                drop(tasks.spawn(connection.run(Paced::new(stream))));
            }
            Err(error) => {
                // Out of file descriptors, or a connection that was gone before it was taken: the listener is well.
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// A server configuration in the form that this listener wants: both HTTP versions by ALPN.
pub fn tls_config(mut config: rustls::ServerConfig) -> Arc<rustls::ServerConfig> {
    config.alpn_protocols = vec![H2.to_vec(), HTTP_1_1.to_vec()];
    Arc::new(config)
}

/// A listener that listens is told its backlog anew: the standard library's is 128.
fn deepen(listener: &TcpListener) {
    if let Err(error) = rustix::net::listen(listener, LISTEN_BACKLOG) {
        tracing::warn!(%error, "the listener keeps its backlog");
    }
}

/// Sets the kernel's options of a connection.
fn tune(stream: &TcpStream) -> std::io::Result<()> {
    // Answers are written whole: waiting to fill a segment only delays them.
    stream.set_nodelay(true)?;
    // A peer that is gone without a word, or that takes nothing of what is sent to it, is found out by the kernel: it
    // holds neither its connection nor the answers on their way.
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, TCP_PROBE_INTERVAL)?;
    sockopt::set_tcp_keepintvl(stream, TCP_PROBE_INTERVAL)?;
    sockopt::set_tcp_user_timeout(stream, u32::try_from(TCP_STALL_MAX.as_millis()).unwrap_or(u32::MAX))?;
    sockopt::set_socket_send_buffer_size(stream, SEND_BUFFER_BYTES)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::{self, Body};
    use crate::limits::HEADER_TIMEOUT;
    use http::{Request, Response};
    use rustls::pki_types::ServerName;
    use std::time::Duration;
    use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

    const ALL: usize = 64 * 1024;

    fn tls() -> (Arc<rustls::ServerConfig>, rustls::ClientConfig) {
        let pair = sampan_testing::tls::pair();
        (tls_config(pair.server), pair.client)
    }

    #[tokio::test]
    async fn a_burst_waits_in_the_kernels_backlog() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("as tokio wants it");
        let listener = TcpListener::from_std(listener).expect("a listener");
        deepen(&listener);
        let address = listener.local_addr().expect("an address");
        let most = std::fs::read_to_string("/proc/sys/net/core/somaxconn").expect("a limit of the system");
        let count = most.trim().parse::<usize>().expect("a number").min(400);
        // What the kernel has no place for is asked for again after a second.
        let connect = |_| std::net::TcpStream::connect_timeout(&address, Duration::from_millis(900));
        let waiting: Result<Vec<_>, _> = (0..count).map(connect).collect();
        assert_eq!(waiting.expect("nobody is turned away").len(), count);
    }

    /// Opens a connection that names `alpn`, sends `first`, and tells how long it was kept.
    async fn kept(alpn: &[&[u8]], first: &[u8]) -> Duration {
        let (server, mut client) = tls();
        client.alpn_protocols = alpn.iter().map(|one| one.to_vec()).collect();
        let tasks = Tasks::new("test");
        let env = Env::simulated(1, std::time::SystemTime::UNIX_EPOCH);
        let line = Line::new(&env);
        let places = Places::new(1);
        let answer = tower::service_fn(async |_: Request<Body>| Ok(Response::new(body::full("ok"))));
        let connection = Connection {
            address: "127.0.0.1:1".parse().expect("an address"),
            acceptor: Some(TlsAcceptor::from(server)),
            http: Arc::new(Http::default()),
            service: ApiService::new(tower::util::MapFuture::new(answer, |future| -> futures::future::BoxFuture<_> {
                Box::pin(future)
            })),
            tasks: tasks.clone(),
            place: places.enter(&line, tasks.token()).await,
            line,
        };
        let (here, there) = tokio::io::duplex(ALL);
        let began = env.instant();
        let served = tasks.spawn(connection.run(there));
        let name = ServerName::try_from("localhost").expect("a name");
        let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
        let mut stream = connector.connect(name, here).await.expect("a handshake");
        stream.write_all(first).await.expect("sent");
        served.await.expect("it ends");
        let newcomer = Line::new(&env);
        let again = tokio::time::timeout(Duration::from_millis(1), places.enter(&newcomer, tasks.token()));
        assert!(again.await.is_ok(), "its place is free again");
        let mut rest = Vec::new();
        // The server may have gone without TLS's own farewell.
        stream.read_to_end(&mut rest).await.ok();
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_for_nothing_is_let_go() {
        let check = async |alpn: &[&[u8]], first: &[u8], at_once: bool| {
            let kept = kept(alpn, first).await;
            let expected = if at_once { Duration::ZERO } else { HEADER_TIMEOUT };
            assert!(kept >= expected && kept < expected + Duration::from_secs(1), "{alpn:?} {first:?}: {kept:?}");
        };
        for alpn in [&[][..], &[HTTP_1_1], &[H2], &[H2, HTTP_1_1]] {
            check(alpn, b"", false).await;
        }
        check(&[H2], b"PRI * ", false).await;
        check(&[HTTP_1_1], b"GET / HT", false).await;
        // The preface, and settings: a whole HTTP/2 connection without a stream.
        check(&[H2], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", false).await;
        // HTTP/2 is spoken only where it was agreed on (ALPN).
        check(&[], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", true).await;
    }

    #[tokio::test]
    async fn the_kernel_finds_out_who_takes_nothing() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let stream = TcpStream::connect(listener.local_addr().expect("an address")).await.expect("a connection");
        tune(&stream).expect("every option is there");
        assert_eq!(u128::from(sockopt::tcp_user_timeout(&stream).expect("read")), TCP_STALL_MAX.as_millis());
        assert!(sockopt::socket_keepalive(&stream).expect("read"));
        // The kernel counts its own records too, and may have a lower bound.
        assert!(sockopt::socket_send_buffer_size(&stream).expect("read") <= 2 * SEND_BUFFER_BYTES);
    }

    #[test]
    fn connections_leave_files_for_the_rest() {
        let check = |files: u64, expected: usize| assert_eq!(connections_max(files), expected, "{files}");
        check(0, 1);
        check(1024, 512);
        check(1_048_576, CONNECTIONS_MAX);
        check(u64::MAX, CONNECTIONS_MAX);
    }

    /// A server of one connection, whose answers go through the outermost step of the chain.
    struct Server {
        served: tokio::task::JoinHandle<()>,
        ledgers: crate::line::Ledgers,
        env: Env,
        tasks: Tasks,
    }

    /// Time that `/slow` takes.
    const SLOW: Duration = Duration::from_secs(3);

    /// The client's end of a connection that speaks `alpn` to a server whose answers are of `size` bytes.
    async fn connected(alpn: &[u8], size: usize) -> (Server, impl AsyncRead + AsyncWrite + Unpin + Send + use<>) {
        use crate::chain::{FilterLayer, Next, Receive};
        use tower::Layer;
        let (env, tasks) = (Env::simulated(1, std::time::SystemTime::UNIX_EPOCH), Tasks::new("test"));
        let ledgers = crate::line::Ledgers::default();
        let inner = Next::new(move |request| {
            Box::pin(async move {
                if request.uri().path() == "/slow" {
                    tokio::time::sleep(SLOW).await;
                }
                Response::new(body::full(vec![b'x'; size]))
            })
        });
        let receive = Receive { env: env.clone(), metrics: Arc::default(), ledgers: ledgers.clone() };
        let (line, places) = (Line::new(&env), Places::new(4));
        let (server, mut client) = tls();
        let connection = Connection {
            address: "127.0.0.1:1".parse().expect("an address"),
            acceptor: Some(TlsAcceptor::from(server)),
            http: Arc::new(Http::default()),
            service: ApiService::new(FilterLayer::new(receive).layer(inner)),
            tasks: tasks.clone(),
            place: places.enter(&line, tasks.token()).await,
            line,
        };
        client.alpn_protocols = vec![alpn.to_vec()];
        let (here, there) = tokio::io::duplex(ALL);
        let served = tasks.spawn(connection.run(there));
        let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = connector.connect(name, here).await.expect("a handshake");
        (Server { served, ledgers, env, tasks }, stream)
    }

    /// An HTTP/2 connection; the client answers pings by itself and opens windows of `window` bytes.
    async fn two(size: usize, window: u32) -> (Server, hyper::client::conn::http2::SendRequest<Body>) {
        let (server, stream) = connected(H2, size).await;
        let (send, driver) = hyper::client::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new())
            .timer(hyper_util::rt::TokioTimer::new())
            .initial_stream_window_size(window)
            .handshake(hyper_util::rt::TokioIo::new(stream))
            .await
            .expect("a connection");
        drop(server.tasks.spawn(async move { drop(driver.await) }));
        (server, send)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_under_way_when_the_server_stops_is_answered() {
        let slow = || Request::get("https://localhost/slow").body(body::empty()).expect("a request");
        let (server, mut send) = two(3, 65_535).await;
        let stop = async {
            tokio::time::sleep(SLOW / 3).await;
            server.tasks.token().cancel();
        };
        let (answer, ()) = tokio::join!(send.send_request(slow()), stop);
        let answer = answer.expect("answered");
        drop(http_body_util::BodyExt::collect(answer.into_body()).await.expect("whole"));
        server.served.await.expect("it ends");

        let (server, mut stream) = connected(HTTP_1_1, 3).await;
        stream.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
        tokio::time::sleep(SLOW / 3).await;
        server.tasks.token().cancel();
        let mut answer = Vec::new();
        // The server may have gone without TLS's own farewell.
        stream.read_to_end(&mut answer).await.ok();
        assert!(answer.starts_with(b"HTTP/1.1 200") && answer.ends_with(b"xxx"), "{}", answer.escape_ascii());
        server.served.await.expect("it ends");
    }

    #[tokio::test(start_paused = true)]
    async fn no_tunnel_is_opened() {
        let (_server, mut send) = two(3, 65_535).await;
        let tunnel = Request::connect("localhost:443").body(body::empty()).expect("a request");
        assert_eq!(send.send_request(tunnel).await.expect("answered").status(), 404);
        assert_eq!(send.send_request(get()).await.expect("the connection lives").status(), 200);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_finds_connections_that_were_told_to_go() {
        use crate::limits::{GOAWAY_PATIENCE, IDLE_TIMEOUT};
        let (server, mut send) = two(3, 65_535).await;
        let answer = send.send_request(get()).await.expect("answered");
        drop(http_body_util::BodyExt::collect(answer.into_body()).await.expect("whole"));
        tokio::time::sleep(IDLE_TIMEOUT + GOAWAY_PATIENCE / 2).await;
        server.tasks.token().cancel();
        tokio::time::timeout(GOAWAY_PATIENCE, server.served).await.expect("no longer than it had").expect("it ends");
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_of_an_answer_loses_the_connection() {
        use crate::limits::ANSWER_STALL_MAX;
        let (server, mut stream) = connected(HTTP_1_1, 32 * ALL).await;
        let began = server.env.instant();
        stream.write_all(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
        server.served.await.expect("it ends");
        let kept = began.elapsed();
        assert!(kept >= ANSWER_STALL_MAX && kept <= ANSWER_STALL_MAX * 2, "{kept:?}");
        assert_eq!(server.ledgers.answers.held(), 0, "nothing is held for it");
    }

    fn get() -> Request<Body> {
        Request::get("https://localhost/x").body(body::empty()).expect("a request")
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_ends_though_it_answers_pings() {
        use crate::limits::{GOAWAY_PATIENCE, IDLE_TIMEOUT};
        let (two, mut send) = two(3, 65_535).await;
        let answer = send.send_request(get()).await.expect("answered");
        drop(http_body_util::BodyExt::collect(answer.into_body()).await.expect("whole"));
        let began = two.env.instant();
        two.served.await.expect("it ends");
        let kept = began.elapsed();
        assert!(kept >= IDLE_TIMEOUT && kept <= IDLE_TIMEOUT + 2 * GOAWAY_PATIENCE, "{kept:?}");
        assert!(send.send_request(get()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_takes_nothing_is_cut_and_others_go_on() {
        use crate::limits::{ANSWER_STALL_MAX, CUTS_PER_CONNECTION_MAX};
        let (two, mut send) = two(200_000, 1000).await;
        let mut stalled = Vec::new();
        for _ in 0..CUTS_PER_CONNECTION_MAX {
            stalled.push(send.send_request(get()).await.expect("begun"));
        }
        assert!(two.ledgers.answers.held() > 0);
        tokio::time::sleep(ANSWER_STALL_MAX * 3 / 2).await;
        for answer in stalled {
            assert!(http_body_util::BodyExt::collect(answer.into_body()).await.is_err(), "it does not look whole");
        }
        assert_eq!(two.ledgers.answers.held(), 0, "what the transport held is let go");
        let whole = send.send_request(get()).await.expect("the connection lives");
        let whole = http_body_util::BodyExt::collect(whole.into_body()).await.expect("whole").to_bytes();
        assert_eq!(whole.len(), 200_000);
        // One cut more, and the connection goes with it.
        let last = send.send_request(get()).await.expect("begun");
        two.served.await.expect("it ends");
        drop((last, two.tasks));
        assert_eq!(two.ledgers.answers.held(), 0);
    }
}
