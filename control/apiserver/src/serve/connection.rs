//! One connection: its TLS, its version of HTTP, and its end.

use super::places::Place;
use crate::ApiService;
use crate::body::Body;
use crate::limits::{
    ANSWER_STALL_MAX, CUTS_PER_CONNECTION_MAX, DRAIN_DEADLINE, GOAWAY_PATIENCE, H2_CONNECTION_WINDOW,
    H2_FRAME_BYTES_MAX, H2_PING_INTERVAL, H2_PING_TIMEOUT, H2_RESET_STREAMS_MAX, H2_SEND_BUFFER_BYTES,
    H2_STREAM_WINDOW, H2_STREAMS_MAX, HEADER_BYTES_MAX, HEADER_TIMEOUT, IDLE_TIMEOUT, TLS_HANDSHAKE_TIMEOUT,
};
use crate::line::{Cut, Line, Turned};
use bytes::Bytes;
use futures::future::{AbortHandle, AbortRegistration, Abortable};
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use sampan_auth::authenticator::Peer;
use sampan_env::{CancellationToken, Tasks};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tower::Service as _;

pub(super) const H2: &[u8] = b"h2";
pub(super) const HTTP_1_1: &[u8] = b"http/1.1";

/// Both versions of HTTP. ALPN chooses: a peer that names none speaks HTTP/1.1, so nobody's first bytes are waited for
/// without a timer.
pub(super) struct Http {
    one: http1::Builder,
}

impl Default for Http {
    fn default() -> Self {
        let mut one = http1::Builder::new();
        one.timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            // Not `pipeline_flush`: with it, hyper takes all of an answer before it sends the first of it.
            .max_buf_size(HEADER_BYTES_MAX)
            .keep_alive(true);
        Self { one }
    }
}

impl Http {
    fn two(streams: Streams) -> http2::Builder<Streams> {
        let mut two = http2::Builder::new(streams);
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
        two
    }
}

/// The executor of an HTTP/2 connection's streams: the drain waits for them like for their connection, and they end
/// when their answer is cut. hyper hands a stream over right after it has called the service for it, so the registration
/// that the call left is the stream's.
#[derive(Clone)]
struct Streams {
    tasks: Tasks,
    next: Arc<Mutex<Option<AbortRegistration>>>,
}

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        let registration = self.next.lock().take();
        drop(self.tasks.spawn(async move {
            match registration {
                None => future.await,
                // Aborted, a stream is dropped: it is reset, and what it has buffered is let go.
                Some(registration) => drop(Abortable::new(future, registration).await),
            }
        }));
    }
}

/// The way to end an answer that the peer does not take.
#[derive(Clone)]
enum Cuts {
    /// HTTP/1.1: with the connection.
    Connection(CancellationToken),
    /// HTTP/2: with its stream.
    Stream(Arc<Mutex<Option<AbortRegistration>>>),
}

impl Cuts {
    fn next(&self) -> Cut {
        match self {
            Self::Connection(token) => Cut::Connection(token.clone()),
            Self::Stream(next) => {
                let (handle, registration) = AbortHandle::new_pair();
                *next.lock() = Some(registration);
                Cut::Stream(handle)
            }
        }
    }
}

pub(super) struct Connection {
    /// The far end.
    pub address: SocketAddr,
    /// `None`: plain HTTP.
    pub acceptor: Option<TlsAcceptor>,
    /// Settings of HTTP/1.1.
    pub http: Arc<Http>,
    /// The service that answers.
    pub service: ApiService,
    /// Own what the connection spawns.
    pub tasks: Tasks,
    /// The connection as the chain knows it.
    pub line: Arc<Line>,
    /// Its place among the connections.
    pub place: Place,
}

impl Connection {
    /// Serves it until it ends.
    pub async fn run<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(self, stream: S) {
        let Some(acceptor) = self.acceptor.clone() else {
            self.line.meets(Peer::default());
            return self.speak(stream, false).await;
        };
        let handshake = tokio::time::timeout(TLS_HANDSHAKE_TIMEOUT, acceptor.accept(stream));
        let handshake = tokio::select! {
            outcome = handshake => outcome,
            () = self.place.end.cancelled() => return,
        };
        match handshake {
            Ok(Ok(stream)) => {
                let session = stream.get_ref().1;
                let certificates = session.peer_certificates().unwrap_or_default();
                let certificates = certificates.iter().map(|one| Bytes::copy_from_slice(one)).collect();
                self.line.meets(Peer::showing(certificates));
                let h2 = session.alpn_protocol() == Some(H2);
                self.speak(stream, h2).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, from = %self.address, "no TLS"),
            Err(_) => tracing::debug!(from = %self.address, "the TLS handshake took too long"),
        }
    }

