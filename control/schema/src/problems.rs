//! Problems and errors of decoding, in the words of the real API server.

use std::fmt::{self, Write as _};

use serde_json::Value;

/// A decoded body.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The object as Go's decode and encode would leave it. Unknown fields are gone.
    pub value: Value,
    /// Values that were dropped, in the order in which they were met; at most [`crate::limits::PROBLEMS_MAX`].
    pub problems: Vec<Problem>,
}

/// A field that does not count. Displays as the server prints it: `unknown field "spec.foo"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Dotted, with list indexes in brackets.
    pub path: String,
    pub kind: ProblemKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProblemKind {
    UnknownField,
    DuplicateField,
    /// A key that YAML's own parser saw twice; `path` is the key alone.
    DuplicateYamlKey {
        line: usize,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ProblemKind::UnknownField => write!(f, "unknown field {:?}", self.path),
            ProblemKind::DuplicateField => write!(f, "duplicate field {:?}", self.path),
            ProblemKind::DuplicateYamlKey { line } => write!(f, "line {line}: key {:?} already set in map", self.path),
        }
    }
}

/// The error of `fieldValidation=Strict`: `strict decoding error: unknown field "a", unknown field "b"`.
pub fn strict_error(problems: &[Problem]) -> String {
    let mut text = String::from("strict decoding error: ");
    let yaml = |p: &&Problem| matches!(p.kind, ProblemKind::DuplicateYamlKey { .. });
    let mut parts = Vec::new();
    let lines: Vec<String> = problems.iter().filter(yaml).map(|p| format!("\n  {p}")).collect();
    if !lines.is_empty() {
        parts.push(format!("yaml: unmarshal errors:{}", lines.concat()));
    }
    parts.extend(problems.iter().filter(|p| !yaml(p)).map(ToString::to_string));
    text.push_str(&parts.join(", "));
    text
}

/// The texts of `fieldValidation=Warn`, one warning header each.
pub fn warnings(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

/// A body that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It is not well-formed, so its kind is not even known.
    #[error("{0}")]
    Unrecognized(String),
    /// It is well-formed but not of its kind's form.
    #[error("{0}")]
    Mismatch(String),
}

/// Bytes of the body that an error message shows.
const SUMMARY_BYTES_MAX: usize = 30;

impl DecodeError {
    /// The message of the 400 that the real server answers. `expected` is the kind that the request's resource has;
    /// `kind` and `version` are the body's own, or the expected ones where it names none.
    pub fn message(&self, expected: &str, kind: &str, version: &str, body: &[u8]) -> String {
        match self {
            DecodeError::Unrecognized(text) => {
                format!("the object provided is unrecognized (must be of type {expected}): {text} ({})", summary(body))
            }
            DecodeError::Mismatch(text) => {
                format!("{kind} in version {version:?} cannot be handled as a {expected}: {text}")
            }
        }
    }
}

/// The start of a body: as text when it looks like JSON, else in hexadecimal.
fn summary(body: &[u8]) -> String {
    if body.is_empty() {
        return "<empty>".to_string();
    }
    let (shown, more) = if body.len() > SUMMARY_BYTES_MAX { (&body[..SUMMARY_BYTES_MAX], " ...") } else { (body, "") };
    let mut text = String::new();
    if body[0] == b'{' {
        text.push_str(&String::from_utf8_lossy(shown));
    } else {
        for byte in shown {
            // Writing to a String cannot fail.
            write!(text, "{byte:02x}").expect("a String takes all writes");
        }
    }
    text + more
}
