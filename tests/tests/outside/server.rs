//! Somebody else's server on this host, over TLS, that does with each request what a test says.

use base64::Engine as _;
use parking_lot::Mutex;
use sampan_env::Tasks;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// What a server does with a request.
pub enum Said {
    /// Answers with a code, further lines of the head (each with its end) and a body.
    Whole(u16, String, Vec<u8>),
    /// Answers with the beginning of a body, and hangs up.
    Cut(&'static str),
    /// Answers with a body that does not end.
    Endless(&'static str),
    /// Keeps silent.
    Nothing,
}

impl Said {
    /// An answer of JSON.
    pub fn json(code: u16, body: &serde_json::Value) -> Self {
        Self::Whole(code, "Content-Type: application/json\r\n".into(), body.to_string().into())
    }

    /// The way elsewhere.
    pub fn moved() -> Self {
        Self::Whole(302, "Location: https://localhost:1/elsewhere\r\n".into(), Vec::new())
    }
}

/// What is said to a path and a body.
pub type Doing = fn(&str, &[u8]) -> Said;

/// A running server. It ends when it is dropped.
pub struct Outside {
    pub port: u16,
    /// Its certificate as a `caBundle` has it.
    pub bundle: String,
    doing: Arc<Mutex<Doing>>,
    /// Bytes of bodies without an end that were taken from it.
    endless: Arc<AtomicU64>,
    _runtime: tokio::runtime::Runtime,
}

impl Outside {
    pub fn start(doing: Doing) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let pair = sampan_testing::tls::pair();
        let acceptor = TlsAcceptor::from(Arc::new(pair.server));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (doing, endless) = (Arc::new(Mutex::new(doing)), Arc::new(AtomicU64::new(0)));
        let (served, tasks) = ((doing.clone(), endless.clone()), Tasks::new("outside"));
        runtime.spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, (doing, endless)) = (acceptor.clone(), served.clone());
                // Who hangs up ends its own connection.
                tasks.spawn_until_cancelled(async move { drop(serve(acceptor, tcp, &doing, &endless).await) });
            }
        });
        let bundle = base64::engine::general_purpose::STANDARD.encode(pair.certificate_pem);
        Self { port, bundle, doing, endless, _runtime: runtime }
    }

    /// From now on it does this.
    pub fn does(&self, doing: Doing) {
        *self.doing.lock() = doing;
    }

    pub fn endless_bytes(&self) -> u64 {
        self.endless.load(Ordering::Relaxed)
    }
}

/// The length that a head promises.
fn length(head: &str) -> usize {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let mut lengths = lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    lengths.next().and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(0)
}

async fn serve(acceptor: TlsAcceptor, tcp: TcpStream, doing: &Mutex<Doing>, endless: &AtomicU64) -> io::Result<()> {
    let mut stream = acceptor.accept(tcp).await?;
    let mut bytes = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = memchr::memmem::find(&bytes, b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let whole = end + length(&head);
        while bytes.len() < whole {
            if stream.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
        }
        let path = head.split(' ').nth(1).unwrap_or_default();
        let doing = *doing.lock();
        say(&mut stream, doing(path, &bytes[end..whole]), endless).await?;
        bytes.drain(..whole);
    }
}

/// An error: the connection is over.
async fn say(stream: &mut TlsStream<TcpStream>, said: Said, endless: &AtomicU64) -> io::Result<()> {
    match said {
        Said::Whole(code, lines, body) => {
            let head = format!("HTTP/1.1 {code} Said\r\nContent-Length: {}\r\n{lines}\r\n", body.len());
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&body).await?;
            stream.flush().await
        }
        Said::Cut(part) => {
            let head = "HTTP/1.1 200 Said\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n";
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(part.as_bytes()).await?;
            stream.shutdown().await?;
            Err(io::ErrorKind::ConnectionAborted.into())
        }
        Said::Endless(part) => {
            let head = "HTTP/1.1 200 Said\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n";
            stream.write_all(head.as_bytes()).await?;
            let part = part.repeat(16 * 1024);
            loop {
                stream.write_all(part.as_bytes()).await?;
                endless.fetch_add(part.len() as u64, Ordering::Relaxed);
            }
        }
        Said::Nothing => std::future::pending().await,
    }
}
