//! Messages to values. What results is what Go would write as JSON after reading the same bytes.

use sampan_api::limits::NESTING_MAX;
use sampan_api::time::UnixTime;
use serde_json::{Map, Value};

use super::envelope;
use super::wire::{Item, Reader};
use crate::nesting;
use crate::problems::{DecodeError, Decoded};
use crate::scalar;
use crate::schema::Schema;
use crate::table::{Field, Shape, Type, TypeDef, TypeId, WireEntry};
use crate::zero;

/// Decodes a message (an envelope's `raw`). `apiVersion` and `kind` stand in the envelope, not here: the caller sets
/// them. Unknown field numbers are passed over, as Go does.
///
/// # Errors
/// `Mismatch` when the bytes are no message of the type.
pub fn decode(schema: &Schema, id: TypeId, payload: &[u8]) -> Result<Decoded, DecodeError> {
    if !schema.get(id).has_protobuf() {
        return Err(DecodeError::Mismatch(format!("{} has no protobuf form", schema.get(id).name)));
    }
    let map = Decoder { schema, depth: 0 }.object(id, payload).map_err(DecodeError::Mismatch)?;
    let value = Value::Object(map);
    // Messages were counted on the way; lists, maps and JSON within messages are deeper than these.
    if nesting::exceeds(&value, NESTING_MAX) {
        return Err(DecodeError::Mismatch(TOO_DEEP.to_string()));
    }
    Ok(Decoded { value, problems: Vec::new() })
}

const TOO_DEEP: &str = "exceeded max depth";

struct Decoder<'a> {
    schema: &'a Schema,
    depth: usize,
}

type Parsed<T> = Result<T, String>;

