//! JSON to values, led by the schema: one pass that prunes, reports and normalises as Go's decoder would.
//!
//! The words of errors are those of `encoding/json` and `sigs.k8s.io/json`, which the real server uses.

use std::borrow::Cow;

use sampan_api::limits::NESTING_MAX;
use serde_json::{Map, Number, Value};

use crate::limits::PROBLEMS_MAX;
use crate::problems::{DecodeError, Decoded, Problem, ProblemKind};
use crate::table::{Field, Schema, Shape, Type, TypeDef, TypeId};
use crate::{scalar, syntax, zero};

/// Decodes a body of a known type.
///
/// # Errors
/// `Unrecognized` when it is not well-formed JSON or not an object, `Mismatch` when a field has the wrong type.
pub fn decode(schema: &Schema, id: TypeId, body: &[u8]) -> Result<Decoded, DecodeError> {
    let text = String::from_utf8_lossy(body);
    let mut decoder = Decoder {
        schema,
        text: &text,
        bytes: text.as_bytes(),
        at: 0,
        depth: 0,
        path: Vec::with_capacity(16),
        owner: None,
        mismatch: None,
        lax: false,
        problems: Vec::new(),
    };
    let stop = match decoder.document(id) {
        Ok(map) => match decoder.mismatch {
            None if decoder.lax => {
                syntax::check(text.as_bytes()).map_err(|error| unrecognized(&error))?;
                return Ok(Decoded { value: Value::Object(map), problems: decoder.problems });
            }
            None => return Ok(Decoded { value: Value::Object(map), problems: decoder.problems }),
            Some(text) => Stop::Invalid(text),
        },
        Err(stop) => stop,
    };
    // Go reads the whole body for its kind first: what is not JSON is said before anything else.
    syntax::check(text.as_bytes()).map_err(|error| unrecognized(&error))?;
    Err(match stop {
        Stop::Invalid(text) => DecodeError::Mismatch(text),
        Stop::NoKind(text) => unrecognized(&text),
        Stop::Syntax => unrecognized("invalid JSON"),
    })
}

/// Prunes and normalises a tree, such as the outcome of a patch.
///
/// # Errors
/// As [`decode`].
pub fn from_value(schema: &Schema, id: TypeId, value: &Value) -> Result<Decoded, DecodeError> {
    let bytes = serde_json::to_vec(value).map_err(|error| unrecognized(&error.to_string()))?;
    decode(schema, id, &bytes)
}

/// The kind that a body names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypeMeta {
    pub api_version: String,
    pub kind: String,
}

/// Reads `apiVersion` and `kind` alone; either is empty when absent.
///
/// # Errors
/// `Unrecognized`, as the real server words it.
pub fn type_meta(body: &[u8]) -> Result<TypeMeta, DecodeError> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Peek<'a> {
        #[serde(borrow, default)]
        api_version: Option<Cow<'a, str>>,
        #[serde(borrow, default)]
        kind: Option<Cow<'a, str>>,
    }
    let text = |field: Option<Cow<'_, str>>| field.map(Cow::into_owned).unwrap_or_default();
    if let Ok(peek) = serde_json::from_slice::<Peek<'_>>(body) {
        return Ok(TypeMeta { api_version: text(peek.api_version), kind: text(peek.kind) });
    }
    syntax::check(body).map_err(|error| unrecognized(&error))?;
    let value: Value = serde_json::from_slice(body).map_err(|error| unrecognized(&error.to_string()))?;
    let Value::Object(map) = value else { return Err(unrecognized(&not_an_object(name_of(&value)))) };
    for name in ["apiVersion", "kind"] {
        match map.get(name) {
            None | Some(Value::Null | Value::String(_)) => {}
            Some(other) => return Err(unrecognized(&bad_type_meta(name_of(other), name))),
        }
    }
    let text = |name: &str| map.get(name).and_then(Value::as_str).unwrap_or_default().to_string();
    Ok(TypeMeta { api_version: text("apiVersion"), kind: text("kind") })
}

fn unrecognized(error: &str) -> DecodeError {
    DecodeError::Unrecognized(format!("couldn't get version/kind; json parse error: {error}"))
}

fn bad_type_meta(seen: &str, field: &str) -> String {
    format!("json: cannot unmarshal {seen} into Go struct field .{field} of type string")
}

fn not_an_object(seen: &str) -> String {
    let peek = r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;
    format!("json: cannot unmarshal {seen} into Go value of type {peek}")
}

fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Why decoding ends early.
enum Stop {
    /// Not JSON; [`syntax::check`] finds the words.
    Syntax,
    /// A scalar's own parser refused; Go stops there.
    Invalid(String),
    /// The body's kind cannot be read.
    NoKind(String),
}

enum Step<'a> {
    Field(&'a str),
    Key(Cow<'a, str>),
    Index(usize),
}

struct Decoder<'a> {
    schema: &'a Schema,
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    /// Lists and objects that are open here.
    depth: usize,
    path: Vec<Step<'a>>,
    /// The struct whose field is being read.
    owner: Option<&'a TypeDef>,
    /// The first wrong type: Go goes on after it, and reports it at the end.
    mismatch: Option<String>,
    /// A list or object was passed over without a look at its commas and colons.
    lax: bool,
    problems: Vec<Problem>,
}

type Parsed<T> = Result<T, Stop>;

impl<'a> Decoder<'a> {
    fn document(&mut self, id: TypeId) -> Parsed<Map<String, Value>> {
        self.space();
        let map = match self.peek() {
            Some(b'{') => self.object(id)?,
            Some(b'n') => {
                self.literal("null")?;
                let mut map = Map::new();
                zero::complete(self.schema, self.schema.get(id), &mut map);
                map
            }
            _ => return Err(Stop::NoKind(not_an_object(self.seen()?))),
        };
        self.space();
        if self.at == self.bytes.len() { Ok(map) } else { Err(Stop::Syntax) }
    }

