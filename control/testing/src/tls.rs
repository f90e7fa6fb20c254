//! A self-signed certificate for `localhost`, and what both ends make of it; one of a client; a request for one; a pair of keys for tokens.

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;

/// The configurations of a server that shows the certificate and of a client that trusts it.
#[derive(Clone, Debug)]
pub struct Pair {
    /// Asks for no client certificate; names no protocols.
    pub server: rustls::ServerConfig,
    /// Trusts the certificate and nothing else.
    pub client: rustls::ClientConfig,
    /// The certificate, PEM.
    pub certificate_pem: String,
}

/// A fresh pair for `localhost`.
///
/// # Panics
/// When none can be made.
pub fn pair() -> Pair {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let certificate = CertificateDer::from(made.cert.der().to_vec());
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .expect("a pair");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).expect("a root");
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Pair { server, client, certificate_pem: made.cert.pem() }
}

/// What a client shows for itself, PEM: a certificate, and its key.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The certificate.
    pub certificate_pem: String,
    /// PKCS #8.
    pub key_pem: String,
}

/// A fresh certificate for clients for which nobody vouches but itself: of a user, in a group.
///
/// # Panics
/// When none can be made.
pub fn self_signed_client(user: &str, group: &str) -> Shown {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, group);
    params.distinguished_name.push(DnType::CommonName, user);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().expect("a key");
    let made = params.self_signed(&key).expect("a certificate");
    Shown { certificate_pem: made.pem(), key_pem: key.serialize_pem() }
}

/// A request for a certificate of a user in a group (PKCS #10, PEM), for a host of that name too.
///
/// # Panics
/// When none can be made.
pub fn signing_request(user: &str, group: &str, host: &str) -> String {
    let mut params = CertificateParams::new(vec![host.to_owned()]).expect("a host's name");
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, group);
    params.distinguished_name.push(DnType::CommonName, user);
    let key = KeyPair::generate().expect("a key");
    params.serialize_request(&key).and_then(|request| request.pem()).expect("a request")
}

/// The two halves of a key that signs tokens, PEM.
#[derive(Clone, Debug)]
pub struct SigningKey {
    /// PKCS #8.
    pub private_pem: String,
    /// SubjectPublicKeyInfo.
    pub public_pem: String,
}

/// A fresh key of the curve P-256.
///
/// # Panics
/// When none can be made.
pub fn signing_key() -> SigningKey {
    let key = KeyPair::generate().expect("a key");
    SigningKey { private_pem: key.serialize_pem(), public_pem: key.public_key_pem() }
}
