//! Certificate signing requests, read and signed by the cluster's authority as kube-controller-manager's signers do
//! (pkg/controller/certificates/authority): the subject and its alternative names are taken over, everything else is ours.

use crate::limits::{CERTIFICATE_BACKDATE, CERTIFICATE_SHORT};
use crate::pki::Pki;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{self, EcdsaKeyPair, UnparsedPublicKey, VerificationAlgorithm};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use sampan_api::certificate::{CertificateAuthority, RequestedCertificate};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::extensions::{GeneralName, ParsedExtension, X509Extension};
use x509_parser::oid_registry::{
    OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ECDSA_WITH_SHA512, OID_SIG_ED25519,
    OID_X509_EXT_SUBJECT_ALT_NAME,
};
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

/// Names of usages and their bits in the extension of key usages (RFC 5280), counted from its first.
const KEY_USAGES: [(&str, u8); 10] = [
    ("signing", 0),
    ("digital signature", 0),
    ("content commitment", 1),
    ("key encipherment", 2),
    ("data encipherment", 3),
    ("key agreement", 4),
    ("cert sign", 5),
    ("crl sign", 6),
    ("encipher only", 7),
    ("decipher only", 8),
];

/// Names of usages and their identifiers (DER) in the extension of extended key usages.
const EXTENDED_USAGES: [(&str, &[u8]); 13] = [
    ("any", &[0x55, 0x1d, 0x25, 0x00]),
    ("server auth", &[0x2b, 6, 1, 5, 5, 7, 3, 1]),
    ("client auth", &[0x2b, 6, 1, 5, 5, 7, 3, 2]),
    ("code signing", &[0x2b, 6, 1, 5, 5, 7, 3, 3]),
    ("email protection", &[0x2b, 6, 1, 5, 5, 7, 3, 4]),
    ("s/mime", &[0x2b, 6, 1, 5, 5, 7, 3, 4]),
    ("ipsec end system", &[0x2b, 6, 1, 5, 5, 7, 3, 5]),
    ("ipsec tunnel", &[0x2b, 6, 1, 5, 5, 7, 3, 6]),
    ("ipsec user", &[0x2b, 6, 1, 5, 5, 7, 3, 7]),
    ("timestamping", &[0x2b, 6, 1, 5, 5, 7, 3, 8]),
    ("ocsp signing", &[0x2b, 6, 1, 5, 5, 7, 3, 9]),
    ("microsoft sgc", &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 10, 3, 3]),
    ("netscape sgc", &[0x60, 0x86, 0x48, 1, 0x86, 0xf8, 0x42, 4, 1]),
];

/// Tags of DER.
mod tag {
    pub(super) const BOOLEAN: u8 = 0x01;
    pub(super) const INTEGER: u8 = 0x02;
    pub(super) const BIT_STRING: u8 = 0x03;
    pub(super) const OCTET_STRING: u8 = 0x04;
    pub(super) const OID: u8 = 0x06;
    pub(super) const UTC_TIME: u8 = 0x17;
    pub(super) const GENERALIZED_TIME: u8 = 0x18;
    pub(super) const SEQUENCE: u8 = 0x30;
    pub(super) const VERSION: u8 = 0xa0;
    pub(super) const KEY_ID: u8 = 0x80;
    pub(super) const EXTENSIONS: u8 = 0xa3;
}

