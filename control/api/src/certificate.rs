//! The words in which controllers speak of certificates with whoever holds the cluster's certificate authority, and the check
//! of bundles of authorities by which others are known.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
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

/// Checks a bundle of certificates of authorities, PEM, of which one that can be read is enough. Nothing at all is no fault.
///
/// # Errors
/// The fault of the bundle, as Go's client-go says it.
pub fn check_authorities(bundle: &[u8]) -> Result<(), String> {
    if bundle.is_empty() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(bundle);
    let (blocks, rest) = pem_blocks(&text);
    let mut malformed = false;
    for block in blocks.iter().filter(|block| block.label == "CERTIFICATE" && !block.has_headers) {
        match x509_parser::parse_x509_certificate(&block.bytes) {
            Ok(([], _)) => return Ok(()),
            _ => malformed = true,
        }
    }
    let why = match (malformed, rest.is_empty()) {
        (true, _) => "failed to parse certificate: x509: malformed certificate",
        (false, true) => "no valid certificate authority data seen",
        (false, false) => "unable to parse bytes as PEM block",
    };
    Err(format!("unable to load root certificates: {why}"))
}

/// A block of PEM.
pub struct PemBlock<'a> {
    /// What it says that it is: `CERTIFICATE`.
    pub label: &'a str,
    /// Whether lines with a colon stand before its bytes.
    pub has_headers: bool,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// The blocks that can be read, as Go's encoding/pem reads them, and what comes after the last of them.
pub fn pem_blocks(text: &str) -> (Vec<PemBlock<'_>>, &str) {
    let mut blocks = Vec::new();
    let mut rest = text;
    let mut lines = text.split_inclusive('\n');
    let mut at = 0;
    while let Some(line) = lines.next() {
        at += line.len();
        let label = line.trim_end().strip_prefix("-----BEGIN ").and_then(|line| line.strip_suffix("-----"));
        let Some(label) = label else { continue };
        let end = format!("-----END {label}-----");
        let mut body = String::new();
        let (mut has_headers, mut ended) = (false, false);
        for line in lines.by_ref() {
            at += line.len();
            let line = line.trim();
            if line == end {
                ended = true;
                break;
            }
            match body.is_empty() && line.contains(':') {
                true => has_headers = true,
                false => body.push_str(line),
            }
        }
        if let (true, Ok(bytes)) = (ended, STANDARD.decode(&body)) {
            blocks.push(PemBlock { label, has_headers, bytes });
            rest = &text[at..];
        }
    }
    (blocks, rest)
}
