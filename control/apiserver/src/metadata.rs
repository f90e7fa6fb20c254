//! `PartialObjectMetadata`, cut out of encodings that are already there: nothing is parsed.

use crate::negotiate::MetaVersion;
use sampan_api::Record;
use serde_json::{Value, json};

/// `{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{...}}`: alone, and as an item of a list.
pub fn write_json(out: &mut Vec<u8>, record: &Record, version: MetaVersion) {
    let start = record.rv_offset as usize;
    let rest = &record.json[start..];
    let end = object_end(rest);
    begin(out, version);
    out.extend_from_slice(b"{\"resourceVersion\":\"");
    out.extend_from_slice(itoa::Buffer::new().format(record.mod_revision).as_bytes());
    out.push(b'"');
    if rest.first() != Some(&b'}') {
        out.push(b',');
    }
    out.extend_from_slice(&rest[..end]);
    out.push(b'}');
}

fn begin(out: &mut Vec<u8>, version: MetaVersion) {
    out.extend_from_slice(b"{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"");
    out.extend_from_slice(version.api_version().as_bytes());
    out.extend_from_slice(b"\",\"metadata\":");
}

/// The metadata of an object that is not stored.
pub fn of_value(value: &Value, version: MetaVersion) -> Value {
    let metadata = value.get("metadata").cloned().unwrap_or_else(|| json!({}));
    json!({"kind": "PartialObjectMetadata", "apiVersion": version.api_version(), "metadata": metadata})
}

/// Offset just past the closing brace of the object whose inside `json` begins with.
fn object_end(json: &[u8]) -> usize {
    let (mut depth, mut quoted, mut escaped) = (1_u32, false, false);
    for (at, byte) in json.iter().enumerate() {
        match (quoted, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (true, b'"') => quoted = false,
            (true, _) => {}
            (false, b'"') => quoted = true,
            (false, b'{') => depth += 1,
            (false, b'}') => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            (false, _) => {}
        }
    }
    json.len()
}

/// `ObjectMeta` is field 1 of every kind's protobuf message and of `PartialObjectMetadata`: the message is that field.
pub fn of_protobuf(payload: &[u8]) -> &[u8] {
    const METADATA: u8 = 1 << 3 | 2;
    if payload.first() != Some(&METADATA) {
        return &[];
    }
    let (mut length, mut shift, mut at) = (0_u64, 0, 1);
    while let Some(byte) = payload.get(at) {
        at += 1;
        length |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
        shift += 7;
        if shift > 63 {
            return &[];
        }
    }
    usize::try_from(length).ok().and_then(|length| payload.get(..at.checked_add(length)?)).unwrap_or(&[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_found_past_strings_that_hold_braces() {
        let check = |json: &str, end: usize| assert_eq!(object_end(json.as_bytes()), end, "{json}");
        check(r#"}"#, 1);
        check(r#""a":{"b":"}\"}"}},"c""#, 17);
        check(r#""name":"a"},"data":{}}"#, 11);
    }

    #[test]
    fn protobuf_metadata_is_the_first_field() {
        assert_eq!(of_protobuf(&[0x0a, 2, 1, 2, 0x12, 0]), &[0x0a, 2, 1, 2]);
        assert_eq!(of_protobuf(&[0x12, 0]), &[] as &[u8]);
        assert_eq!(of_protobuf(&[0x0a, 9, 1]), &[] as &[u8]);
    }
}
