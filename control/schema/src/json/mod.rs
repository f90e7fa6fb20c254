//! JSON to values, led by the schema: one pass that prunes, reports and normalises as Go's decoder would.
//!
//! The words of errors are those of `encoding/json` and `sigs.k8s.io/json`, which the real server uses.

mod kind;
mod lenient;
mod restore;
mod seen;
mod source;
pub mod strict;

use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

use sampan_api::limits::NESTING_MAX;
use serde_json::{Map, Value};

pub(crate) use self::kind::type_meta_of;
pub use self::kind::{TypeMeta, name_of, type_meta};
use self::kind::{bad_type_meta, not_an_object, unrecognized};
pub use self::restore::restore;
use self::seen::Seen;
use self::source::{Parsed, Source, Stop, Text, Tree};
use crate::limits::{PROBLEM_BYTES_MAX, PROBLEMS_MAX};
use crate::problems::{DecodeError, Decoded, Problem, ProblemKind};
use crate::schema::Schema;
use crate::table::{Field, Origin, Shape, Type, TypeDef, TypeId};
use crate::{nesting, scalar, syntax, zero};

/// Decodes a body of a known type.
///
/// # Errors
/// `Unrecognized` when it is not well-formed JSON or not an object, `Mismatch` when a field has the wrong type.
pub fn decode(schema: &Schema, id: TypeId, body: &[u8]) -> Result<Decoded, DecodeError> {
    let text = String::from_utf8_lossy(body);
    let mut decoder = Decoder::new(schema, Text::new(&text));
    let map = match decoder.document(id) {
        Ok(_) if !decoder.source.is_at_end() => Err(Stop::Syntax),
        map => map,
    };
    let lax = decoder.source.lax;
    let decoded = decoder.finish(id, map);
    // Go reads the whole body for its kind first: what is not JSON is said before anything else.
    if lax || decoded.is_err() {
        syntax::check(text.as_bytes()).map_err(|error| unrecognized(&error))?;
    }
    decoded
}

/// Prunes and normalises a tree, such as the outcome of a patch.
///
/// # Errors
/// As [`decode`].
pub fn from_value(schema: &Schema, id: TypeId, value: &Value) -> Result<Decoded, DecodeError> {
    let mut decoder = Decoder::new(schema, Tree::new(value));
    let map = decoder.document(id);
    let decoded = decoder.finish(id, map);
    if decoded.is_err() && nesting::exceeds(value, NESTING_MAX) {
        return Err(unrecognized(syntax::TOO_DEEP));
    }
    decoded
}

enum Step<'a> {
    Field(&'a Field),
    Key(Cow<'a, str>),
    Index(usize),
}

struct Decoder<'a, S> {
    schema: &'a Schema,
    source: S,
    path: Vec<Step<'a>>,
    /// The first of them are hashed together as far as was needed: what [`Decoder::problem`] tells problems apart by.
    hashes: Vec<u64>,
    /// Metadata is read by itself, as that of a custom resource is.
    apart: bool,
    /// The struct whose field is being read.
    owner: Option<&'a TypeDef>,
    /// The first wrong type: Go goes on after it, and reports it at the end.
    mismatch: Option<String>,
    problems: Vec<Problem>,
    /// Bytes of the paths in `problems`.
    problem_bytes: usize,
    /// Hashes of what was met.
    met: HashSet<u64>,
    hasher: RandomState,
}

