//! The words in which controllers speak of certificates with whoever holds the cluster's certificate authority.

use std::time::{Duration, SystemTime};

/// The facts of a certificate signing request (PKCS #10) by which it is judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestedCertificate {
    /// The last common name of its subject.
    pub common_name: String,
    /// The organizations of its subject, in their order.
    pub organizations: Vec<String>,
    /// How many subject alternative names it has of each kind.
    pub dns_names: usize,
    /// See [`RequestedCertificate::dns_names`].
    pub ip_addresses: usize,
    /// See [`RequestedCertificate::dns_names`].
    pub email_addresses: usize,
    /// See [`RequestedCertificate::dns_names`].
    pub uris: usize,
}

/// A certificate authority.
pub trait CertificateAuthority: Send + Sync {
    /// Reads a request, PEM.
    ///
    /// # Errors
    /// The fault of the request, in words.
    fn read(&self, request: &[u8]) -> Result<RequestedCertificate, String>;

    /// Signs a request, PEM, for `usages` (those of a CertificateSigningRequest) and so long from `now` on. The answer is
    /// the certificate, PEM.
    ///
    /// # Errors
    /// The fault of the request or of the authority, in words.
    fn sign(&self, request: &[u8], usages: &[&str], lifetime: Duration, now: SystemTime) -> Result<String, String>;

    /// The end of a certificate, PEM; `None`: it is none.
    fn not_after(&self, certificate: &[u8]) -> Option<SystemTime>;
}