/// A value of DER: the tag, the length, the parts.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = vec![tag];
    if length < 0x80 {
        out.push(length.to_le_bytes()[0]);
    } else {
        let bytes = length.to_be_bytes();
        let bytes = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
        out.push(0x80 | bytes.len().to_le_bytes()[0]);
        out.extend_from_slice(bytes);
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

fn extension(oid: &[u8], critical: Criticality, value: &[u8]) -> Vec<u8> {
    let flag = match critical {
        Criticality::Critical => der(tag::BOOLEAN, &[&[0xff]]),
        Criticality::Not => Vec::new(),
    };
    der(tag::SEQUENCE, &[&der(tag::OID, &[oid]), &flag, &der(tag::OCTET_STRING, &[value])])
}

#[derive(Clone, Copy)]
enum Criticality {
    Critical,
    Not,
}

/// Until 2049 in two digits of the year, as RFC 5280 wants it.
fn time(at: SystemTime) -> Result<Vec<u8>, String> {
    let at = jiff::Timestamp::try_from(at).map_err(|error| error.to_string())?.to_zoned(jiff::tz::TimeZone::UTC);
    let (tag, format) = match at.year() {
        ..2050 => (tag::UTC_TIME, "%y%m%d%H%M%SZ"),
        _ => (tag::GENERALIZED_TIME, "%Y%m%d%H%M%SZ"),
    };
    Ok(der(tag, &[at.strftime(format).to_string().as_bytes()]))
}

/// A request's DER, out of its PEM.
fn block(pem: &[u8]) -> Result<Vec<u8>, String> {
    match parse_x509_pem(pem) {
        Ok((_, block)) if block.label == "CERTIFICATE REQUEST" => Ok(block.contents),
        _ => Err("PEM block type must be CERTIFICATE REQUEST".into()),
    }
}

/// The alternative names that are asked for, as they came.
fn alternative_names<'a>(request: &'a X509CertificationRequest<'_>) -> Option<&'a X509Extension<'a>> {
    let attributes = request.certification_request_info.iter_attributes();
    let extensions = attributes.filter_map(|attribute| match attribute.parsed_attribute() {
        ParsedCriAttribute::ExtensionRequest(asked) => Some(&asked.extensions),
        _ => None,
    });
    extensions.flatten().find(|one| one.oid == OID_X509_EXT_SUBJECT_ALT_NAME)
}

fn organizations(name: &X509Name<'_>) -> Vec<String> {
    name.iter_organization().filter_map(|one| one.as_str().ok()).map(str::to_owned).collect()
}

/// Reads a request, PEM.
///
/// # Errors
/// The fault of the request, in words.
pub fn read(pem: &[u8]) -> Result<RequestedCertificate, String> {
    let der = block(pem)?;
    let (_, request) = X509CertificationRequest::from_der(&der).map_err(|error| error.to_string())?;
    let subject = &request.certification_request_info.subject;
    let name = subject.iter_common_name().last().and_then(|name| name.as_str().ok()).unwrap_or_default();
    let mut read = RequestedCertificate {
        common_name: name.to_owned(),
        organizations: organizations(subject),
        ..RequestedCertificate::default()
    };
    if let Some(ParsedExtension::SubjectAlternativeName(names)) =
        alternative_names(&request).map(|one| one.parsed_extension())
    {
        for name in &names.general_names {
            match name {
                GeneralName::DNSName(_) => read.dns_names += 1,
                GeneralName::IPAddress(_) => read.ip_addresses += 1,
                GeneralName::RFC822Name(_) => read.email_addresses += 1,
                GeneralName::URI(_) => read.uris += 1,
                _ => {}
            }
        }
    }
    Ok(read)
}

/// Whether the request is signed by the key that it is for: who asks holds it.
fn verify(request: &X509CertificationRequest<'_>) -> Result<(), String> {
    let info = &request.certification_request_info;
    let key = info.subject_pki.subject_public_key.data.as_ref();
    let is = &request.signature_algorithm.algorithm;
    let of_rsa = |last: u8| is.as_bytes() == [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, last];
    // A point: a byte, and two coordinates.
    let algorithm: &dyn VerificationAlgorithm = match key.len() {
        _ if of_rsa(11) => &signature::RSA_PKCS1_2048_8192_SHA256,
        _ if of_rsa(12) => &signature::RSA_PKCS1_2048_8192_SHA384,
        _ if of_rsa(13) => &signature::RSA_PKCS1_2048_8192_SHA512,
        32 if *is == OID_SIG_ED25519 => &signature::ED25519,
        65 if *is == OID_SIG_ECDSA_WITH_SHA256 => &signature::ECDSA_P256_SHA256_ASN1,
        65 if *is == OID_SIG_ECDSA_WITH_SHA384 => &signature::ECDSA_P256_SHA384_ASN1,
        97 if *is == OID_SIG_ECDSA_WITH_SHA256 => &signature::ECDSA_P384_SHA256_ASN1,
        97 if *is == OID_SIG_ECDSA_WITH_SHA384 => &signature::ECDSA_P384_SHA384_ASN1,
        133 if *is == OID_SIG_ECDSA_WITH_SHA512 => &signature::ECDSA_P521_SHA512_ASN1,
        _ => return Err(format!("unable to verify certificate request signature: {is} is no algorithm that is known")),
    };
    let verified = UnparsedPublicKey::new(algorithm, key).verify(info.raw, &request.signature_value.data);
    verified.map_err(|_| "unable to verify certificate request signature: it is not by the request's key".into())
}

