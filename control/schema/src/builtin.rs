//! The built-in schema, read out of what `build.rs` made, and schemas that extend one.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use serde_json::{Map, Value};

use crate::schema::Schema;
use crate::table::{Field, Kind, ListType, Origin, Patch, Shape, Text, Type, TypeDef, TypeId, Wire, WireEntry};
use crate::{default, facts, structural};

/// Reads the words that `build/emit.rs` writes.
struct Words {
    words: std::slice::ChunksExact<'static, u8>,
    text: &'static str,
}

impl Words {
    /// The next word. The table is made by our own build script: a short one is a broken build, not input.
    fn number(&mut self) -> u32 {
        let word = self.words.next().expect("schema.bin is whole");
        u32::from_le_bytes([word[0], word[1], word[2], word[3]])
    }

    fn text(&mut self) -> Text {
        let (at, len) = (self.number() as usize, self.number() as usize);
        Cow::Borrowed(&self.text[at..at + len])
    }

    fn list<T>(&mut self, one: impl Fn(&mut Words) -> T) -> Vec<T> {
        (0..self.number()).map(|_| one(self)).collect()
    }

    fn field(&mut self) -> Field {
        let (json_name, description) = (self.text(), self.text());
        let (go_type, inlined_from) = (self.text(), self.text());
        let (code, target) = (self.number(), TypeId(self.number()));
        let ty = match code {
            0 => Type::String,
            1 => Type::Bool,
            2 => Type::Int32,
            3 => Type::Int64,
            4 => Type::Double,
            5 => Type::Bytes,
            6 => Type::Struct(target),
            7 => Type::Quantity,
            8 => Type::Time,
            9 => Type::MicroTime,
            10 => Type::Duration,
            11 => Type::IntOrString,
            12 => Type::FieldsV1,
            13 => Type::Raw,
            14 => Type::Json,
            15 => Type::SchemaOrArray(target),
            16 => Type::SchemaOrBool(target),
            17 => Type::SchemaOrStrings(target),
            18 => Type::Strings,
            other => unreachable!("schema.bin: type code {other}"),
        };
        let shape = match self.number() {
            0 => Shape::One,
            1 => Shape::List,
            _ => Shape::Map,
        };
        let flags = self.number();
        let flag = |bit: u32| flags & (1 << bit) != 0;
        let list_type = match self.number() {
            1 => Some(ListType::Atomic),
            2 => Some(ListType::Set),
            3 => Some(ListType::Map),
            _ => None,
        };
        let (merge_key, default) = (self.text(), self.text());
        Field {
            json_name,
            description,
            ty,
            shape,
            required: flag(0),
            go_type,
            inlined_from,
            pointer: flag(1),
            emit_empty: flag(2),
            omit_zero: flag(3),
            by_value: flag(4),
            keep_empty: false,
            list_type,
            map_keys: self.list(Words::text),
            atomic: flag(5),
            patch: Patch { merge: flag(6), replace: flag(7), retain_keys: flag(8) },
            merge_key,
            default,
            allowed: Vec::new(),
            facts: None,
            element: None,
        }
    }

    fn type_def(&mut self) -> TypeDef {
        let (package, name, description) = (self.text(), self.text(), self.text());
        let atomic = self.number() != 0;
        let fields = self.list(Words::field);
        let messages = self.list(|words| {
            words.list(|words| {
                let (tag, inline, at) = (words.number(), words.number(), words.number() as u16);
                Wire { tag, entry: if inline == 0 { WireEntry::Field(at) } else { WireEntry::Inline(at) } }
            })
        });
        let written = |f: &Field| f.emit_empty || (f.by_value && f.shape == Shape::One && !f.omit_zero);
        let always = (0u16..).zip(&fields).filter(|(_, f)| written(f)).map(|(at, _)| at).collect();
        TypeDef {
            origin: Origin::GoStruct,
            package,
            name,
            description,
            atomic,
            preserve_unknown: false,
            closed: false,
            embedded: false,
            facts: None,
            metadata: None,
            fields,
            messages,
            always,
        }
    }
}

/// The table that the build script made, with our own kinds and the rules of defaulting.
fn load() -> Schema {
    let mut words = Words {
        words: include_bytes!(concat!(env!("OUT_DIR"), "/schema.bin")).chunks_exact(4),
        text: include_str!(concat!(env!("OUT_DIR"), "/schema.txt")),
    };
    let mut schema = Schema::default();
    for ty in words.list(Words::type_def) {
        schema.add_type(ty);
    }
    let kinds = words.list(|words| Kind {
        group: words.text(),
        version: words.text(),
        kind: words.text(),
        type_id: TypeId(words.number()),
    });
    for kind in kinds {
        schema.add_kind(kind);
    }
    structural::add_own(&mut schema);
    schema.index();
    // The data is compiled in: what is wrong in it stops the start, with its name.
    let mut plans = default::compile(&schema, default::rules(&schema)).unwrap_or_else(|error| panic!("{error}"));
    facts::compile(&schema, facts::load(&schema), &mut plans).unwrap_or_else(|error| panic!("{error}"));
    schema.set_plans(plans);
    schema
}

/// A structural schema that describes no type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StructuralError(String);

impl Schema {
    /// The schema of Kubernetes v1.35 and of our own kinds.
    pub fn builtin() -> &'static Arc<Schema> {
        static BUILTIN: OnceLock<Arc<Schema>> = OnceLock::new();
        BUILTIN.get_or_init(|| Arc::new(load()))
    }

    /// A schema with more kinds, out of their structural schemas by kind, as a CustomResourceDefinition has them; each
    /// gets its list's kind too, as `lists` calls it. The base stays as it is, and its ids hold in the new one; the ids that are new mean
    /// nothing in any other.
    ///
    /// # Errors
    /// When a schema is not understood or its default is no JSON.
    pub fn extend(
        base: &Arc<Schema>,
        group: &str,
        version: &str,
        kinds: &Map<String, Value>,
        lists: impl Fn(&str) -> String,
    ) -> Result<Schema, StructuralError> {
        let mut schema = Schema::above(base);
        structural::add(&mut schema, group, version, kinds, &lists).map_err(StructuralError)?;
        schema.index();
        let mut plans = default::compile(&schema, Vec::new()).map_err(StructuralError)?;
        facts::compile(&schema, facts::Loaded::default(), &mut plans).map_err(StructuralError)?;
        schema.set_plans(plans);
        Ok(schema)
    }
}
