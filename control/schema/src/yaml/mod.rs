//! YAML to JSON as the real server does it (sigs.k8s.io/yaml over YAML 1.1), and back.
//!
//! The parser is serde-saphyr's own; scalars are resolved here, because the rules that clients rely on are Go's
//! (`yes` is a boolean, `0x1f` a number, dates are strings). Aliases are expanded within [`crate::limits`].

mod resolve;
mod write;

use std::collections::HashMap;

use sampan_api::limits::NESTING_MAX;
use serde_json::{Map, Value};
use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle};

pub use self::write::encode;

use self::resolve::{CORE_TAGS, Scalar, float_key, resolve, tagged};
use crate::json::{self, TypeMeta};
use crate::limits::{PROBLEMS_MAX, YAML_ALIAS_BYTES_MAX, YAML_ALIAS_NODES_MAX, YAML_NODES_MAX};
use crate::problems::{DecodeError, Decoded, Problem, ProblemKind};
use crate::schema::Schema;
use crate::table::TypeId;
use crate::{go_print, scalar};

/// Decodes a body of a known type. Keys that YAML saw twice come first among the problems.
///
/// # Errors
/// As [`json::decode`].
pub fn decode(schema: &Schema, id: TypeId, body: &[u8]) -> Result<Decoded, DecodeError> {
    let (value, mut problems) = to_json(body).map_err(DecodeError::Unrecognized)?;
    let decoded = json::from_value(schema, id, &value)?;
    problems.extend(decoded.problems);
    problems.truncate(PROBLEMS_MAX);
    Ok(Decoded { value: decoded.value, problems })
}

/// Reads `apiVersion` and `kind` alone.
///
/// # Errors
/// `Unrecognized`, as the real server words it.
pub fn type_meta(body: &[u8]) -> Result<TypeMeta, DecodeError> {
    let (value, _) = to_json(body).map_err(DecodeError::Unrecognized)?;
    json::type_meta_of(&value)
}

/// The first document as JSON, and the keys that stand twice in a map (the last one counts).
///
/// # Errors
/// `yaml: line 2: ...`; also when the document has too many nodes or is too deep, its aliases expanded.
pub fn to_json(body: &[u8]) -> Result<(Value, Vec<Problem>), String> {
    let text = std::str::from_utf8(body).map_err(|_| "yaml: invalid leading UTF-8 octet".to_string())?;
    let mut build = Build::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| go_words(&error.info().to_string(), error.marker().line()))?;
        let line = span.start.line();
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let core = tag.as_ref().filter(|tag| tag.handle() == CORE_TAGS).map(|tag| tag.suffix().to_string());
                let plain = style == ScalarStyle::Plain && tag.is_none();
                let scalar = match core.as_deref() {
                    Some(tag) => tagged(tag, &text)?,
                    None if plain => resolve(&text),
                    None => Scalar::Text(text.into_owned()),
                };
                let value = build.value(scalar);
                let size = Size { nodes: 1, bytes: value.as_str().map_or(0, str::len), depth: 0 };
                build.add(value, anchor, size, line)?;
            }
            Event::SequenceStart(_, anchor, _) => build.open(Value::Array(Vec::new()), anchor, line)?,
            Event::MappingStart(_, anchor, _) => build.open(Value::Object(Map::new()), anchor, line)?,
            Event::SequenceEnd | Event::MappingEnd => build.close()?,
            Event::Alias(id) => build.alias(id, line)?,
            Event::DocumentEnd => break,
            _ => {}
        }
    }
    if let Some(value) = build.unsupported {
        return Err(format!("json: unsupported value: {value}"));
    }
    Ok((build.root.unwrap_or(Value::Null), build.problems))
}

/// Who finds an error in Go's reader, which decides how its line is counted.
enum Finder {
    /// It counts lines from one.
    Scanner,
    /// It counts lines from zero.
    Parser,
    /// The parser, behind the last line.
    End,
}

/// The words of `go.yaml.in/yaml/v2` for an error, and where it says that it is: nothing of the first line.
fn go_words(info: &str, line: usize) -> String {
    let (finder, words) = match info {
        _ if info.contains("tab") || info.starts_with("unexpected character") => {
            (Finder::Scanner, "found character that cannot start any token")
        }
        _ if info.contains("quote") => (Finder::Scanner, "found unexpected end of stream"),
        _ if info.contains("unclosed")
            || info.contains("end of file")
            || info.contains("while parsing a flow")
            || info.contains("EOF") =>
        {
            (Finder::End, "did not find expected node content")
        }
        "misplaced bracket" => (Finder::Parser, "did not find expected node content"),
        "the handle wasn't declared" => (Finder::Parser, "found undefined tag handle"),
        _ => match info.find("did not find expected") {
            Some(at) => (Finder::Parser, &info[at..]),
            None => (Finder::Scanner, info),
        },
    };
    let line = match finder {
        Finder::Scanner if line <= 1 => 0,
        Finder::Parser => line.saturating_sub(1),
        Finder::Scanner | Finder::End => line,
    };
    if line == 0 { format!("yaml: {words}") } else { format!("yaml: line {line}: {words}") }
}

/// The cost of a node for whoever copies it.
#[derive(Clone, Copy)]
struct Size {
    nodes: usize,
    /// Of text.
    bytes: usize,
    /// Lists and maps within each other, itself included.
    depth: usize,
}

impl Size {
    fn take_in(&mut self, part: Size) {
        self.nodes += part.nodes;
        self.bytes += part.bytes;
        self.depth = self.depth.max(part.depth + 1);
    }
}

