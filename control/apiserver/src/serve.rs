//! The listener: TCP, TLS, HTTP/1.1 and HTTP/2, with a bound on everything that a stranger can make us hold.

use crate::ApiService;
use crate::body::Body;
use crate::limits::{
    ACCEPT_PAUSE, CONNECTIONS_MAX, DRAIN_DEADLINE, FILES_PER_CONNECTION, H2_CONNECTION_WINDOW, H2_FRAME_BYTES_MAX,
    H2_PING_INTERVAL, H2_PING_TIMEOUT, H2_RESET_STREAMS_MAX, H2_SEND_BUFFER_BYTES, H2_STREAM_WINDOW, H2_STREAMS_MAX,
    HEADER_BYTES_MAX, HEADER_TIMEOUT, TCP_PROBE_INTERVAL, TCP_STALL_MAX, TLS_HANDSHAKE_TIMEOUT,
};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::net::sockopt;
use sampan_auth::authenticator::Peer;
use sampan_env::Tasks;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tower::Service;

const H2: &[u8] = b"h2";
const HTTP_1_1: &[u8] = b"http/1.1";

/// The far end's address, in the request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct RemoteAddress(pub SocketAddr);

/// How many connections a listener takes in a process that may open so many files: the rest of them are for the pods'
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
    tasks: &Tasks,
) {
    let acceptor = tls.map(TlsAcceptor::from);
    let connections = Arc::new(Semaphore::new(connections));
    let http = Arc::new(Http::new(tasks));
    let stopped = tasks.token().clone();
    loop {
        // Beyond the cap, connections wait in the kernel's backlog: those that are served stay fast.
        let permit = tokio::select! {
            () = stopped.cancelled() => return,
            permit = connections.clone().acquire_owned() => permit,
        };
        let Ok(permit) = permit else { return };
        let accepted = tokio::select! {
            () = stopped.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                if let Err(error) = tune(&stream) {
                    tracing::debug!(%error, from = %address, "a connection goes without its options");
                }
                let connection = Connection {
                    address,
                    acceptor: acceptor.clone(),
                    http: http.clone(),
                    service: service.clone(),
                    tasks: tasks.clone(),
                    _permit: permit,
                };
                drop(tasks.spawn(connection.run(stream)));
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

/// What the kernel is to do for a connection.
fn tune(stream: &TcpStream) -> std::io::Result<()> {
    // Answers are written whole: waiting to fill a segment only delays them.
    stream.set_nodelay(true)?;
    // A peer that is gone without a word, or that takes nothing of what is sent to it, is found out by the kernel: it
    // holds neither its connection nor the answers on their way.
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, TCP_PROBE_INTERVAL)?;
    sockopt::set_tcp_keepintvl(stream, TCP_PROBE_INTERVAL)?;
    sockopt::set_tcp_user_timeout(stream, u32::try_from(TCP_STALL_MAX.as_millis()).unwrap_or(u32::MAX))?;
    Ok(())
}

/// Both versions of HTTP. ALPN chooses: a peer that names none speaks HTTP/1.1, so nobody's first bytes are waited for
/// without a timer.
struct Http {
    one: http1::Builder,
    two: http2::Builder<OfTasks>,
}

impl Http {
    fn new(tasks: &Tasks) -> Self {
        let mut one = http1::Builder::new();
        one.timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(HEADER_BYTES_MAX)
            .keep_alive(true)
            .pipeline_flush(true);
        let mut two = http2::Builder::new(OfTasks(tasks.clone()));
        two.timer(TokioTimer::new())
            .max_concurrent_streams(H2_STREAMS_MAX)
            .max_pending_accept_reset_streams(H2_RESET_STREAMS_MAX)
            .max_local_error_reset_streams(H2_RESET_STREAMS_MAX)
            .initial_stream_window_size(H2_STREAM_WINDOW)
            .initial_connection_window_size(H2_CONNECTION_WINDOW)
            .max_frame_size(H2_FRAME_BYTES_MAX)
            .max_header_list_size(u32::try_from(HEADER_BYTES_MAX).unwrap_or(u32::MAX))
            .max_send_buf_size(H2_SEND_BUFFER_BYTES)
            .keep_alive_interval(H2_PING_INTERVAL)
            .keep_alive_timeout(H2_PING_TIMEOUT)
            .adaptive_window(false);
        Self { one, two }
    }
}

/// Where hyper runs the streams of an HTTP/2 connection: they are waited for at the drain like their connection, and
/// end with it.
#[derive(Clone)]
struct OfTasks(Tasks);

impl<F> hyper::rt::Executor<F> for OfTasks
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        drop(self.0.spawn(future));
    }
}

struct Connection {
    address: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    http: Arc<Http>,
    service: ApiService,
    tasks: Tasks,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    async fn run<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(self, stream: S) {
        let Some(acceptor) = self.acceptor.clone() else { return self.speak(stream, Peer::default(), false).await };
        match tokio::time::timeout(TLS_HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => {
                let session = stream.get_ref().1;
                let certificates = session.peer_certificates().unwrap_or_default();
                let certificates = certificates.iter().map(|one| Bytes::copy_from_slice(one)).collect();
                let peer = Peer { certificates, ..Peer::default() };
                let h2 = session.alpn_protocol() == Some(H2);
                self.speak(stream, peer, h2).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, from = %self.address, "no TLS"),
            Err(_) => tracing::debug!(from = %self.address, "the TLS handshake took too long"),
        }
    }

