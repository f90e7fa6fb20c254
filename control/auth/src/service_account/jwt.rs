//! Tokens in the compact form of JWS (RFC 7515): header, payload and signature in base64url, with points between.

use super::keys::{KeyError, PublicKey, SigningKey};
use crate::limits::TOKEN_BYTES_MAX;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// A token that was taken apart. Nothing of it is verified.
pub(super) struct Unverified<'a> {
    /// What the signature is of.
    signed: &'a str,
    /// Its claims, JSON.
    pub payload: Vec<u8>,
    signature: Vec<u8>,
    header: Header,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: String,
}

#[derive(Deserialize)]
struct Issuer {
    #[serde(default)]
    iss: String,
}

/// Takes a token apart; `None`: it is none.
pub(super) fn parse(token: &str) -> Option<Unverified<'_>> {
    if token.len() > TOKEN_BYTES_MAX {
        return None;
    }
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, payload) = signed.split_once('.')?;
    let header = serde_json::from_slice(&BASE64URL.decode(header).ok()?).ok()?;
    let payload = BASE64URL.decode(payload).ok()?;
    Some(Unverified { signed, payload, signature: BASE64URL.decode(signature).ok()?, header })
}

impl Unverified<'_> {
    /// Its issuer, as it says itself.
    pub fn issuer(&self) -> Option<String> {
        serde_json::from_slice::<Issuer>(&self.payload).ok().map(|payload| payload.iss)
    }

    /// Whether it is signed by one of the keys: by the one that it names, or by any where it names none.
    pub fn is_signed_by<'k>(&self, keys: impl IntoIterator<Item = &'k PublicKey>) -> bool {
        let named = |key: &&PublicKey| self.header.kid.is_empty() || self.header.kid == key.id;
        let mut fitting = keys.into_iter().filter(named).filter(|key| key.algorithm.name() == self.header.alg);
        fitting.any(|key| key.verifies(self.signed.as_bytes(), &self.signature))
    }
}

/// Makes a token that says `claims`.
///
/// # Errors
/// [`KeyError::Sign`].
pub(super) fn sign(key: &SigningKey, claims: &impl Serialize) -> Result<String, KeyError> {
    let header = json!({"alg": key.public().algorithm.name(), "kid": key.public().id});
    let mut token = BASE64URL.encode(header.to_string());
    token.push('.');
    let payload = serde_json::to_vec(claims).map_err(|_| KeyError::Sign)?;
    BASE64URL.encode_string(payload, &mut token);
    let signature = key.sign(token.as_bytes())?;
    token.push('.');
    BASE64URL.encode_string(signature, &mut token);
    Ok(token)
}