/// The extensions of key usages; errors name a usage that there is not.
fn usages(usages: &[&str]) -> Result<Vec<Vec<u8>>, String> {
    let mut bits: u16 = 0;
    let mut extended: Vec<&[u8]> = Vec::new();
    for usage in usages {
        let bit = KEY_USAGES.iter().find(|(name, _)| name == usage);
        let one = EXTENDED_USAGES.iter().find(|(name, _)| name == usage);
        match (bit, one) {
            (Some((_, bit)), _) => bits |= 0x8000 >> bit,
            (_, Some((_, oid))) if extended.contains(oid) => {}
            (_, Some((_, oid))) => extended.push(oid),
            _ => return Err(format!("unrecognized usage values: {usage:?}")),
        }
    }
    let mut extensions = Vec::new();
    if bits != 0 {
        let [first, second] = bits.to_be_bytes();
        let bytes: &[u8] = if second == 0 { &[first] } else { &[first, second] };
        let unused = bytes.last().map_or(0, |last| last.trailing_zeros().to_le_bytes()[0]);
        let value = der(tag::BIT_STRING, &[&[unused], bytes]);
        extensions.push(extension(&[0x55, 0x1d, 0x0f], Criticality::Critical, &value));
    }
    if !extended.is_empty() {
        let ids: Vec<u8> = extended.iter().flat_map(|oid| der(tag::OID, &[oid])).collect();
        extensions.push(extension(&[0x55, 0x1d, 0x25], Criticality::Not, &der(tag::SEQUENCE, &[&ids])));
    }
    Ok(extensions)
}

/// The authority's key.
enum Key {
    Ec(EcdsaKeyPair),
    Rsa(rsa::KeyPair),
}

impl Key {
    fn from_pem(pem: &str) -> Result<Self, String> {
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|error| error.to_string())?;
        let algorithm = &signature::ECDSA_P256_SHA256_ASN1_SIGNING;
        if let Ok(pair) = EcdsaKeyPair::from_private_key_der(algorithm, key.secret_der()) {
            return Ok(Self::Ec(pair));
        }
        let pair = match &key {
            PrivateKeyDer::Pkcs1(_) => rsa::KeyPair::from_der(key.secret_der()),
            _ => rsa::KeyPair::from_pkcs8(key.secret_der()),
        };
        pair.map(Self::Rsa).map_err(|_| "the authority's key is neither of the curve P-256 nor of RSA".into())
    }

    /// The identifier of the algorithm, DER.
    fn algorithm(&self) -> Vec<u8> {
        match self {
            Self::Ec(_) => der(tag::SEQUENCE, &[&der(tag::OID, &[&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]])]),
            Self::Rsa(_) => {
                let oid = der(tag::OID, &[&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11]]);
                der(tag::SEQUENCE, &[&oid, &[5, 0]])
            }
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        let random = SystemRandom::new();
        let refused = |_| "failed to sign certificate".to_owned();
        match self {
            Self::Ec(pair) => Ok(pair.sign(&random, message).map_err(refused)?.as_ref().to_vec()),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(refused)?;
                Ok(signature)
            }
        }
    }
}

/// From when and until when a certificate holds (`PermissiveSigningPolicy`).
fn validity(lifetime: Duration, now: SystemTime, end: SystemTime) -> Result<(SystemTime, SystemTime), String> {
    if now >= end {
        return Err("refusing to sign a certificate that expired in the past: the signer has expired".into());
    }
    let lasts = if lifetime < CERTIFICATE_SHORT { lifetime } else { lifetime.saturating_sub(CERTIFICATE_BACKDATE) };
    let until = sampan_api::time::later(now, lasts).min(end);
    Ok((sampan_api::time::earlier(now, CERTIFICATE_BACKDATE), until))
}

