//! The `continue` token: where the next page of a list begins, and of which revision.

use crate::error::Error;
use crate::limits::CONTINUE_TOKEN_MAX;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// As apiserver writes it, with one member more: how many items were left behind the page (absent: not known).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Token {
    #[serde(rename = "v")]
    version: String,
    /// Of the first page; [`INCONSISTENT`]: of whatever is current.
    #[serde(rename = "rv")]
    revision: i64,
    /// The last key of the page before, below the resource's prefix.
    #[serde(rename = "start")]
    pub(crate) after: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) left: Option<u64>,
}

const VERSION: &str = "meta.k8s.io/v1";
/// The revision in a token that goes on after the list's own has expired.
const INCONSISTENT: i64 = -1;

impl Token {
    pub(crate) fn new(revision: u64, after: &str, left: Option<u64>) -> Self {
        Self { version: VERSION.into(), revision: revision.cast_signed(), after: after.to_owned(), left }
    }

    /// The token that goes on from the same key, with the current state.
    pub(crate) fn inconsistent(&self) -> Self {
        Self { revision: INCONSISTENT, left: None, ..self.clone() }
    }

    /// `None`: the current one.
    pub(crate) fn revision(&self) -> Option<u64> {
        u64::try_from(self.revision).ok()
    }

    pub(crate) fn encode(&self) -> String {
        // A struct of strings and numbers always encodes.
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    pub(crate) fn decode(text: &str) -> Result<Self, Error> {
        let bad = |why: &str| Error::BadRequest(format!("continue key is not valid: {why}"));
        if text.len() > CONTINUE_TOKEN_MAX {
            return Err(bad("it is too long"));
        }
        let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|error| bad(&error.to_string()))?;
        let token: Self = serde_json::from_slice(&bytes).map_err(|error| bad(&error.to_string()))?;
        if token.version != VERSION {
            return Err(bad(&format!("server does not recognize this encoded version \"{}\"", token.version)));
        }
        if token.revision == 0 || token.revision < INCONSISTENT {
            return Err(bad("incorrect encoded start resourceVersion (version meta.k8s.io/v1)"));
        }
        if token.after.is_empty() || token.after.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(bad("encoded start key is not valid"));
        }
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_and_nonsense_does_not() {
        let token = Token::new(7, "default/a", Some(3));
        assert_eq!(Token::decode(&token.encode()).expect("our own"), token);
        for text in ["x", "", "AAAA", &URL_SAFE_NO_PAD.encode(r#"{"v":"meta.k8s.io/v1","rv":1,"start":"../x"}"#)] {
            let error = Token::decode(text).expect_err("nonsense");
            assert!(matches!(error, Error::BadRequest(_)), "{text}: {error}");
        }
    }
}