    async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(&self, stream: S, peer: Peer, h2: bool) {
        let asked = Arc::new(AtomicBool::new(false));
        let service = TowerToHyperService::new(OfConnection {
            inner: self.service.clone(),
            peer: Arc::new(peer),
            address: RemoteAddress(self.address),
            asked: asked.clone(),
        });
        let io = TokioIo::new(stream);
        let result = if h2 {
            self.drive(self.http.two.serve_connection(io, service), &asked).await
        } else {
            self.drive(self.http.one.serve_connection(io, service).with_upgrades(), &asked).await
        };
        if let Err(error) = result {
            tracing::debug!(%error, from = %self.address, "a connection ended badly");
        }
    }

    async fn drive(&self, connection: impl Conversation, asked: &AtomicBool) -> hyper::Result<()> {
        tokio::pin!(connection);
        // hyper's own timers begin with what the peer sends: of HTTP/2, not before its preface is complete.
        let silent = async {
            tokio::time::sleep(HEADER_TIMEOUT).await;
            if asked.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            result = connection.as_mut() => return result,
            () = self.tasks.token().cancelled() => {}
            () = silent => {
                tracing::debug!(from = %self.address, "a connection asked for nothing");
                return Ok(());
            }
        }
        connection.as_mut().finish();
        tokio::time::timeout(DRAIN_DEADLINE, connection).await.unwrap_or(Ok(()))
    }
}

/// A connection of either version, while it is served.
trait Conversation: Future<Output = hyper::Result<()>> {
    /// No request after those under way.
    fn finish(self: Pin<&mut Self>);
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Conversation
    for http1::UpgradeableConnection<TokioIo<S>, TowerToHyperService<OfConnection>>
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Conversation
    for http2::Connection<TokioIo<S>, TowerToHyperService<OfConnection>, OfTasks>
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// The service of one connection: each request is told who is at the other end.
#[derive(Clone)]
struct OfConnection {
    inner: ApiService,
    peer: Arc<Peer>,
    address: RemoteAddress,
    /// Whether the peer has asked for anything yet.
    asked: Arc<AtomicBool>,
}

impl Service<Request<Incoming>> for OfConnection {
    type Response = Response<Body>;
    type Error = std::convert::Infallible;
    type Future = <ApiService as Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        self.asked.store(true, Ordering::Relaxed);
        let mut request = request.map(|body| BodyExt::boxed_unsync(body.map_err(Into::into)));
        request.extensions_mut().insert(self.peer.clone());
        request.extensions_mut().insert(self.address);
        self.inner.call(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body;
    use rustls::pki_types::ServerName;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const ALL: usize = 64 * 1024;

    fn tls() -> (Arc<rustls::ServerConfig>, rustls::ClientConfig) {
        let pair = sampan_testing::tls::pair();
        (tls_config(pair.server), pair.client)
    }

    /// Opens a connection that names `alpn`, sends `first`, and tells how long it was kept.
    async fn kept(alpn: &[&[u8]], first: &[u8]) -> Duration {
        let (server, mut client) = tls();
        client.alpn_protocols = alpn.iter().map(|one| one.to_vec()).collect();
        let tasks = Tasks::new("test");
        let permits = Arc::new(Semaphore::new(1));
        let answer = tower::service_fn(async |_: Request<Body>| Ok(Response::new(body::full("ok"))));
        let connection = Connection {
            address: "127.0.0.1:1".parse().expect("an address"),
            acceptor: Some(TlsAcceptor::from(server)),
            http: Arc::new(Http::new(&tasks)),
            service: ApiService::new(tower::util::MapFuture::new(answer, |future| -> futures::future::BoxFuture<_> {
                Box::pin(future)
            })),
            tasks: tasks.clone(),
            _permit: permits.clone().acquire_owned().await.expect("a permit"),
        };
        let (here, there) = tokio::io::duplex(ALL);
        let began = sampan_env::Env::system().instant();
        let served = tasks.spawn(connection.run(there));
        let name = ServerName::try_from("localhost").expect("a name");
        let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
        let mut stream = connector.connect(name, here).await.expect("a handshake");
        stream.write_all(first).await.expect("sent");
        served.await.expect("it ends");
        assert_eq!(permits.available_permits(), 1, "its place is free again");
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
        // Nobody speaks HTTP/2 who has not agreed on it.
        check(&[], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", true).await;
    }

    #[tokio::test]
    async fn the_kernel_finds_out_who_takes_nothing() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let stream = TcpStream::connect(listener.local_addr().expect("an address")).await.expect("a connection");
        tune(&stream).expect("every option is there");
        assert_eq!(u128::from(sockopt::tcp_user_timeout(&stream).expect("read")), TCP_STALL_MAX.as_millis());
        assert!(sockopt::socket_keepalive(&stream).expect("read"));
    }

    #[test]
    fn connections_leave_files_for_the_rest() {
        let check = |files: u64, expected: usize| assert_eq!(connections_max(files), expected, "{files}");
        check(0, 1);
        check(1024, 512);
        check(1_048_576, CONNECTIONS_MAX);
        check(u64::MAX, CONNECTIONS_MAX);
    }
}