impl CertificateAuthority for Pki {
    fn read(&self, request: &[u8]) -> Result<RequestedCertificate, String> {
        read(request)
    }

    fn sign(&self, request: &[u8], wanted: &[&str], lifetime: Duration, now: SystemTime) -> Result<String, String> {
        let asked = block(request)?;
        let parse = |error: x509_parser::nom::Err<x509_parser::error::X509Error>| {
            format!("unable to parse certificate request: {error}")
        };
        let (_, asked) = X509CertificationRequest::from_der(&asked).map_err(parse)?;
        verify(&asked)?;
        let (_, ca) = parse_x509_pem(self.ca_pem().as_bytes()).map_err(|error| error.to_string())?;
        let ca = ca.parse_x509().map_err(|error| error.to_string())?;
        let end = UNIX_EPOCH + Duration::from_secs(u64::try_from(ca.validity().not_after.timestamp()).unwrap_or(0));
        let (from, until) = validity(lifetime, now, end)?;
        let key = Key::from_pem(self.ca_key_pem())?;

        let mut extensions = usages(wanted)?;
        extensions.push(extension(&[0x55, 0x1d, 0x13], Criticality::Critical, &der(tag::SEQUENCE, &[])));
        for one in ca.extensions() {
            if let ParsedExtension::SubjectKeyIdentifier(id) = one.parsed_extension() {
                let value = der(tag::SEQUENCE, &[&der(tag::KEY_ID, &[id.0])]);
                extensions.push(extension(&[0x55, 0x1d, 0x23], Criticality::Not, &value));
            }
        }
        let info = &asked.certification_request_info;
        if let Some(names) = alternative_names(&asked) {
            // Without a subject they are all that says who it is.
            let empty = info.subject.iter().next().is_none();
            let critical = if empty { Criticality::Critical } else { Criticality::Not };
            extensions.push(extension(&[0x55, 0x1d, 0x11], critical, names.value));
        }
        let mut serial = [0; 16];
        aws_lc_rs::rand::fill(&mut serial).map_err(|_| "no serial number could be drawn".to_owned())?;
        // Positive, and as short as DER wants it.
        serial[0] = serial[0] & 0x7f | 0x40;
        let algorithm = key.algorithm();
        let certificate = der(
            tag::SEQUENCE,
            &[
                &der(tag::VERSION, &[&der(tag::INTEGER, &[&[2]])]),
                &der(tag::INTEGER, &[&serial]),
                &algorithm,
                ca.subject().as_raw(),
                &der(tag::SEQUENCE, &[&time(from)?, &time(until)?]),
                info.subject.as_raw(),
                info.subject_pki.raw,
                &der(tag::EXTENSIONS, &[&der(tag::SEQUENCE, &[&extensions.concat()])]),
            ],
        );
        let signature = der(tag::BIT_STRING, &[&[0], &key.sign(&certificate)?]);
        Ok(pem(&der(tag::SEQUENCE, &[&certificate, &algorithm, &signature])))
    }

    fn not_after(&self, certificate: &[u8]) -> Option<SystemTime> {
        let (_, block) = parse_x509_pem(certificate).ok()?;
        let end = block.parse_x509().ok()?.validity().not_after.timestamp();
        Some(UNIX_EPOCH + Duration::from_secs(u64::try_from(end).ok()?))
    }
}

