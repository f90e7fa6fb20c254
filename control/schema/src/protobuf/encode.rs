//! Values to messages, byte for byte as Go's generated marshallers write what is set.

use sampan_api::time::{Fraction, UnixTime};
use serde_json::{Map, Value};

use super::envelope;
use super::wire::{BYTES, FIXED64, put_bytes, put_int, put_message, put_tag, put_varint};
use crate::scalar;
use crate::schema::Schema;
use crate::table::{Field, Shape, Type, TypeDef, TypeId, WireEntry};

/// A value that is not of its type's form. Decoded values always are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct EncodeError {
    /// The JSON name of the field.
    pub field: String,
    pub reason: String,
}

type Encoded = Result<(), EncodeError>;

/// Writes an object's message, without envelope, to the end of `out`.
///
/// # Errors
/// When a value does not fit its field.
pub fn encode(schema: &Schema, id: TypeId, value: &Value, out: &mut Vec<u8>) -> Encoded {
    let Value::Object(map) = value else { return fail("", "not an object") };
    if !schema.get(id).has_protobuf() {
        return fail("", format!("{} has no protobuf form", schema.get(id).name));
    }
    object(schema, id, map, out)
}

/// An object in its envelope, named by its own `apiVersion` and `kind`.
///
/// # Errors
/// As [`encode`].
pub fn encode_object(schema: &Schema, id: TypeId, value: &Value) -> Result<Vec<u8>, EncodeError> {
    let name = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
    let mut out = Vec::with_capacity(1024);
    envelope::start(&mut out, name("apiVersion"), name("kind"));
    put_message(&mut out, 2, |out| encode(schema, id, value, out))?;
    envelope::finish(&mut out);
    Ok(out)
}

/// The beginning of a list whose items, as [`put_list_item`] writes them, have `items` bytes together: everything before
/// the first of them.
///
/// # Errors
/// As [`encode`], for the metadata.
pub fn begin_list(
    schema: &Schema,
    api_version: &str,
    kind: &str,
    metadata: &Value,
    items: u64,
) -> Result<Vec<u8>, EncodeError> {
    let Some(list) = schema.find("", "v1", "List") else { return fail("", "the schema has no List") };
    let Some(Type::Struct(meta)) = schema.field(list, "metadata").map(|f| f.ty) else {
        return fail("metadata", "the schema has no ListMeta");
    };
    let mut head = Vec::with_capacity(64);
    put_message(&mut head, 1, |out| encode(schema, meta, metadata, out))?;
    let mut out = Vec::with_capacity(256);
    envelope::start(&mut out, api_version, kind);
    put_tag(&mut out, 2, BYTES);
    put_varint(&mut out, head.len() as u64 + items);
    out.extend_from_slice(&head);
    Ok(out)
}

/// One item of a list.
pub fn put_list_item(out: &mut Vec<u8>, item: &[u8]) {
    put_bytes(out, 2, item);
}

/// Bytes that [`put_list_item`] writes for an item of `length` bytes.
pub fn list_item_len(length: usize) -> u64 {
    let bits = u64::BITS - (length as u64 | 1).leading_zeros();
    1 + u64::from(bits.div_ceil(7)) + length as u64
}

/// Closes a list after its last item.
pub fn end_list(out: &mut Vec<u8>) {
    envelope::finish(out);
}

/// One frame of a watch: a `WatchEvent` behind its length. `object` is in its envelope.
pub fn watch_frame(event: &str, object: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 4];
    put_bytes(&mut out, 1, event.as_bytes());
    let infallible: Result<(), std::convert::Infallible> = put_message(&mut out, 2, |out| {
        put_bytes(out, 1, object);
        Ok(())
    });
    match infallible {
        Ok(()) => {}
    }
    let len = (out.len() - 4) as u32;
    out[..4].copy_from_slice(&len.to_be_bytes());
    out
}

fn fail<T>(field: &str, reason: impl Into<String>) -> Result<T, EncodeError> {
    Err(EncodeError { field: field.to_string(), reason: reason.into() })
}

fn object(schema: &Schema, id: TypeId, map: &Map<String, Value>, out: &mut Vec<u8>) -> Encoded {
    message(schema, schema.get(id), 0, map, out)
}

fn message(schema: &Schema, ty: &TypeDef, at: usize, map: &Map<String, Value>, out: &mut Vec<u8>) -> Encoded {
    let Some(entries) = ty.messages.get(at) else { return Ok(()) };
    for entry in entries {
        match entry.entry {
            WireEntry::Inline(inner) => {
                put_message(out, entry.tag, |out| message(schema, ty, inner as usize, map, out))?;
            }
            WireEntry::Field(at) => {
                let field = &ty.fields[at as usize];
                let Some(value) = map.get(&*field.json_name) else { continue };
                whole(schema, field, entry.tag, value, out)?;
            }
        }
    }
    Ok(())
}

