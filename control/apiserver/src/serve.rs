//! The listener: TCP, TLS, HTTP/1.1 and HTTP/2, with a bound on everything that a stranger can make us hold.

use crate::ApiService;
use crate::body::Body;
use crate::limits::{
    ACCEPT_PAUSE, CONNECTIONS_MAX, DRAIN_DEADLINE, H2_CONNECTION_WINDOW, H2_FRAME_BYTES_MAX, H2_PING_INTERVAL,
    H2_PING_TIMEOUT, H2_RESET_STREAMS_MAX, H2_SEND_BUFFER_BYTES, H2_STREAM_WINDOW, H2_STREAMS_MAX, HEADER_BYTES_MAX,
    HEADER_TIMEOUT, TLS_HANDSHAKE_TIMEOUT,
};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use sampan_auth::authenticator::Peer;
use sampan_env::Tasks;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tower::Service;

/// The far end's address, in the request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct RemoteAddress(pub SocketAddr);

/// Serves `service` on `listener` until `tasks` is cancelled; then connections end after their requests under way, or at
/// the drain's deadline. `tls` should offer `h2` and `http/1.1` by ALPN: see [`tls_config`].
pub async fn serve(listener: TcpListener, tls: Option<Arc<rustls::ServerConfig>>, service: ApiService, tasks: &Tasks) {
    let acceptor = tls.map(TlsAcceptor::from);
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let http = Arc::new(builder());
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

/// A server configuration with the given certificates, in the form that this listener wants: both HTTP versions by ALPN,
/// TLS 1.2 and 1.3, tickets so that clients come back quickly.
pub fn tls_config(mut config: rustls::ServerConfig) -> Arc<rustls::ServerConfig> {
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

fn builder() -> Builder<TasksExecutor> {
    let mut builder = Builder::new(TasksExecutor(TokioExecutor::new()));
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_BYTES_MAX)
        .keep_alive(true)
        .pipeline_flush(true);
    builder
        .http2()
        .timer(TokioTimer::new())
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
    builder
}

/// Where hyper runs the streams of an HTTP/2 connection: they belong to the connection's task and end with it.
#[derive(Clone)]
struct TasksExecutor(TokioExecutor);

impl<F> hyper::rt::Executor<F> for TasksExecutor
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.execute(future);
    }
}

struct Connection {
    address: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    http: Arc<Builder<TasksExecutor>>,
    service: ApiService,
    tasks: Tasks,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    async fn run(self, stream: TcpStream) {
        // Answers are written whole: waiting to fill a segment only delays them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
        let Some(acceptor) = self.acceptor.clone() else {
            return self.speak(TokioIo::new(stream), Peer::default()).await;
        };
        match tokio::time::timeout(TLS_HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => {
                let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
                let certificates = certificates.iter().map(|one| Bytes::copy_from_slice(one)).collect();
                let peer = Peer { certificates, ..Peer::default() };
                self.speak(TokioIo::new(stream), peer).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, from = %self.address, "no TLS"),
            Err(_) => tracing::debug!(from = %self.address, "the TLS handshake took too long"),
        }
    }

    async fn speak<I: Read + Write + Unpin + Send + 'static>(self, io: I, peer: Peer) {
        let service = OfConnection { inner: self.service, peer: Arc::new(peer), address: RemoteAddress(self.address) };
        let connection = self.http.serve_connection_with_upgrades(io, TowerToHyperService::new(service));
        tokio::pin!(connection);
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = self.tasks.token().cancelled() => {
                connection.as_mut().graceful_shutdown();
                match tokio::time::timeout(DRAIN_DEADLINE, connection).await {
                    Ok(result) => result,
                    Err(_) => return,
                }
            }
        };
        if let Err(error) = result {
            tracing::debug!(%error, from = %self.address, "a connection ended badly");
        }
    }
}

/// The service of one connection: each request is told who is at the other end.
#[derive(Clone)]
struct OfConnection {
    inner: ApiService,
    peer: Arc<Peer>,
    address: RemoteAddress,
}

impl Service<Request<Incoming>> for OfConnection {
    type Response = Response<Body>;
    type Error = std::convert::Infallible;
    type Future = <ApiService as Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let mut request = request.map(|body| BodyExt::boxed_unsync(body.map_err(Into::into)));
        request.extensions_mut().insert(self.peer.clone());
        request.extensions_mut().insert(self.address);
        self.inner.call(request)
    }
}