impl Decoder<'_> {
    fn object(&mut self, id: TypeId, bytes: &[u8]) -> Parsed<Map<String, Value>> {
        if self.depth == NESTING_MAX {
            return Err(TOO_DEEP.to_string());
        }
        self.depth += 1;
        let ty = self.schema.get(id);
        let mut map = Map::new();
        self.message(ty, 0, bytes, &mut map)?;
        zero::complete(self.schema, ty, &mut map);
        self.depth -= 1;
        Ok(map)
    }

    fn message(&mut self, ty: &TypeDef, message: usize, bytes: &[u8], map: &mut Map<String, Value>) -> Parsed<()> {
        let Some(entries) = ty.messages.get(message) else { return Ok(()) };
        let mut reader = Reader::new(bytes);
        while let Some((tag, item)) = reader.next(&ty.name)? {
            let Ok(found) = entries.binary_search_by_key(&tag, |entry| entry.tag) else { continue };
            match (entries[found].entry, item) {
                (WireEntry::Field(at), item) => self.field(&ty.fields[at as usize], &item, map)?,
                (WireEntry::Inline(inner), Item::Bytes(bytes)) => self.message(ty, inner as usize, bytes, map)?,
                (WireEntry::Inline(_), item) => return Err(wrong_wire(&item, &ty.name)),
            }
        }
        Ok(())
    }

    fn field(&mut self, field: &Field, item: &Item<'_>, map: &mut Map<String, Value>) -> Parsed<()> {
        match field.shape {
            Shape::One => {
                match self.element(field, item)? {
                    Some(value) if !zero::omits(field, &value) => {
                        map.insert(field.json_name.to_string(), value);
                    }
                    _ => drop(map.remove(&*field.json_name)),
                };
            }
            Shape::List => {
                let list = collection(map, field, Value::Array(Vec::new()));
                let Value::Array(list) = list else { return Ok(()) };
                if let (Item::Bytes(packed), Type::Int32 | Type::Int64 | Type::Bool) = (item, field.ty) {
                    let mut reader = Reader::new(packed);
                    while !reader.is_empty() {
                        let value = self.element(field, &Item::Varint(reader.varint()?))?;
                        list.extend(value);
                    }
                } else {
                    let value = self.element(field, item)?;
                    list.push(value.unwrap_or_else(|| zero::element(self.schema, field.ty)));
                }
            }
            Shape::Map => {
                let Item::Bytes(entry) = item else { return Err(wrong_wire(item, &field.json_name)) };
                let (mut key, mut value) = (String::new(), None);
                let mut reader = Reader::new(entry);
                while let Some((tag, item)) = reader.next(&field.json_name)? {
                    match (tag, item) {
                        (1, Item::Bytes(bytes)) => key = text(bytes),
                        (2, item) => value = self.element(field, &item)?,
                        _ => {}
                    }
                }
                let value = value.unwrap_or_else(|| zero::element(self.schema, field.ty));
                if let Value::Object(entries) = collection(map, field, Value::Object(Map::new())) {
                    entries.insert(key, value);
                }
            }
        }
        Ok(())
    }

    /// One value; `None` for what Go writes as null.
    fn element(&mut self, field: &Field, item: &Item<'_>) -> Parsed<Option<Value>> {
        let value = match (field.ty, item) {
            (Type::String, Item::Bytes(bytes)) => Value::String(text(bytes)),
            (Type::Bool, Item::Varint(n)) => Value::Bool(*n != 0),
            (Type::Int32, Item::Varint(n)) => Value::from(*n as i32),
            (Type::Int64, Item::Varint(n)) => Value::from(*n as i64),
            (Type::Double, Item::Fixed64(bits)) => {
                Value::Number(scalar::number(f64::from_bits(*bits)).ok_or("json: unsupported value")?)
            }
            (Type::Bytes, Item::Bytes(bytes)) => Value::String(scalar::to_base64(bytes)),
            (Type::Struct(id), Item::Bytes(bytes)) => Value::Object(self.object(id, bytes)?),
            (Type::Strings, Item::Bytes(bytes)) => Value::Array(strings(bytes, 1)?),
            (_, Item::Bytes(bytes)) => return self.scalar(field.ty, bytes),
            (_, item) => return Err(wrong_wire(item, &field.json_name)),
        };
        Ok(Some(value))
    }

    /// Messages that JSON shows in a form of their own.
    fn scalar(&mut self, ty: Type, bytes: &[u8]) -> Parsed<Option<Value>> {
        let mut reader = Reader::new(bytes);
        let (mut ints, mut first, mut second): ([i64; 4], Option<&[u8]>, Option<&[u8]>) = ([0; 4], None, None);
        let mut third: Option<&[u8]> = None;
        while let Some((tag, item)) = reader.next("scalar")? {
            match (tag, item) {
                (1..=3, Item::Varint(n)) => ints[tag as usize] = n as i64,
                (1, Item::Bytes(bytes)) => first = Some(bytes),
                // Lists of schemas and strings are read again below.
                (2, Item::Bytes(bytes)) => second = Some(bytes),
                (3, Item::Bytes(bytes)) => third = Some(bytes),
                _ => {}
            }
        }
        let value = match ty {
            Type::Quantity => Value::String(match first {
                Some(bytes) if !bytes.is_empty() => scalar::quantity(&text(bytes))?,
                _ => "0".to_string(),
            }),
            Type::Time | Type::MicroTime if bytes.is_empty() => return Ok(None),
            Type::Time => Value::String(moment(ints[1], 0)?.rfc3339()),
            Type::MicroTime => Value::String(moment(ints[1], u32::try_from(ints[2]).unwrap_or(0))?.rfc3339_micro()),
            Type::Duration => Value::String(scalar::format_duration(ints[1])),
            Type::IntOrString if ints[1] == 0 => Value::from(ints[2] as i32),
            Type::IntOrString => Value::String(third.map(text).unwrap_or_default()),
            Type::FieldsV1 | Type::Raw | Type::Json => match first {
                None | Some([]) => return Ok(None),
                Some(raw) if raw.starts_with(b"k8s\0") => self.enveloped(raw)?,
                Some(raw) => serde_json::from_slice(raw).map_err(|error| error.to_string())?,
            },
            Type::SchemaOrArray(id) => match first {
                Some(schema) => Value::Object(self.object(id, schema)?),
                None => {
                    let mut list = Vec::new();
                    let mut reader = Reader::new(bytes);
                    while let Some((tag, item)) = reader.next("JSONSchemaPropsOrArray")? {
                        if let (2, Item::Bytes(schema)) = (tag, item) {
                            list.push(Value::Object(self.object(id, schema)?));
                        }
                    }
                    Value::Array(list)
                }
            },
            Type::SchemaOrBool(id) => match second {
                Some(schema) => Value::Object(self.object(id, schema)?),
                None => Value::Bool(ints[1] != 0),
            },
            Type::SchemaOrStrings(id) => match first {
                Some(schema) => Value::Object(self.object(id, schema)?),
                None => Value::Array(strings(bytes, 2)?),
            },
            _ => return Err(format!("proto: {ty:?} is not a message")),
        };
        Ok(Some(value))
    }

    /// An object inside another, in its own envelope.
    fn enveloped(&mut self, raw: &[u8]) -> Parsed<Value> {
        let inner = envelope::unwrap(raw).map_err(|error| error.to_string())?;
        let (group, version) = inner.api_version.split_once('/').unwrap_or(("", inner.api_version));
        let id = self.schema.find(group, version, inner.kind);
        let id =
            id.ok_or_else(|| format!("no kind {:?} is registered for version {:?}", inner.kind, inner.api_version))?;
        let mut map = self.object(id, inner.raw)?;
        map.insert("apiVersion".into(), Value::from(inner.api_version));
        map.insert("kind".into(), Value::from(inner.kind));
        Ok(Value::Object(map))
    }
}

/// A time as Go's `time.Unix` has it; JSON must be able to write it.
fn moment(seconds: i64, nanos: u32) -> Parsed<UnixTime> {
    UnixTime::new(seconds, nanos).ok_or_else(|| "year outside of range [0,9999]".to_string())
}

fn collection<'m>(map: &'m mut Map<String, Value>, field: &Field, empty: Value) -> &'m mut Value {
    if !map.contains_key(&*field.json_name) {
        map.insert(field.json_name.to_string(), empty);
    }
    &mut map[&*field.json_name]
}

fn strings(bytes: &[u8], wanted: u32) -> Parsed<Vec<Value>> {
    let mut list = Vec::new();
    let mut reader = Reader::new(bytes);
    while let Some((tag, item)) = reader.next("strings")? {
        if let Item::Bytes(bytes) = item
            && tag == wanted
        {
            list.push(Value::String(text(bytes)));
        }
    }
    Ok(list)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn wrong_wire(item: &Item<'_>, name: &str) -> String {
    format!("proto: wrong wireType = {} for field {name}", item.wire_type())
}
