//! Public keys in PKIX form, and proofs that somebody holds the private one (Go's crypto/x509, ed25519, ecdsa, rsa).

use super::super::validation::At;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P521_SHA256_ASN1, ED25519, ParsedPublicKey,
    RSA_PSS_2048_8192_SHA256, RsaParameters, RsaPssSaltLength, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::borrow::Cow;
use x509_parser::der_parser::asn1_rs::{Oid, Tag};
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_DSA, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521,
    OID_PKCS1_RSAENCRYPTION, OID_SIG_ED25519,
};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey as Parsed;
use x509_parser::x509::SubjectPublicKeyInfo;

/// What is told of a key that cannot be read.
pub(super) const BAD_KEY: &str = "must be a valid PKIX-serialized public key";

/// The bytes of a field, which the schema has checked to be base64.
pub(super) fn bytes(at: At<'_>) -> Vec<u8> {
    STANDARD.decode(at.text()).unwrap_or_default()
}

/// A key that can be read.
pub(super) enum PublicKey<'a> {
    /// One of 32 bytes.
    Ed25519(&'a [u8]),
    /// An uncompressed point of a curve.
    Ec(&'static Curve, &'a [u8]),
    /// Bits of the modulus, and the key as PKCS #1 has it.
    Rsa(usize, &'a [u8]),
    /// One that Go reads, and that proves nothing.
    Other,
}

/// A curve that Go knows.
pub(super) struct Curve {
    /// Its name in Go.
    pub name: &'static str,
    is: Oid<'static>,
    /// How signatures over SHA-256 are verified; `None`: the curve is none that certificates of pods are made for.
    pub proves: Option<&'static dyn VerificationAlgorithm>,
    /// Bytes of a point: one, and two coordinates.
    point: usize,
}

static CURVES: [Curve; 4] = [
    Curve { name: "P-224", is: P224, proves: None, point: 57 },
    Curve { name: "P-256", is: OID_EC_P256, proves: Some(&ECDSA_P256_SHA256_ASN1), point: 65 },
    Curve { name: "P-384", is: OID_NIST_EC_P384, proves: Some(&ECDSA_P384_SHA256_ASN1), point: 97 },
    Curve { name: "P-521", is: OID_NIST_EC_P521, proves: Some(&ECDSA_P521_SHA256_ASN1), point: 133 },
];
/// 1.3.132.0.33
const P224: Oid<'static> = Oid::new(Cow::Borrowed(&[0x2b, 0x81, 0x04, 0x00, 0x21]));
/// 1.3.101.110
const X25519: Oid<'static> = Oid::new(Cow::Borrowed(&[0x2b, 0x65, 0x6e]));
/// Bytes of a key of one of Edwards' curves.
const EDWARDS: usize = 32;

/// Salts as long as they can be, which Go and the kubelet make, and as long as the hash.
static SALTS: [RsaParameters; 2] = [
    RSA_PSS_2048_8192_SHA256.with_pss_salt_length(RsaPssSaltLength::Max),
    RSA_PSS_2048_8192_SHA256.with_pss_salt_length(RsaPssSaltLength::Digest),
];

impl<'a> PublicKey<'a> {
    /// Reads a SubjectPublicKeyInfo, DER, of which nothing is left (x509.ParsePKIXPublicKey). `None`: it is no key that Go
    /// reads.
    pub(super) fn read(der: &'a [u8]) -> Option<Self> {
        let (rest, info) = SubjectPublicKeyInfo::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let parameters = info.algorithm.parameters.as_ref();
        let is = &info.algorithm.algorithm;
        if *is == OID_KEY_TYPE_DSA {
            return info.parsed().ok().map(|_| Self::Other);
        }
        if *is == OID_PKCS1_RSAENCRYPTION {
            let Ok(Parsed::RSA(parsed)) = info.parsed() else { return None };
            let null = parameters.is_some_and(|any| any.tag() == Tag::Null);
            let bytes = positive(parsed.modulus).filter(|_| null && positive(parsed.exponent).is_some())?;
            return Some(Self::Rsa(bytes * 8, bits(&info)?));
        }
        let key = bits(&info)?;
        if *is == OID_SIG_ED25519 || *is == X25519 {
            let sound = parameters.is_none() && key.len() == EDWARDS;
            return sound.then_some(if *is == X25519 { Self::Other } else { Self::Ed25519(key) });
        }
        if *is != OID_KEY_TYPE_EC_PUBLIC_KEY {
            return None;
        }
        let named = parameters?.as_oid().ok()?;
        let curve = CURVES.iter().find(|curve| curve.is == named)?;
        let sound = key.len() == curve.point && key.first() == Some(&4);
        let on_curve = curve.proves.is_none_or(|algorithm| ParsedPublicKey::new(algorithm, key).is_ok());
        (sound && on_curve).then_some(Self::Ec(curve, key))
    }

    /// Whether the signature of the message is by this key, made as proofs of possession are.
    pub(super) fn proves(&self, message: &[u8], signature: &[u8]) -> bool {
        let by = |algorithm: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok()
        };
        match self {
            Self::Ed25519(key) => by(&ED25519, key),
            Self::Ec(curve, key) => curve.proves.is_some_and(|algorithm| by(algorithm, key)),
            Self::Rsa(_, key) => SALTS.iter().any(|salt| by(salt, key)),
            Self::Other => false,
        }
    }
}

/// The bits of the key.
fn bits<'a>(info: &SubjectPublicKeyInfo<'a>) -> Option<&'a [u8]> {
    match info.subject_public_key.data {
        Cow::Borrowed(bits) => Some(bits),
        Cow::Owned(_) => None,
    }
}

/// Bytes of a number, DER, that is greater than zero; `None`: it is not.
fn positive(number: &[u8]) -> Option<usize> {
    let negative = number.first().is_some_and(|first| first & 0x80 != 0);
    let bytes = number.len() - number.iter().take_while(|byte| **byte == 0).count();
    (bytes > 0 && !negative).then_some(bytes)
}
