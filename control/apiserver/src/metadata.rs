//! `PartialObjectMetadata`, cut out of encodings that are already there: nothing is parsed, but for rows with annotations that
//! metadata alone does not show.

use crate::negotiate::MetaVersion;
use sampan_api::Record;
use sampan_registry::Resource;
use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// `{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{...}}`: alone, and as an item of a list.
pub fn write_json(out: &mut Vec<u8>, record: &Record, version: MetaVersion, row: &Resource) {
    let rest = &record.json[record.rv_offset as usize..record.metadata_end()];
    let rest = shown(rest, row.fields_as_annotations);
    begin(out, version);
    out.push(b'{');
    // What a dry run has made is of no revision.
    if record.mod_revision != 0 {
        out.extend_from_slice(b"\"resourceVersion\":\"");
        out.extend_from_slice(itoa::Buffer::new().format(record.mod_revision).as_bytes());
        out.push(b'"');
        if rest.first() != Some(&b'}') {
            out.push(b',');
        }
    }
    out.extend_from_slice(&rest);
    out.push(b'}');
}

/// What metadata shows of its inside, which ends with its brace.
fn shown<'a>(inside: &'a [u8], hidden: &[&str]) -> Cow<'a, [u8]> {
    if hidden.is_empty() {
        return Cow::Borrowed(inside);
    }
    // What is stored can be read; of what could not be nothing is hidden.
    let Ok(mut metadata) = serde_json::from_slice::<Map<String, Value>>(&[b"{", inside].concat()) else {
        return Cow::Borrowed(inside);
    };
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.retain(|name, _| !hidden.contains(&name.as_str()));
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
    Cow::Owned(Value::Object(metadata).to_string().split_off(1).into_bytes())
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

/// Key of the field that holds an object's metadata, and of an annotation in these: bytes.
const METADATA: u8 = 1 << 3 | 2;
const ANNOTATION: u8 = 12 << 3 | 2;

/// `ObjectMeta` is field 1 of every kind's protobuf message and of `PartialObjectMetadata`: the message is that field, without
/// the annotations that the row does not show in it.
pub fn of_protobuf<'a>(payload: &'a [u8], row: &Resource) -> Cow<'a, [u8]> {
    shown_protobuf(first_field(payload), row.fields_as_annotations)
}

fn shown_protobuf<'a>(field: &'a [u8], hidden: &[&str]) -> Cow<'a, [u8]> {
    if hidden.is_empty() {
        return Cow::Borrowed(field);
    }
    let Some((mut left, _)) = length(&field[1.min(field.len())..]) else { return Cow::Borrowed(field) };
    let mut kept = Vec::with_capacity(field.len());
    // Every field of metadata is bytes or a number.
    while let Some((&key, rest)) = left.split_first() {
        let is_bytes = key & 7 == 2;
        let Some((behind, number)) = length(rest) else { return Cow::Borrowed(field) };
        let content = if is_bytes { usize::try_from(number).unwrap_or(usize::MAX) } else { 0 };
        let Some(next) = behind.get(content..) else { return Cow::Borrowed(field) };
        let entry = &behind[..content];
        // An entry is its name, then its value, each a length and bytes.
        let name = entry.get(2..2 + usize::from(entry.get(1).copied().unwrap_or_default()));
        let is_hidden = key == ANNOTATION && hidden.iter().any(|one| Some(one.as_bytes()) == name);
        if !is_hidden {
            kept.extend_from_slice(&left[..left.len() - next.len()]);
        }
        left = next;
    }
    let mut out = vec![METADATA];
    put_length(&mut out, kept.len());
    out.extend_from_slice(&kept);
    Cow::Owned(out)
}

/// A varint, and what stands behind it.
fn length(bytes: &[u8]) -> Option<(&[u8], u64)> {
    let mut number = 0_u64;
    for (at, byte) in bytes.iter().enumerate().take(10) {
        number |= u64::from(byte & 0x7f).checked_shl(7 * u32::try_from(at).ok()?)?;
        if byte & 0x80 == 0 {
            return Some((&bytes[at + 1..], number));
        }
    }
    None
}

fn put_length(out: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        out.push(u8::try_from(length & 0x7f).unwrap_or_default() | 0x80);
        length >>= 7;
    }
    out.push(u8::try_from(length).unwrap_or_default());
}

/// The field 1 with which a message begins; nothing where it does not.
fn first_field(payload: &[u8]) -> &[u8] {
    if payload.first() != Some(&METADATA) {
        return &[];
    }
    let Some((rest, number)) = length(&payload[1..]) else { return &[] };
    let head = payload.len() - rest.len();
    usize::try_from(number).ok().and_then(|number| payload.get(..head.checked_add(number)?)).unwrap_or(&[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protobuf_metadata_is_the_first_field() {
        assert_eq!(first_field(&[0x0a, 2, 1, 2, 0x12, 0]), &[0x0a, 2, 1, 2]);
        assert_eq!(first_field(&[0x12, 0]), &[] as &[u8]);
        assert_eq!(first_field(&[0x0a, 9, 1]), &[] as &[u8]);
    }

    #[test]
    fn annotations_that_are_fields_are_hidden() {
        let check = |inside: &str, expected: &str| {
            let found = shown(inside.as_bytes(), &["gone"]);
            assert_eq!(String::from_utf8_lossy(&found), expected, "{inside}");
        };
        check(r#""annotations":{"gone":"1","kept":"}"},"name":"a"}"#, r#""annotations":{"kept":"}"},"name":"a"}"#);
        check(r#""annotations":{"gone":"1"},"name":"a"}"#, r#""name":"a"}"#);
        check(r#""name":"a"}"#, r#""name":"a"}"#);
        assert!(matches!(shown(b"}", &[]), Cow::Borrowed(b"}")));
    }

    #[test]
    fn they_are_hidden_in_protobuf_too() {
        let ty = sampan_schema::meta::find("PartialObjectMetadata").expect("the type");
        let encoded = |annotations: Value| {
            let mut out = Vec::new();
            let long = "x".repeat(300);
            let metadata =
                json!({"name": long, "generation": 300, "annotations": annotations, "labels": {"gone": "no"}});
            let object = json!({"metadata": metadata});
            sampan_schema::protobuf::encode(ty.schema(), ty.id(), &object, &mut out).expect("encoded");
            out
        };
        let check = |before: Value, after: Value| {
            let before = encoded(before);
            let found = shown_protobuf(first_field(&before), &["gone"]).into_owned();
            assert_eq!(found, encoded(after));
        };
        check(json!({"gone": "1", "kept": "2"}), json!({"kept": "2"}));
        check(json!({"gone": "1"}), json!({}));
        check(json!({"kept": "2"}), json!({"kept": "2"}));
    }
}
