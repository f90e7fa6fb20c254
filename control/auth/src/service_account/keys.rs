//! Keys of tokens: the private one signs, public ones verify. A key file decides the algorithm, as in kube-apiserver:
//! RSA keys sign RS256, keys of the curves P-256, P-384 and P-521 sign ES256, ES384 and ES512.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair, ParsedPublicKey, VerificationAlgorithm,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Map, Value, json};
use x509_parser::certificate::X509Certificate;
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey as Parsed;
use x509_parser::x509::SubjectPublicKeyInfo;

/// A signature algorithm of JWS (RFC 7518).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// RSA, PKCS #1 v1.5, SHA-256.
    Rs256,
    /// ECDSA on P-256, SHA-256.
    Es256,
    /// ECDSA on P-384, SHA-384.
    Es384,
    /// ECDSA on P-521, SHA-512.
    Es512,
}

impl Algorithm {
    /// As headers and key sets name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
        }
    }

    fn curve(self) -> Option<&'static str> {
        match self {
            Self::Rs256 => None,
            Self::Es256 => Some("P-256"),
            Self::Es384 => Some("P-384"),
            Self::Es512 => Some("P-521"),
        }
    }

    fn verification(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            Self::Es256 => &signature::ECDSA_P256_SHA256_FIXED,
            Self::Es384 => &signature::ECDSA_P384_SHA384_FIXED,
            Self::Es512 => &signature::ECDSA_P521_SHA512_FIXED,
        }
    }
}

const CURVES: [(Algorithm, &EcdsaSigningAlgorithm); 3] = [
    (Algorithm::Es256, &signature::ECDSA_P256_SHA256_FIXED_SIGNING),
    (Algorithm::Es384, &signature::ECDSA_P384_SHA384_FIXED_SIGNING),
    (Algorithm::Es512, &signature::ECDSA_P521_SHA512_FIXED_SIGNING),
];

/// A key that cannot be used, and why.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The text is no key.
    #[error("it holds no PEM of a private key: {0}")]
    Pem(String),
    /// The text has no key.
    #[error("data does not contain any valid RSA or ECDSA public keys")]
    None,
    /// It is a key of another kind.
    #[error("it is neither an RSA key of 2048 bits or more nor a key of the curves P-256, P-384 and P-521")]
    Kind,
    /// The engine refused.
    #[error("the token could not be signed")]
    Sign,
}

/// A public key, by which tokens are verified.
pub struct PublicKey {
    /// The hash of the key, by which a token's header names it.
    pub id: String,
    /// By which it verifies.
    pub algorithm: Algorithm,
    key: ParsedPublicKey,
    jwk: Map<String, Value>,
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PublicKey({} {})", self.algorithm.name(), self.id)
    }
}

impl PublicKey {
    /// Out of a SubjectPublicKeyInfo (DER).
    ///
    /// # Errors
    /// [`KeyError::Kind`].
    pub fn from_spki(der: &[u8]) -> Result<Self, KeyError> {
        let (_, info) = SubjectPublicKeyInfo::from_der(der).map_err(|_| KeyError::Kind)?;
        let unsigned = |number: &[u8]| {
            let leading = number.iter().take_while(|byte| **byte == 0).count();
            BASE64URL.encode(&number[leading..])
        };
        let (algorithm, numbers) = match info.parsed().map_err(|_| KeyError::Kind)? {
            Parsed::RSA(key) => {
                (Algorithm::Rs256, json!({"kty": "RSA", "n": unsigned(key.modulus), "e": unsigned(key.exponent)}))
            }
            Parsed::EC(point) => {
                // Uncompressed: a byte that says so, then both coordinates.
                let Some((4, both)) = point.data().split_first().map(|(form, both)| (*form, both)) else {
                    return Err(KeyError::Kind);
                };
                let algorithm = match both.len() {
                    64 => Algorithm::Es256,
                    96 => Algorithm::Es384,
                    132 => Algorithm::Es512,
                    _ => return Err(KeyError::Kind),
                };
                let (x, y) = both.split_at(both.len() / 2);
                let numbers = json!({
                    "kty": "EC", "crv": algorithm.curve(), "x": BASE64URL.encode(x), "y": BASE64URL.encode(y),
                });
                (algorithm, numbers)
            }
            _ => return Err(KeyError::Kind),
        };
        let key = ParsedPublicKey::new(algorithm.verification(), info.subject_public_key.data.as_ref());
        let key = key.map_err(|_| KeyError::Kind)?;
        let id = BASE64URL.encode(digest(&SHA256, der));
        let mut jwk = Map::new();
        jwk.insert("use".into(), "sig".into());
        jwk.insert("kid".into(), id.clone().into());
        jwk.insert("alg".into(), algorithm.name().into());
        if let Value::Object(numbers) = numbers {
            jwk.extend(numbers);
        }
        Ok(Self { id, algorithm, key, jwk })
    }

    /// All keys of a PEM file: public ones, those of certificates, and of private ones the public part. Other blocks are passed
    /// over, as kube-apiserver does.
    ///
    /// # Errors
    /// [`KeyError::None`].
    pub fn all_from_pem(pem: &[u8]) -> Result<Vec<Self>, KeyError> {
        let blocks = Pem::iter_from_buffer(pem).filter_map(Result::ok);
        let keys: Vec<Self> = blocks.filter_map(|block| Self::from_block(&block.label, &block.contents).ok()).collect();
        if keys.is_empty() { Err(KeyError::None) } else { Ok(keys) }
    }

