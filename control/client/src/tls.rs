//! The address of a remote server, the client's credentials, and the TLS configuration that follows.

use crate::error::Error;
use crate::{Result, limits};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The authority that must have signed a server's certificate.
#[derive(Clone)]
pub enum CertificateAuthority {
    /// One or more certificates.
    Pem(Vec<u8>),
    /// Anyone: the connection is encrypted and nothing else.
    Insecure,
}

/// The client's credentials at a remote server.
#[derive(Clone)]
pub enum Credentials {
    None,
    ClientCertificate {
        cert_pem: Vec<u8>,
        key_pem: Vec<u8>,
    },
    Token(String),
    /// Read again when it is older than [`limits::TOKEN_FILE_MAX_AGE`].
    TokenFile(PathBuf),
}

/// Names the sort and never the secret.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::ClientCertificate { .. } => "ClientCertificate",
            Self::Token(_) => "Token",
            Self::TokenFile(_) => "TokenFile",
        })
    }
}

/// A remote API server.
#[derive(Clone)]
pub struct RemoteConfig {
    /// `https://host:port`, perhaps with a path before every request's own.
    pub server: String,
    /// `None`: only for `http://`.
    pub ca: Option<CertificateAuthority>,
    pub credentials: Credentials,
    /// The name that the server's certificate must have, where it is not the host's.
    pub tls_server_name: Option<String>,
}

impl RemoteConfig {
    pub fn new(server: impl Into<String>, ca_pem: impl Into<Vec<u8>>, credentials: Credentials) -> Self {
        Self {
            server: server.into(),
            ca: Some(CertificateAuthority::Pem(ca_pem.into())),
            credentials,
            tls_server_name: None,
        }
    }
}

pub(crate) fn client_config(ca: &CertificateAuthority, credentials: &Credentials) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Config(format!("TLS: {error}")))?;
    let builder = match ca {
        CertificateAuthority::Pem(pem) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(pem, "certificate authority")? {
                roots.add(certificate).map_err(|error| Error::Config(format!("certificate authority: {error}")))?;
            }
            builder.with_root_certificates(roots)
        }
        CertificateAuthority::Insecure => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAnyone(provider)))
        }
    };
    let mut config = match credentials {
        Credentials::ClientCertificate { cert_pem, key_pem } => {
            let key = PrivateKeyDer::from_pem_slice(key_pem)
                .map_err(|error| Error::Config(format!("client key: {error}")))?;
            builder
                .with_client_auth_cert(certificates(cert_pem, "client certificate")?, key)
                .map_err(|error| Error::Config(format!("client certificate: {error}")))?
        }
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>> {
    let found: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| Error::Config(format!("{what}: {error}")))?;
    if found.is_empty() {
        return Err(Error::Config(format!("{what}: no PEM certificate in it")));
    }
    Ok(found)
}

/// Reads a small configuration file whole.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>> {
    let wrap = |source| Error::File { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(wrap)?;
    let mut bytes = Vec::new();
    file.take(limits::CONFIG_FILE_MAX + 1).read_to_end(&mut bytes).map_err(wrap)?;
    if bytes.len() as u64 > limits::CONFIG_FILE_MAX {
        return Err(Error::TooLarge { what: "configuration file", max: limits::CONFIG_FILE_MAX as usize });
    }
    Ok(bytes)
}

/// `insecure-skip-tls-verify`: the user asked for it by name.
#[derive(Debug)]
struct AcceptAnyone(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAnyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
