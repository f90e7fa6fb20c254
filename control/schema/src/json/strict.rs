//! The strict reading of a patch's own text, as `sigs.k8s.io/json` does it before the patch is applied: keys that stand
//! twice, members that an operation does not have, and values of a wrong type.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

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

/// What is wrong with a patch's text, which is JSON: unknown and duplicate fields in their order.
///
/// # Errors
/// The first value of a wrong type, in Go's words.
pub fn patch_problems(body: &[u8], form: PatchForm) -> Result<Vec<Problem>, String> {
    let mut found = Found::default();
    let place = match form {
        PatchForm::Operations => Place::Patch,
        PatchForm::Object => Place::Object,
    };
    let mut reader = serde_json::Deserializer::from_slice(body);
    let scanned = Scan { place, path: &mut String::new(), found: &mut found }.deserialize(&mut reader);
    scanned.map_err(|error| error.to_string())?;
    match found.mismatch {
        Some(text) => Err(text),
        None => Ok(found.problems),
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
    fn problem(&mut self, path: String, kind: ProblemKind) {
        let fits = self.problems.len() < PROBLEMS_MAX && self.bytes + path.len() <= PROBLEM_BYTES_MAX;
        if fits && self.told.insert((path.clone(), kind)) {
            self.bytes += path.len();
            self.problems.push(Problem { path, kind });
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

struct Scan<'a> {
    place: Place,
    path: &'a mut String,
    found: &'a mut Found,
}

impl Scan<'_> {
    /// Notes a value that may not stand here; whether it may.
    fn takes(&mut self, name: &str) -> bool {
        let refusal = self.place.refuses(name);
        let taken = refusal.is_none();
        if let Some(text) = refusal {
            self.found.mismatch.get_or_insert(text);
        }
        taken
    }

    /// A scan of a value inside of this one.
    fn inside<R>(&mut self, place: Place, step: &str, scan: impl FnOnce(Scan<'_>) -> R) -> R {
        let length = self.path.len();
        self.path.push_str(step);
        let result = scan(Scan { place, path: self.path, found: self.found });
        self.path.truncate(length);
        result
    }
}

impl<'de> DeserializeSeed<'de> for Scan<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Scan<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(mut self, _: bool) -> Result<(), E> {
        self.takes("bool");
        Ok(())
    }

    fn visit_i64<E: Error>(mut self, _: i64) -> Result<(), E> {
        self.takes("number");
        Ok(())
    }

    fn visit_u64<E: Error>(mut self, _: u64) -> Result<(), E> {
        self.takes("number");
        Ok(())
    }

    fn visit_f64<E: Error>(mut self, _: f64) -> Result<(), E> {
        self.takes("number");
        Ok(())
    }

    fn visit_str<E: Error>(mut self, _: &str) -> Result<(), E> {
        self.takes(name_of(&Value::String(String::new())));
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        let operations = self.takes("array") && self.place == Place::Patch;
        let place = if operations { Place::Operation } else { Place::Anywhere };
        let mut at = 0usize;
        while self.inside(place, &format!("[{at}]"), |scan| list.next_element_seed(scan))?.is_some() {
            at += 1;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let operation = self.takes("object") && self.place == Place::Operation;
        let mut seen: HashSet<String> = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            let dot = if self.path.is_empty() { "" } else { "." };
            let step = format!("{dot}{key}");
            let member = MEMBERS.iter().copied().find(|member| *member == key);
            let place = match member.filter(|_| operation) {
                Some("value") | None => Place::Anywhere,
                Some(member) => Place::Text(member),
            };
            let told = |scan: &Scan<'_>| format!("{}{step}", scan.path);
            if operation && member.is_none() {
                let path = told(&self);
                self.found.problem(path, ProblemKind::UnknownField);
                map.next_value::<serde::de::IgnoredAny>()?;
                continue;
            }
            if !seen.insert(key) {
                let path = told(&self);
                self.found.problem(path, ProblemKind::DuplicateField);
            }
            self.inside(place, &step, |scan| map.next_value_seed(scan))?;
        }
        Ok(())
    }
}