    fn from_block(label: &str, der: &[u8]) -> Result<Self, KeyError> {
        match label {
            "PUBLIC KEY" => Self::from_spki(der),
            "CERTIFICATE" => {
                let (_, certificate) = X509Certificate::from_der(der).map_err(|_| KeyError::Kind)?;
                Self::from_spki(certificate.public_key().raw)
            }
            _ => {
                let key = PrivateKeyDer::try_from(der).map_err(|error| KeyError::Pem(error.to_owned()))?;
                SigningKey::from_der(&key).map(|key| key.public)
            }
        }
    }

    /// Whether the signature of the message is by this key.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.key.verify_sig(message, signature).is_ok()
    }

    /// The key as a JSON Web Key (RFC 7517).
    pub fn jwk(&self) -> Value {
        Value::Object(self.jwk.clone())
    }
}

enum Pair {
    Rsa(rsa::KeyPair),
    Ec(EcdsaKeyPair),
}

/// The private key that signs.
pub struct SigningKey {
    pair: Pair,
    public: PublicKey,
}

/// The key is a secret.
impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({:?})", self.public)
    }
}

impl SigningKey {
    /// Out of a PEM file: PKCS #8, PKCS #1 or SEC 1.
    ///
    /// # Errors
    /// [`KeyError::Pem`], [`KeyError::Kind`].
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        Self::from_der(&PrivateKeyDer::from_pem_slice(pem).map_err(|error| KeyError::Pem(error.to_string()))?)
    }

    fn from_der(der: &PrivateKeyDer<'_>) -> Result<Self, KeyError> {
        let bytes = der.secret_der();
        let rsa = match der {
            PrivateKeyDer::Pkcs1(_) => rsa::KeyPair::from_der(bytes),
            _ => rsa::KeyPair::from_pkcs8(bytes),
        };
        if let Ok(pair) = rsa {
            let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| KeyError::Kind)?;
            let public = PublicKey::from_spki(spki.as_ref())?;
            return Ok(Self { pair: Pair::Rsa(pair), public });
        }
        for (algorithm, signing) in CURVES {
            let Ok(pair) = EcdsaKeyPair::from_private_key_der(signing, bytes) else { continue };
            let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| KeyError::Kind)?;
            let public = PublicKey::from_spki(spki.as_ref())?;
            if public.algorithm == algorithm {
                return Ok(Self { pair: Pair::Ec(pair), public });
            }
        }
        Err(KeyError::Kind)
    }

    /// The key that verifies what this one signs.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The signature of a message, in the form of JWS.
    ///
    /// # Errors
    /// [`KeyError::Sign`].
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .map_err(|_| KeyError::Sign)?;
                Ok(signature)
            }
            Pair::Ec(pair) => Ok(pair.sign(&random, message).map_err(|_| KeyError::Sign)?.as_ref().to_vec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_key_signs_by_its_own_algorithm() {
        let check = |pair: rcgen::KeyPair, algorithm: Algorithm| {
            let key = SigningKey::from_pem(pair.serialize_pem().as_bytes()).expect("a key");
            let public = key.public();
            assert_eq!(public.algorithm, algorithm);
            let signature = key.sign(b"what is said").expect("signed");
            assert!(public.verifies(b"what is said", &signature), "{algorithm:?}");
            assert!(!public.verifies(b"what is not", &signature), "{algorithm:?}");
            let again =
                PublicKey::from_spki(&rcgen::PublicKeyData::subject_public_key_info(&pair)).expect("a public key");
            assert_eq!((&again.id, again.jwk()), (&public.id, public.jwk()));
            assert_eq!(again.jwk()["alg"], algorithm.name());
            assert!(!format!("{key:?}").contains("PRIVATE"));
        };
        let made = |algorithm| rcgen::KeyPair::generate_for(algorithm).expect("a key");
        check(made(&rcgen::PKCS_ECDSA_P256_SHA256), Algorithm::Es256);
        check(made(&rcgen::PKCS_ECDSA_P384_SHA384), Algorithm::Es384);
        check(made(&rcgen::PKCS_ECDSA_P521_SHA512), Algorithm::Es512);
        check(made(&rcgen::PKCS_RSA_SHA256), Algorithm::Rs256);
    }

    #[test]
    fn a_file_may_hold_several_keys_in_several_forms() {
        let made = |algorithm| rcgen::KeyPair::generate_for(algorithm).expect("a key");
        let (one, two, three) =
            (made(&rcgen::PKCS_ECDSA_P256_SHA256), made(&rcgen::PKCS_RSA_SHA256), made(&rcgen::PKCS_ECDSA_P384_SHA384));
        let certificate = rcgen::CertificateParams::new(Vec::new()).and_then(|params| params.self_signed(&three));
        let text = format!(
            "{}-----BEGIN OTHER-----\nAAAA\n-----END OTHER-----\n{}{}",
            one.public_key_pem(),
            two.serialize_pem(),
            certificate.expect("a certificate").pem()
        );
        let ids: Vec<String> =
            PublicKey::all_from_pem(text.as_bytes()).expect("keys").into_iter().map(|key| key.id).collect();
        let id = |pair: &rcgen::KeyPair| {
            PublicKey::from_spki(&rcgen::PublicKeyData::subject_public_key_info(pair)).expect("a public key").id
        };
        assert_eq!(ids, [id(&one), id(&two), id(&three)]);
        assert!(matches!(PublicKey::all_from_pem(b"nonsense"), Err(KeyError::None)));
    }

    #[test]
    fn a_file_that_is_no_key_is_told() {
        assert!(matches!(SigningKey::from_pem(b"nonsense"), Err(KeyError::Pem(_))));
        let edwards = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
        assert!(matches!(SigningKey::from_pem(edwards.serialize_pem().as_bytes()), Err(KeyError::Kind)));
    }
}
