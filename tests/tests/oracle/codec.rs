//! Objects of every built-in kind, made of the schema by chance: out of JSON, and out of what either side writes as protobuf.

use crate::{Answer, Compared, Known};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sampan_schema::{Field, ObjectType, Origin, Schema, Shape, Type, TypeId, json as codec, protobuf};
use sampan_testing::Dice;
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

/// Structs inside each other.
const DEEP: usize = 7;

struct BuiltIn {
    group: String,
    version: String,
    kind: String,
    ty: ObjectType,
}

/// Kinds that Go's client scheme has.
static KINDS: LazyLock<Vec<BuiltIn>> = LazyLock::new(|| {
    let schema = Schema::builtin();
    let apart = ["apidiscovery.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io", "meta.k8s.io"];
    let kinds = schema.kinds().iter().filter(|kind| !apart.contains(&&*kind.group) && !kind.kind.ends_with("List"));
    let stored = kinds.filter(|kind| schema.field(kind.type_id, "metadata").is_some());
    let found = stored.filter_map(|kind| {
        let ty = ObjectType::find(schema, &kind.group, &kind.version, &kind.kind)?;
        let (group, version) = (kind.group.to_string(), kind.version.to_string());
        Some(BuiltIn { group, version, kind: kind.kind.to_string(), ty })
    });
    found.filter(|kind| kind.ty.def().origin == Origin::GoStruct).collect()
});

impl BuiltIn {
    fn of(input: &Value) -> &'static Self {
        let is = |kind: &&BuiltIn| {
            input["group"] == kind.group && input["version"] == kind.version && input["kind"] == kind.kind
        };
        KINDS.iter().find(is).expect("a kind that an input was made of")
    }

    fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// What a body is once it is decoded; it names its kind.
    fn decode(&self, body: &Value) -> Answer {
        let decoded = codec::decode(self.ty.schema(), self.ty.id(), body.to_string().as_bytes());
        Ok(self.named(decoded.map_err(|error| error.to_string())?.value))
    }

    fn decode_protobuf(&self, wire: &[u8]) -> Answer {
        let envelope = protobuf::unwrap(wire).map_err(|error| error.to_string())?;
        let decoded = protobuf::decode(self.ty.schema(), self.ty.id(), envelope.raw);
        Ok(self.named(decoded.map_err(|error| error.to_string())?.value))
    }

    fn named(&self, mut value: Value) -> Value {
        value["apiVersion"] = json!(self.api_version());
        value["kind"] = json!(self.kind);
        value
    }
}

/// What objects are made by.
struct Maker<'d> {
    dice: &'d mut Dice,
    schema: &'static Schema,
    /// One in so many fields has a value of any sort; `None`: none has.
    spoiled: Option<u64>,
}

impl Maker<'_> {
    fn of(&mut self, values: &[Value]) -> Value {
        values[self.dice.roll(values.len() as u64) as usize].clone()
    }

    fn word(&mut self) -> String {
        ["a", "b", "x-1", "", "Always", "10", "é", "a b", "\u{1F600}"][self.dice.roll(9) as usize].to_owned()
    }

    fn scalar(&mut self, ty: &Type, deep: usize) -> Value {
        match ty {
            Type::Struct(id) | Type::SchemaOrArray(id) | Type::SchemaOrBool(id) | Type::SchemaOrStrings(id) => {
                self.object(*id, deep)
            }
            Type::String => json!(self.word()),
            Type::Bool => json!(self.dice.one_in(2)),
            Type::Int32 => json!(self.dice.next_u64() as i32 >> self.dice.roll(31)),
            Type::Int64 => json!(self.dice.next_u64() as i64 >> self.dice.roll(63)),
            Type::Double => self.of(&[json!(0.5), json!(1.0), json!(-2.25), json!(1e21)]),
            Type::Bytes => self.of(&[json!(""), json!("AAEC"), json!("aGVsbG8=")]),
            Type::Quantity => {
                self.of(&[json!("1"), json!("100m"), json!("1.5Gi"), json!(3), json!("0.0001"), json!("1e3")])
            }
            Type::Time => {
                self.of(&[json!("2026-01-02T03:04:05Z"), json!("2026-01-02T03:04:05.678+02:00"), Value::Null])
            }
            Type::MicroTime => self.of(&[json!("2026-01-02T03:04:05.678901Z"), json!("2026-01-02T03:04:05.500000Z")]),
            Type::Duration => self.of(&[json!("1s"), json!("1h30m0s"), json!("10ms")]),
            Type::IntOrString => self.of(&[json!(80), json!("http"), json!("25%"), json!("")]),
            Type::FieldsV1 => json!({"f:metadata": {"f:name": {}}}),
            Type::Raw => json!({"kind": "A", "apiVersion": "b/v1", "n": [1, {"x": null}]}),
            Type::Json => self.of(&[json!({"a": [1, "b", null]}), json!("s"), json!(4)]),
            Type::Strings => json!([self.word()]),
            Type::Nested(_) => json!([[self.word()]]),
        }
    }

    fn field(&mut self, field: &Field, deep: usize) -> Value {
        if self.spoiled.is_some_and(|of| self.dice.one_in(of)) {
            let any =
                [json!(5), json!("5"), json!(true), json!([1]), json!({"a": 1}), json!(1.5), json!("x"), json!(-1)];
            return self.of(&any);
        }
        if self.dice.one_in(40) {
            return Value::Null;
        }
        match field.shape {
            Shape::One => self.scalar(&field.ty, deep),
            Shape::List => (0..self.dice.roll(3)).map(|_| self.scalar(&field.ty, deep)).collect(),
            Shape::Map => {
                let entries = (0..self.dice.roll(3)).map(|_| (self.word(), self.scalar(&field.ty, deep)));
                Value::Object(entries.collect())
            }
        }
    }

    fn object(&mut self, id: TypeId, deep: usize) -> Value {
        let mut map = Map::new();
        let fields = self.schema.fields(id);
        // Few of many fields, so that objects stay small.
        let of = (fields.len() as u64 / 3).max(2);
        for field in fields {
            if deep < DEEP && self.dice.one_in(of) {
                map.insert(field.json_name.to_string(), self.field(field, deep + 1));
            }
        }
        if self.dice.one_in(30) {
            map.insert("unknownField".to_owned(), json!({"a": [1]}));
        }
        Value::Object(map)
    }
}

