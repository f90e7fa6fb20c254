//! The remote transport: a pool of HTTP/2 (or HTTP/1.1) connections to one server.

use crate::body::{Body, BoxError, full};
use crate::error::Error;
use crate::tls::{Credentials, RemoteConfig, client_config, read_file};
use crate::{Result, limits};
use bytes::Bytes;
use futures::future::BoxFuture;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::BodyExt;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use sampan_env::{Env, Tasks};
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;

type Pool = hyper_util::client::legacy::Client<Connector, Body>;

pub(crate) struct Remote {
    pool: Pool,
    server: String,
    /// Prefix of every request's path, without a slash at its end.
    base: String,
    authorization: Authorization,
    env: Env,
}

enum Authorization {
    None,
    Fixed(HeaderValue),
    File { path: std::path::PathBuf, read: Mutex<(HeaderValue, Instant)> },
}

impl Remote {
    pub(crate) fn new(config: RemoteConfig, env: &Env, tasks: &Tasks) -> Result<Self> {
        let server = config.server.trim_end_matches('/').to_owned();
        let uri: Uri = server.parse().map_err(|error| Error::Config(format!("server address {server:?}: {error}")))?;
        let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else {
            return Err(Error::Config(format!("server address {server:?} is not https://host:port")));
        };
        let tls = match (scheme, &config.ca) {
            ("http", _) => None,
            ("https", Some(ca)) => {
                let name = config.tls_server_name.as_deref().unwrap_or(host).trim_matches(['[', ']']).to_owned();
                let name = ServerName::try_from(name)
                    .map_err(|error| Error::Config(format!("server address {server:?}: {error}")))?;
                Some((Arc::new(client_config(ca, &config.credentials)?), name))
            }
            ("https", None) => {
                return Err(Error::Config(format!("no certificate authority to check {server} against")));
            }
            _ => return Err(Error::Config(format!("server address {server:?} is neither http nor https"))),
        };
        let authorization = match &config.credentials {
            Credentials::None | Credentials::ClientCertificate { .. } => Authorization::None,
            Credentials::Token(token) => Authorization::Fixed(bearer(token)?),
            Credentials::TokenFile(path) => {
                Authorization::File { path: path.clone(), read: Mutex::new((token_file(path)?, env.instant())) }
            }
        };
        let pool = hyper_util::client::legacy::Client::builder(TaskExecutor(tasks.clone()))
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(limits::IDLE_TIMEOUT)
            .pool_max_idle_per_host(limits::IDLE_CONNECTIONS_MAX)
            .http2_keep_alive_interval(limits::KEEP_ALIVE_INTERVAL)
            .http2_keep_alive_timeout(limits::KEEP_ALIVE_TIMEOUT)
            .http2_adaptive_window(true)
            .build(Connector { tls });
        Ok(Self { pool, base: server.clone(), server, authorization, env: env.clone() })
    }

    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    pub(crate) async fn send(&self, request: Request<Bytes>) -> Result<Response<Body>> {
        self.forward(request.map(full)).await
    }

    /// As [`Self::send`], with a body that comes in pieces.
    pub(crate) async fn forward(&self, request: Request<Body>) -> Result<Response<Body>> {
        let (mut head, body) = request.into_parts();
        let path = head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        head.uri = format!("{}{path}", self.base)
            .parse()
            .map_err(|error| Error::Config(format!("request path {path:?}: {error}")))?;
        if let Some(value) = self.authorization()? {
            head.headers.insert(AUTHORIZATION, value);
        }
        let response = self.pool.request(Request::from_parts(head, body)).await.map_err(|error| {
            if error.is_connect() {
                Error::Connect { server: self.server.clone(), source: innermost(error) }
            } else {
                Error::Transport(innermost(error))
            }
        })?;
        Ok(response.map(|body| body.map_err(BoxError::from).boxed_unsync()))
    }

    fn authorization(&self) -> Result<Option<HeaderValue>> {
        match &self.authorization {
            Authorization::None => Ok(None),
            Authorization::Fixed(value) => Ok(Some(value.clone())),
            Authorization::File { path, read } => {
                let now = self.env.instant();
                let mut read = read.lock();
                if now.duration_since(read.1) >= limits::TOKEN_FILE_MAX_AGE {
                    match token_file(path) {
                        Ok(value) => *read = (value, now),
                        // The token in hand may still be good; the server says so if it is not.
                        Err(error) => tracing::warn!(%error, "the token file cannot be read again"),
                    }
                }
                Ok(Some(read.0.clone()))
            }
        }
    }
}

fn bearer(token: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.trim()))
        .map_err(|_| Error::Config("the token has characters that a header cannot have".into()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn token_file(path: &Path) -> Result<HeaderValue> {
    bearer(&String::from_utf8_lossy(&read_file(path)?))
}

/// hyper wraps what happened in two layers that say only "client error (Connect)": the cause is what a person needs.
fn innermost(error: hyper_util::client::legacy::Error) -> BoxError {
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if let Some(error) = cause.downcast_ref::<std::io::Error>() {
        if error.kind() == std::io::ErrorKind::ConnectionRefused {
            return Box::new(std::io::Error::from(error.kind()));
        }
        if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Box::new(tls.clone());
        }
    }
    cause.to_string().into()
}

#[derive(Clone)]
struct TaskExecutor(Tasks);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for TaskExecutor {
    fn execute(&self, future: F) {
        self.0.spawn_until_cancelled(future);
    }
}

/// Opens connections: TCP, then TLS where the address says https.
#[derive(Clone)]
struct Connector {
    tls: Option<(Arc<rustls::ClientConfig>, ServerName<'static>)>,
}

impl tower::Service<Uri> for Connector {
    type Response = Io;
    type Error = BoxError;
    type Future = BoxFuture<'static, std::result::Result<Io, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let tls = self.tls.clone();
        Box::pin(async move {
            tokio::time::timeout(limits::CONNECT_TIMEOUT, connect(uri, tls))
                .await
                .map_err(|_| BoxError::from(format!("no connection within {} s", limits::CONNECT_TIMEOUT.as_secs())))?
        })
    }
}

async fn connect(
    uri: Uri,
    tls: Option<(Arc<rustls::ClientConfig>, ServerName<'static>)>,
) -> std::result::Result<Io, BoxError> {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let port = uri.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
    let tcp = TcpStream::connect((host, port)).await?;
    tcp.set_nodelay(true)?;
    Ok(match tls {
        None => Io { inner: TokioIo::new(Box::new(tcp)), h2: false },
        Some((config, name)) => {
            let stream = tokio_rustls::TlsConnector::from(config).connect(name, tcp).await?;
            let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            Io { inner: TokioIo::new(Box::new(stream)), h2 }
        }
    })
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection, and whether HTTP/2 was agreed on for it.
struct Io {
    inner: TokioIo<Box<dyn Stream>>,
    h2: bool,
}

impl Connection for Io {
    fn connected(&self) -> Connected {
        if self.h2 { Connected::new().negotiated_h2() } else { Connected::new() }
    }
}

impl Read for Io {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl Write for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }
}
