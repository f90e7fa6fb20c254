//! HTTP/1.1 over TLS by hand: what is sent is bytes that were made before, and of an answer no more is read than where it
//! ends, so that the load costs the machine next to nothing beside what it makes the server do.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use sampan_client::CertificateAuthority;
use sampan_client::Kubeconfig;
use sampan_tests::{Sampan, now};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

pub type Stream = tokio_rustls::client::TlsStream<TcpStream>;

/// A server that is attacked, and how to come to it. Cheap to clone.
#[derive(Clone)]
pub struct Target {
    pub address: SocketAddr,
    one: TlsConnector,
    two: TlsConnector,
    name: ServerName<'static>,
}

impl Target {
    /// The address and the certificate authority of its kubeconfig.
    pub fn of(sampan: &Sampan) -> Self {
        let config = Kubeconfig::load_file(&sampan.kubeconfig).expect("a kubeconfig");
        let config = config.remote_config(None).expect("a context");
        let Some(CertificateAuthority::Pem(pem)) = config.ca else { panic!("the kubeconfig holds its authority") };
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            roots.add(certificate.expect("PEM")).expect("a root");
        }
        let roots = Arc::new(roots);
        let connector = |protocol: &[u8]| {
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let mut config = rustls::ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .expect("TLS 1.2 and 1.3")
                .with_root_certificates(roots.clone())
                .with_no_client_auth();
            config.alpn_protocols = vec![protocol.to_vec()];
            TlsConnector::from(Arc::new(config))
        };
        let address: SocketAddr = sampan.server.trim_start_matches("https://").parse().expect("an address");
        let name = ServerName::from(address.ip());
        Self { address, one: connector(b"http/1.1"), two: connector(b"h2"), name }
    }

    /// A connection that speaks HTTP/1.1.
    pub async fn open(&self) -> io::Result<Stream> {
        self.one.connect(self.name.clone(), self.tcp().await?).await
    }

    /// A connection that speaks HTTP/2.
    pub async fn open_two(&self) -> io::Result<Stream> {
        self.two.connect(self.name.clone(), self.tcp().await?).await
    }

    /// A connection without TLS yet.
    pub async fn tcp(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// The head of a request; an empty token is none, and so is an empty content type.
pub fn head(method: &str, path: &str, token: &str, headers: &[(&str, &str)], length: usize) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: sampan\r\n");
    if !token.is_empty() {
        head.push_str(&format!("Authorization: Bearer {token}\r\n"));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if length > 0 {
        head.push_str(&format!("Content-Length: {length}\r\n"));
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// A request as it is sent.
pub fn request(method: &str, path: &str, token: &str, content_type: &str, body: &[u8]) -> Arc<[u8]> {
    let mut bytes = head(method, path, token, &[("Content-Type", content_type)], body.len());
    bytes.extend_from_slice(body);
    bytes.into()
}

/// A request without a body.
pub fn get(path: &str, token: &str, headers: &[(&str, &str)]) -> Arc<[u8]> {
    head("GET", path, token, headers, 0).into()
}

/// Sends a request and reads its answer to the end. Returns the answer's code.
pub async fn ask(stream: &mut Stream, request: &[u8]) -> io::Result<u16> {
    stream.write_all(request).await?;
    stream.flush().await?;
    answer(stream).await.map(|(code, _)| code)
}

/// Sends a request that is answered with 200 and reads the answer to the end. Returns how long it took until its first
/// byte came, and until its last.
pub async fn timed(stream: &mut Stream, request: &[u8]) -> io::Result<(Duration, Duration)> {
    let began = now();
    stream.write_all(request).await?;
    stream.flush().await?;
    let mut first = [0];
    stream.read_exact(&mut first).await?;
    let first = now().duration_since(began);
    let (code, _) = answer(stream).await?;
    assert_eq!(code, 200);
    Ok((first, now().duration_since(began)))
}

/// Reads an answer to its end: its code, and the last of what came of its body.
pub async fn answer(stream: &mut Stream) -> io::Result<(u16, Vec<u8>)> {
    let mut bytes = Vec::with_capacity(64 * 1024);
    let body_at = loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(at) = memchr::memmem::find(&bytes, b"\r\n\r\n") {
            break at + 4;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..body_at]).to_ascii_lowercase();
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    match length {
        Some(length) => {
            let mut missing = (body_at + length).saturating_sub(bytes.len());
            let mut rest = vec![0; missing.min(64 * 1024)];
            while missing > 0 {
                let most = missing.min(rest.len());
                match stream.read(&mut rest[..most]).await? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    read => missing -= read,
                }
            }
        }
        // The end of the chunks is the end of what comes: nobody sends a request before it has its answer.
        None => {
            while !bytes.ends_with(b"\r\n0\r\n\r\n") {
                let keep = bytes.len().saturating_sub(8);
                if keep > 32 * 1024 {
                    bytes.drain(..keep);
                }
                if stream.read_buf(&mut bytes).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
    }
    Ok((code, bytes.split_off(body_at.min(bytes.len()))))
}
