//! The strict reading of a patch's own text, as `sigs.k8s.io/json` does it before the patch is applied: keys that stand
//! twice, members that an operation does not have, and values of a wrong type.

use std::collections::HashSet;
use std::fmt::{self, Write as _};

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::name_of;
use crate::limits::{PROBLEM_BYTES_MAX, PROBLEMS_MAX};
use crate::problems::{Problem, ProblemKind};

/// What a patch is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchForm {
    /// The operations of a JSON patch.
    Operations,
    /// Part of an object.
    Object,
}

/// The members of an operation.
const MEMBERS: [&str; 4] = ["from", "op", "path", "value"];

/// Reads a patch's text: what it says, and what is wrong with it, unknown and duplicate fields in their order. Of a member
/// that stands twice the last one counts.
///
/// # Errors
/// What is no JSON, in the reader's words; the first value of a wrong type, in Go's.
pub fn patch(body: &[u8], form: PatchForm) -> Result<(Value, Vec<Problem>), String> {
    let mut found = Found::default();
    let place = match form {
        PatchForm::Operations => Place::Patch,
        PatchForm::Object => Place::Object,
    };
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = Read { place, path: &mut String::new(), found: &mut found }.deserialize(&mut reader);
    let read = read.and_then(|value| reader.end().map(|()| value)).map_err(|error| error.to_string())?;
    match found.mismatch {
        Some(text) => Err(text),
        None => Ok((read, found.problems)),
    }
}

#[derive(Default)]
struct Found {
    problems: Vec<Problem>,
    bytes: usize,
    told: HashSet<(String, ProblemKind)>,
    mismatch: Option<String>,
}

impl Found {
    fn problem(&mut self, path: &str, kind: ProblemKind) {
        let fits = self.problems.len() < PROBLEMS_MAX && self.bytes + path.len() <= PROBLEM_BYTES_MAX;
        if fits && self.told.insert((path.to_owned(), kind)) {
            self.bytes += path.len();
            self.problems.push(Problem { path: path.to_owned(), kind });
        }
    }
}

/// Where a value stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The list of operations.
    Patch,
    Operation,
    /// A member of an operation that is a text.
    Text(&'static str),
    /// The whole of a merge patch.
    Object,
    Anywhere,
}

impl Place {
    /// Go's words for a value of that name that may not stand here.
    fn refuses(self, name: &str) -> Option<String> {
        let whole = |ty: &str| format!("json: cannot unmarshal {name} into Go value of type {ty}");
        match (self, name) {
            (_, "null") | (Place::Anywhere, _) => None,
            (Place::Patch, "array") | (Place::Operation | Place::Object, "object") | (Place::Text(_), "string") => None,
            (Place::Patch, _) => Some(whole("[]handlers.jsonPatchOp")),
            (Place::Operation, _) => Some(whole("handlers.jsonPatchOp")),
            (Place::Object, _) => Some(whole("map[string]interface {}")),
            (Place::Text(member), _) => {
                Some(format!("json: cannot unmarshal {name} into Go struct field jsonPatchOp.{member} of type string"))
            }
        }
    }
}

struct Read<'a> {
    place: Place,
    path: &'a mut String,
    found: &'a mut Found,
}

impl Read<'_> {
    /// Notes a value that may not stand here; whether it may.
    fn takes(&mut self, name: &str) -> bool {
        let refusal = self.place.refuses(name);
        let taken = refusal.is_none();
        if let Some(text) = refusal {
            self.found.mismatch.get_or_insert(text);
        }
        taken
    }

    /// A scalar.
    fn scalar(mut self, value: Value) -> Value {
        self.takes(name_of(&value));
        value
    }

    /// A value inside of this one. The path already leads there.
    fn inside<R>(&mut self, place: Place, read: impl FnOnce(Read<'_>) -> R) -> R {
        read(Read { place, path: self.path, found: self.found })
    }
}

impl<'de> DeserializeSeed<'de> for Read<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Read<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(self.scalar(value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(self.scalar(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(self.scalar(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(self.scalar(value.into()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(self.scalar(value.into()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(self.scalar(value.into()))
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Value, A::Error> {
        let operations = self.takes("array") && self.place == Place::Patch;
        let place = if operations { Place::Operation } else { Place::Anywhere };
        let (mut values, above) = (Vec::new(), self.path.len());
        loop {
            // Writing to a String cannot fail.
            write!(self.path, "[{}]", values.len()).unwrap_or_default();
            let value = self.inside(place, |read| list.next_element_seed(read))?;
            self.path.truncate(above);
            match value {
                Some(value) => values.push(value),
                None => return Ok(Value::Array(values)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Value, A::Error> {
        let operation = self.takes("object") && self.place == Place::Operation;
        let (mut members, above) = (Map::new(), self.path.len());
        while let Some(key) = map.next_key::<String>()? {
            if above > 0 {
                self.path.push('.');
            }
            self.path.push_str(&key);
            let member = MEMBERS.iter().copied().find(|member| *member == key);
            let value = if operation && member.is_none() {
                self.found.problem(self.path, ProblemKind::UnknownField);
                map.next_value()?
            } else {
                if members.contains_key(&key) {
                    self.found.problem(self.path, ProblemKind::DuplicateField);
                }
                let place = match member.filter(|_| operation) {
                    Some("value") | None => Place::Anywhere,
                    Some(member) => Place::Text(member),
                };
                self.inside(place, |read| map.next_value_seed(read))?
            };
            self.path.truncate(above);
            members.insert(key, value);
        }
        Ok(Value::Object(members))
    }
}