/// An object of any kind.
fn object(dice: &mut Dice, spoiled: Option<u64>) -> (&'static BuiltIn, Value) {
    let kind = &KINDS[dice.roll(KINDS.len() as u64) as usize];
    let body = Maker { dice, schema: Schema::builtin(), spoiled }.object(kind.ty.id(), 0);
    (kind, kind.named(body))
}

pub const JSON: Compared = Compared {
    of: "json",
    input: |dice| {
        let spoiled = (!dice.one_in(3)).then_some(5);
        let (kind, body) = object(dice, spoiled);
        json!({"group": kind.group, "version": kind.version, "kind": kind.kind, "body": body})
    },
    ours: |input| BuiltIn::of(input).decode(&input["body"]),
    errors: &[
        "cannot unmarshal number",
        "cannot unmarshal string",
        "cannot unmarshal object",
        "cannot unmarshal array",
    ],
    known: KNOWN,
    ..Compared::NOTHING
};

const KNOWN: &[Known] = &[Known {
    why: "an empty managedFields asks for the field to be cleared: it is kept until then (apimachinery, meta/v1/types.go: omitempty)",
    is: |_, ours, theirs| {
        let mut ours = ours.clone();
        if let Ok(ours) = &mut ours {
            without_empty_managed_fields(ours);
        }
        ours == *theirs
    },
}];

fn without_empty_managed_fields(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|name, value| name != "managedFields" || value != &json!([]));
            map.values_mut().for_each(without_empty_managed_fields);
        }
        Value::Array(list) => list.iter_mut().for_each(without_empty_managed_fields),
        _ => {}
    }
}

pub const PROTOBUF: Compared = Compared {
    of: "protobuf",
    // What we write is read there; half of it cut or changed on the way.
    input: |dice| {
        let (kind, body) = object(dice, None);
        let decoded = kind.decode(&body).expect("made of the schema");
        let mut wire =
            protobuf::encode_object(kind.ty.schema(), kind.ty.id(), &decoded).expect("what is decoded is encoded");
        if dice.one_in(2) {
            // Past the envelope's names: what those say is not asked here.
            let at = wire.len() - 1 - dice.roll(wire.len() as u64 / 2) as usize;
            wire.truncate(at);
        }
        json!({"group": kind.group, "version": kind.version, "kind": kind.kind, "wire": STANDARD.encode(wire)})
    },
    ours: |input| {
        let wire = STANDARD.decode(input["wire"].as_str().unwrap_or_default()).map_err(|error| error.to_string())?;
        BuiltIn::of(input).decode_protobuf(&wire)
    },
    errors: &["EOF"],
    known: &[],
    ..Compared::NOTHING
};

pub const PROTOBUF_OF_GO: Compared = Compared {
    of: "protobuf-of-go",
    input: JSON.input,
    ours: |input| {
        let kind = BuiltIn::of(input);
        let decoded = kind.decode(&input["body"])?;
        let wire = protobuf::encode_object(kind.ty.schema(), kind.ty.id(), &decoded);
        kind.decode_protobuf(&wire.map_err(|error| error.to_string())?)
    },
    heard: |input, answer| {
        let wire = answer?.as_str().and_then(|text| STANDARD.decode(text).ok()).ok_or("no base64")?;
        BuiltIn::of(input).decode_protobuf(&wire)
    },
    errors: JSON.errors,
    known: &[],
};