impl<'a, S: Source<'a>> Decoder<'a, S> {
    fn new(schema: &'a Schema, source: S) -> Self {
        Decoder {
            schema,
            source,
            path: Vec::with_capacity(16),
            hashes: Vec::new(),
            apart: false,
            owner: None,
            mismatch: None,
            problems: Vec::new(),
            problem_bytes: 0,
            met: HashSet::new(),
            hasher: RandomState::new(),
        }
    }

    /// The result of decoding; the first wrong type is reported at the end.
    fn finish(self, id: TypeId, map: Parsed<Map<String, Value>>) -> Result<Decoded, DecodeError> {
        let mut problems = self.problems;
        if self.schema.get(id).origin == Origin::Structural {
            problems.sort_by(lenient::as_pruned);
        }
        match (map, self.mismatch) {
            (Ok(map), None) => Ok(Decoded { value: Value::Object(map), problems }),
            (Ok(_), Some(text)) | (Err(Stop::Invalid(text)), _) => Err(DecodeError::Mismatch(text)),
            (Err(Stop::NoKind(text)), _) => Err(unrecognized(&text)),
            (Err(Stop::Syntax), _) => Err(unrecognized("invalid JSON")),
        }
    }

    /// Goes back up by one step.
    fn leave(&mut self) {
        self.path.pop();
        self.hashes.truncate(self.path.len());
    }

    fn document(&mut self, id: TypeId) -> Parsed<Map<String, Value>> {
        self.apart = self.schema.get(id).origin == Origin::Structural;
        match self.source.peek() {
            Some(b'{') => self.object(id),
            Some(b'n') => {
                self.source.literal("null")?;
                Ok(zero::struct_of(self.schema, id))
            }
            _ => Err(Stop::NoKind(not_an_object(self.source.seen()?))),
        }
    }

    fn object(&mut self, id: TypeId) -> Parsed<Map<String, Value>> {
        let schema = self.schema;
        let ty = schema.get(id);
        let outer = self.owner.replace(ty);
        let mut seen = Seen::default();
        let mut map = Map::new();
        let mut first = true;
        self.source.enter()?;
        while let Some(key) = self.source.key(&mut first)? {
            let Some(position) = ty.position(&key) else {
                if ty.preserve_unknown {
                    let value = self.source.tree()?;
                    map.insert(key.into_owned(), value);
                } else {
                    self.problem(&key, ProblemKind::UnknownField);
                    self.source.skip()?;
                }
                continue;
            };
            let field = &ty.fields[position];
            if !seen.insert(position) {
                self.problem(&key, ProblemKind::DuplicateField);
            }
            self.path.push(Step::Field(field));
            let value = match ty.origin {
                Origin::GoStruct => self.field(field)?,
                Origin::Structural => self.lenient(field)?,
            };
            self.leave();
            self.owner = Some(ty);
            match value {
                Some(value) if !zero::omits(field, &value) => {
                    map.insert(key.into_owned(), zero::read(field, value));
                }
                _ => {}
            }
        }
        self.owner = outer;
        if !ty.always.is_empty() {
            zero::complete(schema, ty, &mut map);
        }
        Ok(map)
    }

    /// A whole field; `None` when it is null.
    fn field(&mut self, field: &'a Field) -> Parsed<Option<Value>> {
        match (field.shape, self.source.peek()) {
            (_, Some(b'n')) => {
                self.source.literal("null")?;
                Ok(None)
            }
            (Shape::One, _) => self.element(field),
            (Shape::List, Some(b'[')) => self.list(field).map(Some),
            (Shape::Map, Some(b'{')) => self.map(field).map(Some),
            _ => {
                self.mismatched(|schema| schema.go_type(field))?;
                Ok(None)
            }
        }
    }

    fn list(&mut self, field: &'a Field) -> Parsed<Value> {
        let mut list = Vec::new();
        let mut first = true;
        self.source.enter()?;
        loop {
            if self.source.closed(b']', &mut first)? {
                return Ok(Value::Array(list));
            }
            self.path.push(Step::Index(list.len()));
            let value = self.element(field)?;
            self.leave();
            list.push(value.unwrap_or_else(|| zero::element(self.schema, field.ty)));
        }
    }

    fn map(&mut self, field: &'a Field) -> Parsed<Value> {
        let mut map = Map::new();
        let mut first = true;
        self.source.enter()?;
        while let Some(key) = self.source.key(&mut first)? {
            if map.contains_key(&*key) {
                self.problem(&key, ProblemKind::DuplicateField);
            }
            self.path.push(Step::Key(key.clone()));
            let value = self.element(field)?;
            self.leave();
            map.insert(key.into_owned(), value.unwrap_or_else(|| zero::entry(self.schema, field.ty)));
        }
        Ok(Value::Object(map))
    }

    /// One value of the field's type; `None` when it is null or of a wrong type.
    fn element(&mut self, field: &'a Field) -> Parsed<Option<Value>> {
        let Some(byte) = self.source.peek() else { return Err(Stop::Syntax) };
        if byte == b'n' {
            self.source.literal("null")?;
            return Ok(None);
        }
        let value = match (field.ty, byte) {
            (Type::Struct(id), b'{') => Value::Object(self.object(id)?),
            (Type::String, b'"') => Value::String(self.source.string()?.into_owned()),
            (Type::Bool, b't') => self.source.literal("true").map(|()| Value::Bool(true))?,
            (Type::Bool, b'f') => self.source.literal("false").map(|()| Value::Bool(false))?,
            (Type::Int32 | Type::Int64, b'-' | b'0'..=b'9') => return self.integer(field),
            (Type::Double, b'-' | b'0'..=b'9') => {
                let number = self.source.number()?;
                match number.parse::<f64>().ok().and_then(scalar::number) {
                    Some(number) => Value::Number(number),
                    None => return self.wrong(field, &format!("number {number}")),
                }
            }
            (Type::Bytes, b'"') => match scalar::base64_text(&self.source.string()?) {
                Ok(text) => Value::String(text),
                Err(error) => {
                    // As a wrong type: the first error of the body is told, once all of it was read.
                    self.mismatch.get_or_insert(error);
                    return Ok(None);
                }
            },
            (Type::Bytes, b'[') => return self.bytes(),
            (Type::Quantity, b'"') => self.own(|text| scalar::quantity(text.trim_matches(is_space)))?,
            (Type::Quantity, b'-' | b'0'..=b'9') => {
                let number = self.source.number()?;
                Value::String(scalar::quantity(&number).map_err(Stop::Invalid)?)
            }
            (Type::Duration, b'"') => self.own(|text| scalar::parse_duration(text).map(scalar::format_duration))?,
            (Type::Time | Type::MicroTime, b'"') => {
                let text = self.source.string()?;
                let time = if field.ty == Type::Time { scalar::time(&text) } else { scalar::micro_time(&text) };
                return Ok(time.map_err(Stop::Invalid)?.map(Value::String));
            }
            (Type::IntOrString, b'"') => Value::String(self.source.string()?.into_owned()),
            (Type::IntOrString, b'-' | b'0'..=b'9') => {
                let number = self.source.number()?;
                match number.parse::<i32>() {
                    Ok(number) => Value::from(number),
                    Err(_) => {
                        return Err(Stop::Invalid(self.unmarshal_error(&format!("number {number}"), "int32")));
                    }
                }
            }
            (Type::Strings, b'[') => return self.strings(field).map(Some),
            (Type::FieldsV1 | Type::Raw | Type::Json, _) => self.source.tree()?,
            (Type::SchemaOrArray(id), b'{') | (Type::SchemaOrBool(id), b'{') | (Type::SchemaOrStrings(id), b'{') => {
                Value::Object(self.object(id)?)
            }
            (Type::SchemaOrArray(id), b'[') => self.schemas(id)?,
            (Type::SchemaOrBool(_), b't' | b'f') | (Type::SchemaOrStrings(_), b'[') => self.source.tree()?,
            (Type::SchemaOrArray(_) | Type::SchemaOrBool(_) | Type::SchemaOrStrings(_), _) => {
                self.source.skip()?;
                return Err(Stop::Invalid(match field.ty {
                    Type::SchemaOrBool(_) => "boolean or JSON schema expected".to_string(),
                    _ => "array or JSON schema expected".to_string(),
                }));
            }
            (Type::Quantity | Type::IntOrString | Type::Time | Type::MicroTime | Type::Duration, _) => {
                // These parse their own bytes in Go: what they say ends the decoding.
                let seen = self.source.seen()?;
                let error = match field.ty {
                    Type::Quantity => QUANTITY_PATTERN.to_string(),
                    Type::IntOrString => self.unmarshal_error(seen, "int32"),
                    _ => self.unmarshal_error(seen, "string"),
                };
                self.source.skip()?;
                return Err(Stop::Invalid(error));
            }
            _ => {
                self.mismatched(|schema| schema.go_element_type(field))?;
                return Ok(None);
            }
        };
        Ok(Some(value))
    }

    fn own(&mut self, parse: impl Fn(&str) -> Result<String, String>) -> Parsed<Value> {
        let text = self.source.string()?;
        parse(&text).map(Value::String).map_err(Stop::Invalid)
    }

    fn integer(&mut self, field: &'a Field) -> Parsed<Option<Value>> {
        let number = self.source.number()?;
        let parsed = match field.ty {
            Type::Int32 => number.parse::<i32>().ok().map(Value::from),
            _ => number.parse::<i64>().ok().map(Value::from),
        };
        match parsed {
            Some(value) => Ok(Some(value)),
            None => self.wrong(field, &format!("number {number}")),
        }
    }

    /// Bytes that are sent as a list of numbers, as Go's decoder takes them too.
    fn bytes(&mut self) -> Parsed<Option<Value>> {
        let mut bytes = Vec::new();
        let mut first = true;
        self.source.enter()?;
        while !self.source.closed(b']', &mut first)? {
            match self.source.peek() {
                Some(b'-' | b'0'..=b'9') => {
                    let number = self.source.number()?;
                    match number.parse::<u8>() {
                        Ok(byte) => bytes.push(byte),
                        Err(_) => self.note(&format!("number {number}"), "uint8"),
                    }
                }
                Some(b'n') => {
                    self.source.literal("null")?;
                    bytes.push(0);
                }
                _ => {
                    let seen = self.source.seen()?;
                    self.note(seen, "uint8");
                    self.source.skip()?;
                }
            }
        }
        Ok(Some(Value::String(scalar::base64_of(&bytes))))
    }

    fn strings(&mut self, field: &'a Field) -> Parsed<Value> {
        let mut list = Vec::new();
        let mut first = true;
        self.source.enter()?;
        loop {
            if self.source.closed(b']', &mut first)? {
                return Ok(Value::Array(list));
            }
            match self.source.peek() {
                Some(b'"') => list.push(Value::String(self.source.string()?.into_owned())),
                Some(b'n') => {
                    self.source.literal("null")?;
                    list.push(Value::String(String::new()));
                }
                _ => {
                    self.mismatched(|_| "string".to_string())?;
                    debug_assert!(field.ty == Type::Strings);
                }
            }
        }
    }

    fn schemas(&mut self, id: TypeId) -> Parsed<Value> {
        let mut list = Vec::new();
        let mut first = true;
        self.source.enter()?;
        loop {
            if self.source.closed(b']', &mut first)? {
                return Ok(Value::Array(list));
            }
            if self.source.peek() != Some(b'{') {
                self.mismatched(|schema| schema.get(id).go_name())?;
                continue;
            }
            list.push(Value::Object(self.object(id)?));
        }
    }

    /// Notes a wrong type and passes over it.
    fn mismatched(&mut self, go_type: impl FnOnce(&Schema) -> String) -> Parsed<()> {
        let seen = self.source.seen()?;
        if let [Step::Field(field)] = self.path[..]
            && matches!(&*field.json_name, "apiVersion" | "kind")
        {
            let text = bad_type_meta(seen, &field.json_name);
            self.source.skip()?;
            return Err(Stop::NoKind(text));
        }
        let go_type = go_type(self.schema);
        self.note(seen, &go_type);
        self.source.skip()
    }

    fn wrong(&mut self, field: &Field, seen: &str) -> Parsed<Option<Value>> {
        let go_type = self.schema.go_element_type(field);
        self.note(seen, &go_type);
        Ok(None)
    }

    fn note(&mut self, seen: &str, go_type: &str) {
        if self.mismatch.is_none() {
            self.mismatch = Some(self.unmarshal_error(seen, go_type));
        }
    }

    /// Go's `UnmarshalTypeError` at the field that is being read: its struct, and its path without indexes and keys, with what
    /// is embedded on the way.
    fn unmarshal_error(&self, seen: &str, go_type: &str) -> String {
        let outside = self.apart && matches!(self.path.first(), Some(Step::Field(at)) if at.json_name == "metadata");
        let mut names = String::new();
        for step in self.path.iter().skip(usize::from(outside)) {
            let Step::Field(field) = step else { continue };
            if !field.inlined_from.is_empty() {
                join(&mut names, &field.inlined_from);
            }
            join(&mut names, &field.json_name);
        }
        if names.is_empty() {
            return format!("json: cannot unmarshal {seen} into Go value of type {go_type}");
        }
        let owner = self.owner.map_or("", |ty| &ty.name);
        format!("json: cannot unmarshal {seen} into Go struct field {owner}.{names} of type {go_type}")
    }

    /// Notes a field that does not count, once. Costs nothing that grows with the path but for the few that are kept: a
    /// body can repeat a problem under a long key very often.
    fn problem(&mut self, key: &str, kind: ProblemKind) {
        if self.problems.len() >= PROBLEMS_MAX || self.problem_bytes >= PROBLEM_BYTES_MAX {
            return;
        }
        for step in &self.path[self.hashes.len()..] {
            let above = self.hashes.last().copied().unwrap_or_default();
            self.hashes.push(match step {
                Step::Index(index) => self.hasher.hash_one((above, index)),
                Step::Field(field) => self.hasher.hash_one((above, &*field.json_name)),
                Step::Key(name) => self.hasher.hash_one((above, &**name)),
            });
        }
        if !self.met.insert(self.hasher.hash_one((self.hashes.last(), key, kind))) {
            return;
        }
        let mut path = String::new();
        self.write_path(&mut path);
        join(&mut path, key);
        self.problem_bytes += path.len();
        self.problems.push(Problem { path, kind });
    }
}

impl<S> Decoder<'_, S> {
    /// Writes the path of the value that is being read.
    fn write_path(&self, path: &mut String) {
        for step in &self.path {
            match step {
                Step::Index(index) => path.push_str(&format!("[{index}]")),
                Step::Field(field) => join(path, &field.json_name),
                Step::Key(name) => join(path, name),
            }
        }
    }
}

/// Spaces that Go trims from a quantity. Control characters are escaped in JSON, and Go trims before it unescapes.
fn is_space(c: char) -> bool {
    c.is_whitespace() && !c.is_ascii_control()
}

const QUANTITY_PATTERN: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

fn join(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(name);
}