struct Open {
    value: Value,
    /// Of a map: the key whose value comes next.
    key: Option<Key>,
    seen: std::collections::HashSet<String>,
    anchor: usize,
    size: Size,
    line: usize,
}

/// A key of a map.
struct Key {
    text: String,
    /// It stood in the map before.
    again: bool,
}

#[derive(Default)]
struct Build {
    stack: Vec<Open>,
    anchors: HashMap<usize, (Value, Size)>,
    root: Option<Value>,
    nodes: usize,
    /// Of the copies that anchors and aliases make.
    copied_nodes: usize,
    copied_bytes: usize,
    problems: Vec<Problem>,
    /// The first value that JSON has no number for, as Go names it.
    unsupported: Option<&'static str>,
}

impl Build {
    /// The value of a scalar. A number that JSON has none for is refused at the end, but as a key it is a text like others.
    fn value(&mut self, scalar: Scalar) -> Value {
        let is_key = self.stack.last().is_some_and(|open| open.value.is_object() && open.key.is_none());
        match scalar {
            Scalar::Null => Value::Null,
            Scalar::Bool(on) => Value::Bool(on),
            Scalar::Integer(number) => Value::Number(number),
            Scalar::Text(text) => Value::String(text),
            Scalar::Float(float) if is_key => Value::String(float_key(float)),
            Scalar::Float(float) => match scalar::number(float) {
                Some(number) => Value::Number(number),
                None => {
                    let name = if float.is_nan() {
                        "NaN"
                    } else if float > 0.0 {
                        "+Inf"
                    } else {
                        "-Inf"
                    };
                    self.unsupported.get_or_insert(name);
                    Value::Null
                }
            },
        }
    }

    fn open(&mut self, value: Value, anchor: usize, line: usize) -> Result<(), String> {
        let size = Size { nodes: 1, bytes: 0, depth: 1 };
        self.check_depth(size)?;
        self.stack.push(Open { value, key: None, seen: std::collections::HashSet::default(), anchor, size, line });
        Ok(())
    }

    /// Whether a node of this size may stand here.
    fn check_depth(&self, size: Size) -> Result<(), String> {
        if self.stack.len() + size.depth > NESTING_MAX {
            return Err("yaml: exceeded max depth".to_string());
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), String> {
        let Some(done) = self.stack.pop() else { return Ok(()) };
        self.add(done.value, done.anchor, done.size, done.line)
    }

    fn alias(&mut self, id: usize, line: usize) -> Result<(), String> {
        let Some(size) = self.anchors.get(&id).map(|(_, size)| *size) else {
            return Err(format!("yaml: line {line}: an alias stands inside its own anchor"));
        };
        self.check_depth(size)?;
        self.charge(size)?;
        let value = self.anchors[&id].0.clone();
        self.add(value, 0, size, line)
    }

    /// Counts a copy before it is made.
    fn charge(&mut self, size: Size) -> Result<(), String> {
        self.copied_nodes += size.nodes;
        self.copied_bytes += size.bytes;
        if self.copied_nodes > YAML_ALIAS_NODES_MAX || self.copied_bytes > YAML_ALIAS_BYTES_MAX {
            return Err("yaml: document contains excessive aliasing".to_string());
        }
        Ok(())
    }

    /// Puts a finished node where it belongs.
    fn add(&mut self, value: Value, anchor: usize, size: Size, line: usize) -> Result<(), String> {
        self.nodes += 1;
        if self.nodes > YAML_NODES_MAX {
            return Err("yaml: document has too many nodes".to_string());
        }
        if anchor != 0 {
            self.charge(size)?;
            self.anchors.insert(anchor, (value.clone(), size));
        }
        let Some(open) = self.stack.last_mut() else {
            self.root = Some(value);
            return Ok(());
        };
        open.size.take_in(size);
        match &mut open.value {
            Value::Array(list) => list.push(value),
            Value::Object(map) => match open.key.take() {
                None => {
                    let text = key_text(value)?;
                    let again = !open.seen.insert(text.clone()) && text != "<<";
                    open.key = Some(Key { text, again });
                }
                Some(key) if key.text == "<<" => merge(map, value, line)?,
                Some(key) => {
                    // Go tells of the line on which the value begins.
                    if key.again && self.problems.len() < PROBLEMS_MAX {
                        let kind = ProblemKind::DuplicateYamlKey { line };
                        self.problems.push(Problem { path: key.text.clone(), kind });
                    }
                    map.insert(key.text, value);
                }
            },
            _ => {}
        }
        Ok(())
    }
}

/// YAML's merge key: what is there already wins.
fn merge(map: &mut Map<String, Value>, value: Value, line: usize) -> Result<(), String> {
    let sources = match value {
        Value::Object(source) => vec![source],
        Value::Array(list) if list.iter().all(Value::is_object) => {
            list.into_iter().filter_map(|v| if let Value::Object(map) = v { Some(map) } else { None }).collect()
        }
        _ => return Err(format!("yaml: line {line}: map merge requires map or sequence of maps as the value")),
    };
    for (key, value) in sources.into_iter().flatten() {
        map.entry(key).or_insert(value);
    }
    Ok(())
}

fn key_text(key: Value) -> Result<String, String> {
    match key {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(on) => Ok(on.to_string()),
        Value::Null => Err("unsupported map key of type: %!s(<nil>), key: <nil>, value: ".to_string()),
        other => {
            let shown = go_print::syntax(&other).replace("map[string]interface {}", "map[interface {}]interface {}");
            Err(format!("yaml: invalid map key: {shown}"))
        }
    }
}
