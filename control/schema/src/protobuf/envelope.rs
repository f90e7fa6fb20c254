//! `runtime.Unknown` behind its magic.

use super::wire::{Item, Reader, put_bytes, put_message};
use crate::problems::DecodeError;

const MAGIC: &[u8; 4] = b"k8s\0";

/// An opened envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// Empty when the sender named no kind.
    pub api_version: &'a str,
    pub kind: &'a str,
    /// The object's message, for [`super::decode`].
    pub raw: &'a [u8],
    /// Empty, unless `raw` is of another encoding.
    pub content_type: &'a str,
    pub content_encoding: &'a str,
}

/// Opens an envelope.
///
/// # Errors
/// `Unrecognized` when the magic or the envelope is not right.
pub fn unwrap(body: &[u8]) -> Result<Envelope<'_>, DecodeError> {
    open(body).map_err(DecodeError::Unrecognized)
}

fn open(body: &[u8]) -> Result<Envelope<'_>, String> {
    let Some(rest) = body.strip_prefix(MAGIC) else {
        let empty = body.is_empty();
        return Err(if empty {
            "empty data".to_string()
        } else {
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]".to_string()
        });
    };
    let mut envelope = Envelope { api_version: "", kind: "", raw: &[], content_type: "", content_encoding: "" };
    let mut reader = Reader::new(rest);
    while let Some((tag, item)) = reader.next("Unknown")? {
        let Item::Bytes(bytes) = item else {
            if tag <= 4 {
                return Err(format!("proto: wrong wireType = {} for field in Unknown", item.wire_type()));
            }
            continue;
        };
        match tag {
            1 => {
                let mut reader = Reader::new(bytes);
                while let Some((tag, item)) = reader.next("TypeMeta")? {
                    match (tag, item) {
                        (1, Item::Bytes(bytes)) => envelope.api_version = utf8(bytes)?,
                        (2, Item::Bytes(bytes)) => envelope.kind = utf8(bytes)?,
                        _ => {}
                    }
                }
            }
            2 => envelope.raw = bytes,
            3 => envelope.content_encoding = utf8(bytes)?,
            4 => envelope.content_type = utf8(bytes)?,
            _ => {}
        }
    }
    Ok(envelope)
}

fn utf8(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| "proto: string field contains invalid UTF-8".to_string())
}

/// Puts a message into its envelope.
pub fn wrap(api_version: &str, kind: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + api_version.len() + kind.len() + 24);
    start(&mut out, api_version, kind);
    put_bytes(&mut out, 2, payload);
    finish(&mut out);
    out
}

/// All that stands before the payload.
pub(super) fn start(out: &mut Vec<u8>, api_version: &str, kind: &str) {
    out.extend_from_slice(MAGIC);
    let infallible: Result<(), std::convert::Infallible> = put_message(out, 1, |out| {
        put_bytes(out, 1, api_version.as_bytes());
        put_bytes(out, 2, kind.as_bytes());
        Ok(())
    });
    match infallible {
        Ok(()) => {}
    }
}

/// Go writes the two empty strings after it.
pub(super) fn finish(out: &mut Vec<u8>) {
    put_bytes(out, 3, b"");
    put_bytes(out, 4, b"");
}
