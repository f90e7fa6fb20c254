//! The address of a remote server, the client's credentials, and the TLS configuration that follows.

use crate::error::Error;
use crate::{Result, limits, roots};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

/// The authority that must have signed a server's certificate.
#[derive(Clone)]
pub enum CertificateAuthority {
    /// One or more certificates.
    Pem(Vec<u8>),
    /// Those that the host's system trusts.
    System,
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
            let verifier = Trusting::new(certificates(pem, "certificate authority")?, &provider)?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        }
        CertificateAuthority::System => {
            let verifier = Trusting::system(&provider)?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
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

/// Trusts what a bundle holds: authorities, and servers' own certificates, as Go takes both from one.
#[derive(Debug)]
struct Trusting {
    authorities: Arc<WebPkiServerVerifier>,
    bundle: Vec<CertificateDer<'static>>,
}

impl Trusting {
    fn new(bundle: Vec<CertificateDer<'static>>, provider: &Arc<CryptoProvider>) -> Result<Self> {
        let wrong = |error: &dyn std::fmt::Display| Error::Config(format!("certificate authority: {error}"));
        let mut roots = RootCertStore::empty();
        for certificate in &bundle {
            roots.add(certificate.clone()).map_err(|error| wrong(&error))?;
        }
        Self::of(roots, bundle, provider)
    }

    /// Those of the system. What of them cannot be an authority is passed over.
    fn system(provider: &Arc<CryptoProvider>) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(roots::of_system().iter().cloned());
        if roots.is_empty() {
            return Err(Error::Config("certificate authority: this system has none that it trusts".to_owned()));
        }
        Self::of(roots, Vec::new(), provider)
    }

    fn of(roots: RootCertStore, bundle: Vec<CertificateDer<'static>>, provider: &Arc<CryptoProvider>) -> Result<Self> {
        let authorities = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .build()
            .map_err(|error| Error::Config(format!("certificate authority: {error}")))?;
        Ok(Self { authorities, bundle })
    }
}

/// Whether a certificate that the bundle holds itself may be this server's now: nobody else vouches for it.
fn verify_own(
    der: &CertificateDer<'_>,
    name: &ServerName<'_>,
    now: UnixTime,
) -> std::result::Result<(), rustls::Error> {
    verify_server_name(&ParsedCertificate::try_from(der)?, name)?;
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| CertificateError::BadEncoding)?;
    let (seconds, validity) = (i64::try_from(now.as_secs()).unwrap_or(i64::MAX), certificate.validity());
    if seconds < validity.not_before.timestamp() {
        return Err(CertificateError::NotValidYet.into());
    }
    if seconds > validity.not_after.timestamp() {
        return Err(CertificateError::Expired.into());
    }
    let usage = certificate.extended_key_usage().map_err(|_| CertificateError::BadEncoding)?;
    match usage.is_none_or(|usage| usage.value.any || usage.value.server_auth) {
        true => Ok(()),
        false => Err(CertificateError::InvalidPurpose.into()),
    }
}

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        if self.bundle.iter().any(|one| one == end_entity) {
            return verify_own(end_entity, server_name, now).map(|()| ServerCertVerified::assertion());
        }
        self.authorities.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.authorities.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.authorities.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd};
    use std::time::Duration;

    /// A certificate for `localhost` of an authority, and that authority's own.
    fn issued(change: impl FnOnce(&mut CertificateParams)) -> [CertificateDer<'static>; 2] {
        let (authority_key, key) = (KeyPair::generate().expect("a key"), KeyPair::generate().expect("a key"));
        let mut authority = CertificateParams::new(Vec::new()).expect("parameters");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let own = authority.self_signed(&authority_key).expect("a certificate").der().clone();
        let issuer = Issuer::new(authority, authority_key);
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        change(&mut params);
        [params.signed_by(&key, &issuer).expect("a certificate").der().clone(), own]
    }

    fn verify(bundle: &CertificateDer<'static>, shown: &CertificateDer<'_>, name: &str, day: u64) -> String {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let trusting = Trusting::new(vec![bundle.clone()], &provider).expect("a bundle");
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        // Days since 2020-01-01.
        let now = UnixTime::since_unix_epoch(Duration::from_secs(1_577_836_800 + day * 86_400));
        let verified = trusting.verify_server_cert(shown, &[], &name, &[], now);
        verified.map_or_else(|error| error.to_string(), |_| "trusted".to_owned())
    }

    #[test]
    fn a_bundle_has_authorities_and_servers_own_certificates() {
        let [own, authority] = issued(|_| ());
        let [other, _] = issued(|_| ());
        let check = |found: String, part: &str| assert!(found.contains(part), "{found}: not {part}");
        check(verify(&authority, &own, "localhost", 9), "trusted");
        check(verify(&own, &own, "localhost", 9), "trusted");
        check(verify(&own, &other, "localhost", 9), "invalid peer certificate");
        check(verify(&own, &own, "example.com", 9), "not valid for name");
        check(verify(&own, &own, "localhost", 400), "Expired");
        let [client, _] = issued(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
        check(verify(&client, &client, "localhost", 9), "InvalidPurpose");
        let [server, _] = issued(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
        check(verify(&server, &server, "localhost", 9), "trusted");
        let [late, _] = issued(|params| params.not_before = date_time_ymd(2020, 2, 1));
        check(verify(&late, &late, "localhost", 9), "NotValidYet");
        // An authority may be a server too.
        let [both, _] = issued(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
        check(verify(&both, &both, "localhost", 9), "trusted");
    }
}