    async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(&self, stream: S, h2: bool) {
        let asked = Arc::new(AtomicBool::new(false));
        let next = Arc::new(Mutex::new(None));
        let service = OfConnection {
            inner: self.service.clone(),
            line: self.line.clone(),
            cuts: if h2 { Cuts::Stream(next.clone()) } else { Cuts::Connection(self.place.end.clone()) },
            asked: asked.clone(),
        };
        let io = TokioIo::new(stream);
        let result = if h2 {
            let http = Http::two(Streams { tasks: self.tasks.clone(), next });
            self.drive(http.serve_connection(io, service), &asked).await
        } else {
            self.drive(self.http.one.serve_connection(io, service).with_upgrades(), &asked).await
        };
        if let Err(error) = result {
            tracing::debug!(%error, from = %self.address, "a connection ended badly");
        }
        if let Some(turned) = self.line.turned() {
            self.outlast(turned).await;
            turned.end.cancel();
        }
    }

    /// Keeps the connection's place for as long as what it has become lasts.
    async fn outlast(&self, turned: &Turned) {
        loop {
            tokio::select! {
                () = turned.over.cancelled() => return,
                () = self.place.end.cancelled() => return,
                // The request that turned it may have been its first.
                () = self.line.known.notified() => {
                    if self.line.payer().is_some_and(|payer| !self.place.settle(payer)) {
                        return;
                    }
                }
            }
        }
    }

    fn stops(&self) -> bool {
        self.tasks.token().is_cancelled()
    }

    async fn drive(&self, connection: impl Conversation, asked: &AtomicBool) -> hyper::Result<()> {
        tokio::pin!(connection);
        let mut settled = false;
        let mut cuts = 0;
        let patience = loop {
            let idle_end = self.idle_end(asked);
            let wake = (self.line.env().instant() + ANSWER_STALL_MAX / 4).min(idle_end);
            tokio::select! {
                result = connection.as_mut() => return result,
                () = self.place.end.cancelled() => {
                    if self.stops() {
                        break DRAIN_DEADLINE;
                    }
                    return Ok(());
                }
                () = self.line.known.notified(), if !settled => {
                    settled = true;
                    // Answered, but it does not stay: its identity has connections enough.
                    if self.line.payer().is_some_and(|payer| !self.place.settle(payer)) {
                        break DRAIN_DEADLINE;
                    }
                }
                () = tokio::time::sleep_until(wake) => {
                    let now = self.line.env().instant();
                    let cut = self.line.sweep(now);
                    if cut > 0 {
                        tracing::debug!(answers = cut, from = %self.address, "answers were not taken");
                    }
                    cuts += cut;
                    if cuts > CUTS_PER_CONNECTION_MAX {
                        tracing::debug!(from = %self.address, "a connection takes none of its answers");
                        return Ok(());
                    }
                    if now >= self.idle_end(asked) {
                        if !asked.load(Ordering::Relaxed) {
                            tracing::debug!(from = %self.address, "a connection asked for nothing");
                            return Ok(());
                        }
                        break GOAWAY_PATIENCE;
                    }
                }
            }
        };
        connection.as_mut().finish();
        let ended = tokio::time::timeout(patience, connection);
        tokio::pin!(ended);
        tokio::select! {
            ended = &mut ended => return ended.unwrap_or(Ok(())),
            () = self.place.end.cancelled(), if !self.stops() => {}
        }
        // The server may have stopped meanwhile: then it drains.
        if self.stops() { ended.await.unwrap_or(Ok(())) } else { Ok(()) }
    }

    /// When the connection ends if nothing is asked until then. hyper's own timers begin with what the peer sends: of
    /// HTTP/2, not before its preface is complete, and not after its first stream.
    fn idle_end(&self, asked: &AtomicBool) -> tokio::time::Instant {
        let patience = if asked.load(Ordering::Relaxed) { IDLE_TIMEOUT } else { HEADER_TIMEOUT };
        match self.line.idle_since() {
            Some(since) => since + patience,
            None => self.line.env().instant() + patience.max(Duration::from_millis(1)),
        }
    }
}

/// A connection of either version, while it is served.
trait Conversation: Future<Output = hyper::Result<()>> {
    /// No request after those under way.
    fn finish(self: Pin<&mut Self>);
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Conversation
    for http1::UpgradeableConnection<TokioIo<S>, OfConnection>
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Conversation
    for http2::Connection<TokioIo<S>, OfConnection, Streams>
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// The service of one connection: each request is told over which it came.
#[derive(Clone)]
struct OfConnection {
    inner: ApiService,
    line: Arc<Line>,
    cuts: Cuts,
    /// Whether the peer has asked for anything yet.
    asked: Arc<AtomicBool>,
}

impl hyper::service::Service<Request<Incoming>> for OfConnection {
    type Response = Response<Body>;
    type Error = std::convert::Infallible;
    type Future = <ApiService as tower::Service<Request<Body>>>::Future;

    /// Calls at once, and not when the future is first polled: [`Streams`] takes the registration that is left here.
    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.asked.store(true, Ordering::Relaxed);
        let mut request = request.map(|body| BodyExt::boxed_unsync(body.map_err(Into::into)));
        let extensions = request.extensions_mut();
        extensions.insert(self.line.begin(self.cuts.next()));
        extensions.insert(self.line.clone());
        // The chain is always ready.
        self.inner.clone().call(request)
    }
}