    fn object(&mut self, id: TypeId) -> Parsed<Map<String, Value>> {
        let schema = self.schema;
        let ty = schema.get(id);
        let outer = self.owner.replace(ty);
        let mut seen: u128 = 0;
        let mut map = Map::new();
        let mut first = true;
        self.enter()?;
        while let Some(key) = self.key(&mut first)? {
            let Some(position) = ty.position(&key) else {
                self.problem(&key, ProblemKind::UnknownField);
                self.skip()?;
                continue;
            };
            let field = &ty.fields[position];
            let bit = 1u128 << (position & 127);
            if seen & bit != 0 {
                self.problem(&key, ProblemKind::DuplicateField);
            }
            seen |= bit;
            self.path.push(Step::Field(&field.json_name));
            let value = self.field(field)?;
            self.path.pop();
            self.owner = Some(ty);
            match value {
                Some(value) if !zero::omits(field, &value) => {
                    map.insert(key.into_owned(), value);
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
        match (field.shape, self.peek()) {
            (_, Some(b'n')) => {
                self.literal("null")?;
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
        self.enter()?;
        loop {
            self.space();
            if self.closed(b']', &mut first)? {
                return Ok(Value::Array(list));
            }
            self.path.push(Step::Index(list.len()));
            let value = self.element(field)?;
            self.path.pop();
            list.push(value.unwrap_or_else(|| zero::element(self.schema, field.ty)));
        }
    }

    fn map(&mut self, field: &'a Field) -> Parsed<Value> {
        let mut map = Map::new();
        let mut first = true;
        self.enter()?;
        while let Some(key) = self.key(&mut first)? {
            if map.contains_key(&*key) {
                self.problem(&key, ProblemKind::DuplicateField);
            }
            self.path.push(Step::Key(key.clone()));
            let value = self.element(field)?;
            self.path.pop();
            map.insert(key.into_owned(), value.unwrap_or_else(|| zero::element(self.schema, field.ty)));
        }
        Ok(Value::Object(map))
    }

    /// One value of the field's type; `None` when it is null or of a wrong type.
    fn element(&mut self, field: &'a Field) -> Parsed<Option<Value>> {
        let Some(byte) = self.peek() else { return Err(Stop::Syntax) };
        if byte == b'n' {
            self.literal("null")?;
            return Ok(None);
        }
        let value = match (field.ty, byte) {
            (Type::Struct(id), b'{') => Value::Object(self.object(id)?),
            (Type::String, b'"') => Value::String(self.string()?.into_owned()),
            (Type::Bool, b't') => self.literal("true").map(|()| Value::Bool(true))?,
            (Type::Bool, b'f') => self.literal("false").map(|()| Value::Bool(false))?,
            (Type::Int32 | Type::Int64, b'-' | b'0'..=b'9') => return self.integer(field),
            (Type::Double, b'-' | b'0'..=b'9') => {
                let number = self.number()?;
                match number.parse::<f64>().ok().and_then(Number::from_f64) {
                    Some(number) => Value::Number(number),
                    None => return self.wrong(field, &format!("number {number}")),
                }
            }
            (Type::Bytes, b'"') => Value::String(scalar::base64_text(&self.string()?).map_err(Stop::Invalid)?),
            (Type::Quantity, b'"') => self.own(scalar::quantity)?,
            (Type::Quantity, b'-' | b'0'..=b'9') => {
                let number = self.number()?;
                Value::String(scalar::quantity(number).map_err(Stop::Invalid)?)
            }
            (Type::Duration, b'"') => self.own(|text| scalar::parse_duration(text).map(scalar::format_duration))?,
            (Type::Time | Type::MicroTime, b'"') => {
                let text = self.string()?;
                let time = if field.ty == Type::Time { scalar::time(&text) } else { scalar::micro_time(&text) };
                return Ok(time.map_err(Stop::Invalid)?.map(Value::String));
            }
            (Type::IntOrString, b'"') => Value::String(self.string()?.into_owned()),
            (Type::IntOrString, b'-' | b'0'..=b'9') => {
                let number = self.number()?;
                match number.parse::<i32>() {
                    Ok(number) => Value::from(number),
                    Err(_) => {
                        let error = format!("json: cannot unmarshal number {number} into Go value of type int32");
                        return Err(Stop::Invalid(error));
                    }
                }
            }
            (Type::Strings, b'[') => return self.strings(field).map(Some),
            (Type::FieldsV1 | Type::Raw | Type::Json, _) => self.tree()?,
            (Type::SchemaOrArray(id), b'{') | (Type::SchemaOrBool(id), b'{') | (Type::SchemaOrStrings(id), b'{') => {
                Value::Object(self.object(id)?)
            }
            (Type::SchemaOrArray(id), b'[') => self.schemas(id)?,
            (Type::SchemaOrBool(_), b't' | b'f') | (Type::SchemaOrStrings(_), b'[') => self.tree()?,
            (Type::SchemaOrArray(_) | Type::SchemaOrBool(_) | Type::SchemaOrStrings(_), _) => {
                self.skip()?;
                return Err(Stop::Invalid(match field.ty {
                    Type::SchemaOrBool(_) => "boolean or JSON schema expected".to_string(),
                    _ => "array or JSON schema expected".to_string(),
                }));
            }
            (Type::Quantity | Type::IntOrString | Type::Time | Type::MicroTime | Type::Duration, _) => {
                // These parse their own bytes in Go, without a word of where they stand.
                let seen = self.seen()?;
                self.skip()?;
                return Err(Stop::Invalid(match field.ty {
                    Type::Quantity => QUANTITY_PATTERN.to_string(),
                    Type::IntOrString => format!("json: cannot unmarshal {seen} into Go value of type int32"),
                    _ => format!("json: cannot unmarshal {seen} into Go value of type string"),
                }));
            }
            _ => {
                self.mismatched(|schema| schema.go_element_type(field))?;
                return Ok(None);
            }
        };
        Ok(Some(value))
    }

    fn own(&mut self, parse: impl Fn(&str) -> Result<String, String>) -> Parsed<Value> {
        let text = self.string()?;
        parse(&text).map(Value::String).map_err(Stop::Invalid)
    }

    fn integer(&mut self, field: &'a Field) -> Parsed<Option<Value>> {
        let number = self.number()?;
        let parsed = match field.ty {
            Type::Int32 => number.parse::<i32>().ok().map(Value::from),
            _ => number.parse::<i64>().ok().map(Value::from),
        };
        match parsed {
            Some(value) => Ok(Some(value)),
            None => self.wrong(field, &format!("number {number}")),
        }
    }

    fn strings(&mut self, field: &'a Field) -> Parsed<Value> {
        let mut list = Vec::new();
        let mut first = true;
        self.enter()?;
        loop {
            self.space();
            if self.closed(b']', &mut first)? {
                return Ok(Value::Array(list));
            }
            match self.peek() {
                Some(b'"') => list.push(Value::String(self.string()?.into_owned())),
                Some(b'n') => {
                    self.literal("null")?;
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
        self.enter()?;
        loop {
            self.space();
            if self.closed(b']', &mut first)? {
                return Ok(Value::Array(list));
            }
            if self.peek() != Some(b'{') {
                self.mismatched(|schema| schema.get(id).go_name())?;
                continue;
            }
            list.push(Value::Object(self.object(id)?));
        }
    }

    /// Any JSON, as it stands.
    fn tree(&mut self) -> Parsed<Value> {
        match self.peek() {
            Some(b'{') => {
                let mut map = Map::new();
                let mut first = true;
                self.enter()?;
                while let Some(key) = self.key(&mut first)? {
                    let value = self.tree()?;
                    map.insert(key.into_owned(), value);
                }
                Ok(Value::Object(map))
            }
            Some(b'[') => {
                let mut list = Vec::new();
                let mut first = true;
                self.enter()?;
                loop {
                    self.space();
                    if self.closed(b']', &mut first)? {
                        return Ok(Value::Array(list));
                    }
                    list.push(self.tree()?);
                }
            }
            Some(b'"') => Ok(Value::String(self.string()?.into_owned())),
            Some(b't') => self.literal("true").map(|()| Value::Bool(true)),
            Some(b'f') => self.literal("false").map(|()| Value::Bool(false)),
            Some(b'n') => self.literal("null").map(|()| Value::Null),
            Some(b'-' | b'0'..=b'9') => {
                let number = self.number()?;
                serde_json::from_str(number).map(Value::Number).map_err(|_| Stop::Syntax)
            }
            _ => Err(Stop::Syntax),
        }
    }

    /// Passes over one value of any form.
    fn skip(&mut self) -> Parsed<()> {
        let mut depth = 0usize;
        loop {
            self.space();
            match self.peek() {
                Some(b'{' | b'[') => {
                    depth += 1;
                    self.at += 1;
                    self.lax = true;
                }
                Some(b'}' | b']') if depth > 0 => {
                    depth -= 1;
                    self.at += 1;
                }
                // Commas and colons are not placed here: `decode` checks the whole text when `lax` is set.
                Some(b',' | b':') if depth > 0 => {
                    self.at += 1;
                    continue;
                }
                Some(b'"') => drop(self.string()?),
                Some(b't') => self.literal("true")?,
                Some(b'f') => self.literal("false")?,
                Some(b'n') => self.literal("null")?,
                Some(b'-' | b'0'..=b'9') => drop(self.number()?),
                _ => return Err(Stop::Syntax),
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    /// Notes a wrong type and passes over it.
    fn mismatched(&mut self, go_type: impl FnOnce(&Schema) -> String) -> Parsed<()> {
        let seen = self.seen()?;
        let stands_at_top = self.path.len() == 1;
        if let [Step::Field(name @ ("apiVersion" | "kind"))] = self.path[..]
            && stands_at_top
        {
            let text = bad_type_meta(seen, name);
            self.skip()?;
            return Err(Stop::NoKind(text));
        }
        let go_type = go_type(self.schema);
        self.note(seen, &go_type);
        self.skip()
    }

    fn wrong(&mut self, field: &Field, seen: &str) -> Parsed<Option<Value>> {
        let go_type = self.schema.go_element_type(field);
        self.note(seen, &go_type);
        Ok(None)
    }

    fn note(&mut self, seen: &str, go_type: &str) {
        if self.mismatch.is_some() {
            return;
        }
        let names = self.path.iter().filter_map(|step| match step {
            Step::Field(name) => Some(*name),
            _ => None,
        });
        let names = names.collect::<Vec<_>>().join(".");
        let owner = self.owner.map_or("", |ty| &ty.name);
        self.mismatch =
            Some(format!("json: cannot unmarshal {seen} into Go struct field {owner}.{names} of type {go_type}"));
    }

    fn problem(&mut self, key: &str, kind: ProblemKind) {
        if self.problems.len() >= PROBLEMS_MAX {
            return;
        }
        let mut path = String::new();
        for step in &self.path {
            match step {
                Step::Index(index) => path.push_str(&format!("[{index}]")),
                Step::Field(name) => join(&mut path, name),
                Step::Key(name) => join(&mut path, name),
            }
        }
        join(&mut path, key);
        let problem = Problem { path, kind };
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// What stands here, in Go's words.
    fn seen(&self) -> Parsed<&'static str> {
        match self.peek() {
            Some(b'{') => Ok("object"),
            Some(b'[') => Ok("array"),
            Some(b'"') => Ok("string"),
            Some(b't' | b'f') => Ok("bool"),
            Some(b'n') => Ok("null"),
            Some(b'-' | b'0'..=b'9') => Ok("number"),
            _ => Err(Stop::Syntax),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Passes the opening bracket; [`Decoder::closed`] passes its closing one.
    fn enter(&mut self) -> Parsed<()> {
        if self.depth == NESTING_MAX {
            return Err(Stop::Syntax);
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    /// Whether the list or object ends here; else passes the comma before its next element.
    fn closed(&mut self, bracket: u8, first: &mut bool) -> Parsed<bool> {
        if self.peek() == Some(bracket) {
            self.depth -= 1;
            self.at += 1;
            return Ok(true);
        }
        if std::mem::replace(first, false) {
            return Ok(false);
        }
        if self.peek() != Some(b',') {
            return Err(Stop::Syntax);
        }
        self.at += 1;
        self.space();
        if self.peek() == Some(bracket) { Err(Stop::Syntax) } else { Ok(false) }
    }

    /// The next key of an object, its colon passed; `None` at the end.
    fn key(&mut self, first: &mut bool) -> Parsed<Option<Cow<'a, str>>> {
        self.space();
        if self.closed(b'}', first)? {
            return Ok(None);
        }
        if self.peek() != Some(b'"') {
            return Err(Stop::Syntax);
        }
        let key = self.string()?;
        self.space();
        if self.peek() != Some(b':') {
            return Err(Stop::Syntax);
        }
        self.at += 1;
        self.space();
        Ok(Some(key))
    }

    fn literal(&mut self, word: &str) -> Parsed<()> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return Err(Stop::Syntax);
        }
        self.at += word.len();
        Ok(())
    }

    fn number(&mut self) -> Parsed<&'a str> {
        let start = self.at;
        let digits = |from: &mut usize| {
            let start = *from;
            while self.bytes.get(*from).is_some_and(u8::is_ascii_digit) {
                *from += 1;
            }
            *from > start
        };
        let mut at = start + usize::from(self.peek() == Some(b'-'));
        let whole = at;
        let mut good = digits(&mut at) && (self.bytes[whole] != b'0' || at == whole + 1);
        if self.bytes.get(at) == Some(&b'.') {
            at += 1;
            good &= digits(&mut at);
        }
        if let Some(b'e' | b'E') = self.bytes.get(at) {
            at += 1;
            at += usize::from(matches!(self.bytes.get(at), Some(b'+' | b'-')));
            good &= digits(&mut at);
        }
        if !good {
            return Err(Stop::Syntax);
        }
        self.at = at;
        Ok(&self.text[start..at])
    }

    fn string(&mut self) -> Parsed<Cow<'a, str>> {
        let start = self.at + 1;
        let mut at = start;
        loop {
            match self.bytes.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(Cow::Borrowed(&self.text[start..at]));
                }
                Some(b'\\') => return self.escaped(start, at),
                Some(0..=0x1f) | None => return Err(Stop::Syntax),
                Some(_) => at += 1,
            }
        }
    }

    /// The rest of a string from its first backslash on.
    fn escaped(&mut self, start: usize, mut at: usize) -> Parsed<Cow<'a, str>> {
        let mut out = String::from(&self.text[start..at]);
        loop {
            let plain = at;
            while !matches!(self.bytes.get(at), Some(b'"' | b'\\' | 0..=0x1f) | None) {
                at += 1;
            }
            out.push_str(&self.text[plain..at]);
            match self.bytes.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(Cow::Owned(out));
                }
                Some(b'\\') => {}
                _ => return Err(Stop::Syntax),
            }
            let escape = self.bytes.get(at + 1).copied().unwrap_or_default();
            at += 2;
            out.push(match escape {
                b'"' | b'\\' | b'/' => char::from(escape),
                b'b' => '\u{8}',
                b'f' => '\u{c}',
                b'n' => '\n',
                b'r' => '\r',
                b't' => '\t',
                b'u' => {
                    let high = self.hex(at)?;
                    at += 4;
                    let pair = (0xd800..0xdc00).contains(&high) && self.bytes[at..].starts_with(b"\\u");
                    let low = if pair { self.hex(at + 2)? } else { 0 };
                    if (0xdc00..0xe000).contains(&low) {
                        at += 6;
                        char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)).unwrap_or('\u{fffd}')
                    } else {
                        char::from_u32(high).unwrap_or('\u{fffd}')
                    }
                }
                _ => return Err(Stop::Syntax),
            });
        }
    }

    fn hex(&self, at: usize) -> Parsed<u32> {
        let digits = self.bytes.get(at..at + 4).filter(|d| d.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|d| std::str::from_utf8(d).ok());
        digits.and_then(|d| u32::from_str_radix(d, 16).ok()).ok_or(Stop::Syntax)
    }
}

const QUANTITY_PATTERN: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

fn join(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(name);
}