fn pem(der: &[u8]) -> String {
    use base64::Engine;
    const LINE: usize = 64;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut out = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in text.as_bytes().chunks(LINE) {
        out.push_str(&String::from_utf8_lossy(line));
        out.push('\n');
    }
    out.push_str("-----END CERTIFICATE-----\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificates::identity;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};
    use sampan_env::Env;

    fn request(algorithm: &'static rcgen::SignatureAlgorithm, group: &str) -> String {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, group);
        params.distinguished_name.push(DnType::CommonName, "system:node:n1");
        params.subject_alt_names = vec![
            SanType::DnsName("n1".try_into().expect("a name")),
            SanType::IpAddress("127.0.0.1".parse().expect("an address")),
        ];
        let key = KeyPair::generate_for(algorithm).expect("a key");
        params.serialize_request(&key).expect("a request").pem().expect("PEM")
    }

    #[test]
    fn a_request_becomes_a_certificate_of_the_authority() {
        let folder = tempfile::tempdir().expect("a folder");
        let env = Env::system();
        let pki = Pki::open(folder.path(), &env).expect("made");
        for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
            let asked = request(algorithm, "system:nodes");
            let read = read(asked.as_bytes()).expect("readable");
            assert_eq!(
                (read.common_name.as_str(), read.organizations),
                ("system:node:n1", vec!["system:nodes".into()])
            );
            assert_eq!((read.dns_names, read.ip_addresses, read.email_addresses, read.uris), (1, 1, 0, 0));
            let now = env.now();
            let hour = Duration::from_secs(3600);
            let wanted = ["digital signature", "key encipherment", "client auth", "decipher only"];
            let made = pki.sign(asked.as_bytes(), &wanted, hour, now).expect("signed");
            let (_, block) = parse_x509_pem(made.as_bytes()).expect("PEM");
            let certificate = block.parse_x509().expect("a certificate");
            let user = identity(&block.contents).expect("readable").expect("an identity");
            assert!(user.name == "system:node:n1" && user.in_group("system:nodes"));
            let usage = certificate.key_usage().expect("one").expect("key usages").value;
            assert!(usage.digital_signature() && usage.key_encipherment() && usage.decipher_only());
            assert!(!usage.key_cert_sign() && !certificate.is_ca());
            assert!(certificate.extended_key_usage().expect("one").expect("usages").value.client_auth);
            assert_eq!(
                certificate.subject_alternative_name().expect("one").expect("names").value.general_names.len(),
                2
            );
            let end = pki.not_after(made.as_bytes()).expect("an end");
            assert!(end <= now + hour && end + Duration::from_secs(1) > now + hour);
            // The server's own verifier takes it.
            let mut roots = rustls::RootCertStore::empty();
            let der = |pem: &str| rustls::pki_types::CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM");
            roots.add(der(pki.ca_pem())).expect("the authority");
            let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            let time = rustls::pki_types::UnixTime::since_unix_epoch(now.duration_since(UNIX_EPOCH).expect("after"));
            verifier.build().expect("a verifier").verify_client_cert(&der(&made), &[], time).expect("it holds");
        }
    }

    #[test]
    fn what_cannot_be_signed_says_why() {
        let folder = tempfile::tempdir().expect("a folder");
        let env = Env::system();
        let pki = Pki::open(folder.path(), &env).expect("made");
        let asked = request(&rcgen::PKCS_ECDSA_P256_SHA256, "g");
        let check = |request: &[u8], usage: &str, now: SystemTime, part: &str| {
            let error = pki.sign(request, &[usage], Duration::from_secs(600), now).expect_err(part);
            assert!(error.contains(part), "{error}");
        };
        check(b"nonsense", "client auth", env.now(), "PEM block type must be CERTIFICATE REQUEST");
        check(asked.as_bytes(), "flying", env.now(), "unrecognized usage values");
        let later = env.now() + Duration::from_secs(20 * 366 * 86_400);
        check(asked.as_bytes(), "client auth", later, "expired");
        // Of another key: the last bytes of the signature are changed.
        let (_, parsed) = parse_x509_pem(asked.as_bytes()).expect("PEM");
        let mut der = parsed.contents;
        let last = der.len() - 1;
        der[last] ^= 1;
        let forged = pem(&der).replace("CERTIFICATE-", "CERTIFICATE REQUEST-");
        check(forged.as_bytes(), "client auth", env.now(), "unable to verify certificate request signature");
    }

    #[test]
    fn lengths_and_times_are_written_as_der_wants() {
        assert_eq!(der(4, &[&[1; 5]])[..2], [4, 5]);
        assert_eq!(der(4, &[&[1; 200]])[..3], [4, 0x81, 200]);
        assert_eq!(der(4, &[&[1; 300]])[..4], [4, 0x82, 1, 44]);
        let at = |text: &str| sampan_api::time::parse(text).expect(text);
        assert_eq!(time(at("2026-11-28T13:00:01Z")).expect("a time")[2..], *b"261128130001Z");
        assert_eq!(time(at("2050-01-01T00:00:00Z")).expect("a time")[2..], *b"20500101000000Z");
    }
}
