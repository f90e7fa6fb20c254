//! The `continue` token: where the next page of a list begins, and of which revision. Whoever asks for it may make one up
//! and so name any revision; what only a list that was begun may go on to see asks for a tag of this server's.

use crate::error::Error;
use crate::limits::CONTINUE_TOKEN_MAX;
use crate::seal::Seal;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sampan_schema::json;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// As apiserver writes it, with two members more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Token {
    #[serde(rename = "v", default)]
    version: String,
    /// Of the first page; [`INCONSISTENT`]: of whatever is current.
    #[serde(rename = "rv", default)]
    revision: i64,
    /// The last key of the page before, below the resource's prefix.
    #[serde(rename = "start", default)]
    pub(crate) after: String,
    /// How many items were left behind the page; `None`: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) left: Option<u64>,
    /// The tag of a token that was handed out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    seal: String,
}

const VERSION: &str = "meta.k8s.io/v1";
/// The revision in a token that goes on after the list's own has expired.
const INCONSISTENT: i64 = -1;

impl Token {
    pub(crate) fn new(revision: u64, after: &str, left: Option<u64>) -> Self {
        Self {
            version: VERSION.into(),
            revision: revision.cast_signed(),
            after: after.to_owned(),
            left,
            seal: String::new(),
        }
    }

    /// The token that goes on from the same key, with the current state.
    pub(crate) fn inconsistent(&self) -> Self {
        Self { revision: INCONSISTENT, left: None, seal: String::new(), ..self.clone() }
    }

    /// `None`: the current one.
    pub(crate) fn revision(&self) -> Option<u64> {
        u64::try_from(self.revision).ok()
    }

    /// As it is handed out for a list of the keys with that prefix.
    pub(crate) fn sealed(self, seal: &Seal, key_prefix: &str) -> Self {
        let tag = seal.tag(&[key_prefix, &self.after], self.revision);
        Self { seal: URL_SAFE_NO_PAD.encode(tag), ..self }
    }

    /// Whether it was handed out by `seal`'s process for such a list.
    pub(crate) fn is_of(&self, seal: &Seal, key_prefix: &str) -> bool {
        let tag = URL_SAFE_NO_PAD.decode(&self.seal).unwrap_or_default();
        seal.knows(&[key_prefix, &self.after], self.revision, &tag)
    }

    pub(crate) fn encode(&self) -> String {
        // A struct of strings and numbers always encodes.
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    pub(crate) fn decode(text: &str) -> Result<Self, Error> {
        let bad = |why: &str| Error::BadRequest(format!("invalid continue token: continue key is not valid: {why}"));
        if text.len() > CONTINUE_TOKEN_MAX {
            return Err(bad("it is too long"));
        }
        let bytes = URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|error| bad(&format!("illegal base64 data at input byte {}", go_position(&error, text))))?;
        let token = Self::read(&bytes).map_err(|why| bad(&why))?;
        if token.version != VERSION {
            return Err(bad(&format!("server does not recognize this encoded version {}", token.version)));
        }
        if token.revision == 0 || token.revision < INCONSISTENT {
            return Err(bad("incorrect encoded start resourceVersion (version meta.k8s.io/v1)"));
        }
        if token.after.is_empty() {
            return Err(bad("encoded start key empty (version meta.k8s.io/v1)"));
        }
        if token.after.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(bad(&token.after));
        }
        Ok(token)
    }
}

impl Token {
    /// The token that JSON says. The error is that of Go's decoder.
    fn read(bytes: &[u8]) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(bytes).map_err(|error| syntax(bytes, &error))?;
        let mut members = match value {
            Value::Object(members) => members,
            Value::Null => Map::new(),
            other => {
                let seen = json::name_of(&other);
                return Err(format!("json: cannot unmarshal {seen} into Go value of type storage.continueToken"));
            }
        };
        members.retain(|_, value| !value.is_null());
        for (name, ty) in [("v", "string"), ("rv", "int64"), ("start", "string")] {
            let wrong = |value: &&Value| if ty == "string" { !value.is_string() } else { !value.is_number() };
            if let Some(value) = members.get(name).filter(wrong) {
                let seen = json::name_of(value);
                return Err(format!(
                    "json: cannot unmarshal {seen} into Go struct field continueToken.{name} of type {ty}"
                ));
            }
        }
        serde_json::from_value(Value::Object(members)).map_err(|error| error.to_string())
    }
}