fn whole(schema: &Schema, field: &Field, tag: u32, value: &Value, out: &mut Vec<u8>) -> Encoded {
    match (field.shape, value) {
        // A time held by value is written though it is zero.
        (Shape::One, Value::Null) if field.by_value => put_bytes(out, tag, b""),
        (_, Value::Null) => {}
        (Shape::One, value) => element(schema, field, tag, value, out)?,
        (Shape::List, Value::Array(list)) => {
            for value in list {
                element(schema, field, tag, value, out)?;
            }
        }
        (Shape::Map, Value::Object(map)) => {
            for (key, value) in map {
                put_message(out, tag, |out| {
                    put_bytes(out, 1, key.as_bytes());
                    element(schema, field, 2, value, out)
                })?;
            }
        }
        (_, other) => return fail(&field.json_name, format!("{other} is neither list nor map as it should be")),
    }
    Ok(())
}

fn element(schema: &Schema, field: &Field, tag: u32, value: &Value, out: &mut Vec<u8>) -> Encoded {
    let misfit = || fail(&field.json_name, format!("{value} does not fit"));
    let invalid = |reason: String| EncodeError { field: field.json_name.to_string(), reason };
    match (field.ty, value) {
        (Type::String, Value::String(text)) => put_bytes(out, tag, text.as_bytes()),
        (Type::Bool, Value::Bool(on)) => put_int(out, tag, i64::from(*on)),
        (Type::Int32 | Type::Int64, Value::Number(n)) => match n.as_i64() {
            Some(n) => put_int(out, tag, n),
            None => return misfit(),
        },
        (Type::Double, Value::Number(n)) => {
            put_tag(out, tag, FIXED64);
            out.extend_from_slice(&n.as_f64().unwrap_or_default().to_le_bytes());
        }
        (Type::Bytes, Value::String(text)) => put_bytes(out, tag, &scalar::from_base64(text).map_err(invalid)?),
        (Type::Struct(id), Value::Object(map)) => put_message(out, tag, |out| object(schema, id, map, out))?,
        (Type::Quantity, Value::String(text)) => put_message(out, tag, |out| {
            put_bytes(out, 1, text.as_bytes());
            Ok(())
        })?,
        (Type::Time | Type::MicroTime, Value::Null) => put_bytes(out, tag, b""),
        (Type::Time, Value::String(text)) => {
            let at = UnixTime::parse(text, Fraction::Any).map_err(invalid)?;
            instant(out, tag, at.seconds(), 0)?;
        }
        (Type::MicroTime, Value::String(text)) => {
            let at = UnixTime::parse(text, Fraction::Micros).map_err(invalid)?;
            instant(out, tag, at.seconds(), at.nanos())?;
        }
        (Type::Duration, Value::String(text)) => {
            let nanos = scalar::parse_duration(text).map_err(invalid)?;
            put_message(out, tag, |out| {
                put_int(out, 1, nanos);
                Ok(())
            })?;
        }
        (Type::IntOrString, Value::Number(n)) => int_or_string(out, tag, 0, n.as_i64().unwrap_or_default(), "")?,
        (Type::IntOrString, Value::String(text)) => int_or_string(out, tag, 1, 0, text)?,
        (Type::FieldsV1 | Type::Raw | Type::Json, value) => {
            let bytes = serde_json::to_vec(value).map_err(|error| invalid(error.to_string()))?;
            put_message(out, tag, |out| {
                put_bytes(out, 1, &bytes);
                Ok(())
            })?;
        }
        (Type::Strings, Value::Array(list)) => put_message(out, tag, |out| texts(field, 1, list, out))?,
        (Type::SchemaOrArray(id) | Type::SchemaOrStrings(id), Value::Object(map)) => {
            put_message(out, tag, |out| put_message(out, 1, |out| object(schema, id, map, out)))?;
        }
        (Type::SchemaOrArray(id), Value::Array(list)) => put_message(out, tag, |out| {
            for one in list {
                put_message(out, 2, |out| encode(schema, id, one, out))?;
            }
            Ok(())
        })?,
        (Type::SchemaOrBool(_), Value::Bool(on)) => put_message(out, tag, |out| {
            put_int(out, 1, i64::from(*on));
            Ok(())
        })?,
        // A schema means that more is allowed: Go sets the flag with it.
        (Type::SchemaOrBool(id), Value::Object(map)) => put_message(out, tag, |out| {
            put_int(out, 1, 1);
            put_message(out, 2, |out| object(schema, id, map, out))
        })?,
        (Type::SchemaOrStrings(_), Value::Array(list)) => put_message(out, tag, |out| texts(field, 2, list, out))?,
        (_, Value::Null) => put_bytes(out, tag, b""),
        _ => return misfit(),
    }
    Ok(())
}

fn texts(field: &Field, tag: u32, list: &[Value], out: &mut Vec<u8>) -> Encoded {
    for one in list {
        let Some(text) = one.as_str() else { return fail(&field.json_name, format!("{one} is not a string")) };
        put_bytes(out, tag, text.as_bytes());
    }
    Ok(())
}

fn instant(out: &mut Vec<u8>, tag: u32, seconds: i64, nanos: u32) -> Encoded {
    put_message(out, tag, |out| {
        put_int(out, 1, seconds);
        put_int(out, 2, i64::from(nanos));
        Ok(())
    })
}

fn int_or_string(out: &mut Vec<u8>, tag: u32, kind: i64, int: i64, text: &str) -> Encoded {
    put_message(out, tag, |out| {
        put_int(out, 1, kind);
        put_int(out, 2, int);
        put_bytes(out, 3, text.as_bytes());
        Ok(())
    })
}