/// Go's words for what is wrong with JSON that `error` was found in.
fn syntax(bytes: &[u8], error: &serde_json::Error) -> String {
    let text = json::type_meta(bytes).err().map_or_else(|| error.to_string(), |error| error.to_string());
    text.strip_prefix("couldn't get version/kind; json parse error: ").unwrap_or(&text).to_owned()
}

/// Where Go's decoder says that a text is no Base64 without padding: where it stops, of one that breaks off at the last group of
/// four.
fn go_position(error: &base64::DecodeError, text: &str) -> usize {
    match error {
        base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => *at,
        base64::DecodeError::InvalidPadding => text.find('=').unwrap_or(text.len()),
        base64::DecodeError::InvalidLength(_) => text.len() - text.len() % 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sampan_env::Env;

    #[test]
    fn tokens_come_back_and_nonsense_does_not() {
        let token = Token::new(7, "default/a", Some(3));
        assert_eq!(Token::decode(&token.encode()).expect("our own"), token);
        let (seal, other) = (Seal::new(&Env::system()), Seal::new(&Env::system()));
        let issued = Token::decode(&token.clone().sealed(&seal, "/secrets/").encode()).expect("our own");
        assert!(issued.is_of(&seal, "/secrets/"));
        for (by, prefix, made_up) in [
            (&other, "/secrets/", issued.clone()),
            (&seal, "/pods/", issued.clone()),
            (&seal, "/secrets/", Token { revision: 6, ..issued.clone() }),
            (&seal, "/secrets/", Token { after: "default/b".into(), ..issued.clone() }),
            (&seal, "/secrets/", Token { seal: String::new(), ..issued.clone() }),
            (&seal, "/secrets/", Token { seal: issued.seal[..2].to_owned(), ..issued.clone() }),
        ] {
            assert!(!made_up.is_of(by, prefix), "{prefix} {made_up:?}");
        }
        let check = |text: &str, told: &str| {
            let error = Token::decode(text).expect_err("nonsense").to_string();
            assert_eq!(error.rsplit_once("not valid: ").map(|(_, told)| told), Some(told), "{text}");
        };
        check("x", "illegal base64 data at input byte 0");
        check("AAAA*", "illegal base64 data at input byte 4");
        check("e30", "server does not recognize this encoded version ");
        check("e30=", "illegal base64 data at input byte 3");
        check("eyJ9", "unexpected end of JSON input");
        check("eA", "invalid character 'x' looking for beginning of value");
        check("W10", "json: cannot unmarshal array into Go value of type storage.continueToken");
        check("bnVsbA", "server does not recognize this encoded version ");
        check("eyJ2Ijo1fQ", "json: cannot unmarshal number into Go struct field continueToken.v of type string");
        check(
            &URL_SAFE_NO_PAD.encode(r#"{"v":"meta.k8s.io/v1"}"#),
            "incorrect encoded start resourceVersion (version meta.k8s.io/v1)",
        );
        check(
            &URL_SAFE_NO_PAD.encode(r#"{"v":"meta.k8s.io/v1","rv":1}"#),
            "encoded start key empty (version meta.k8s.io/v1)",
        );
        for text in ["x", "", "AAAA", &URL_SAFE_NO_PAD.encode(r#"{"v":"meta.k8s.io/v1","rv":1,"start":"../x"}"#)] {
            let error = Token::decode(text).expect_err("nonsense");
            assert!(matches!(error, Error::BadRequest(_)), "{text}: {error}");
        }
    }
}
