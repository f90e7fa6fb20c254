//! The facts as the data files write them (`data/facts/**.yaml`).
//!
//! ```yaml
//! storage/v1.StorageClass:        # a type: package (`api/` may be left out) and name. Its facts hold wherever it stands;
//!                                 # those of `TYPE#name` only where an entry says `is: name`, or a validation calls them
//!   - update: changes             # of an update only `fixed` is asked; otherwise all that is asked of a creation
//!   - field: provisioner          # entries are checked, and their errors told, in their order; a field may have several
//!     if: {type: Limited}         # all must hold in the object that has the field: a value, one of a list, null (unset),
//!     unless: {mode: [A, B]}      # "*" (set). With `unless` none may hold
//!     only: create                # or update
//!     optional: true              # nothing is asked of a field that is unset. A scalar that Go holds by value is
//!                                 # otherwise checked as its zero
//!     required: ""                # the text behind `Required value`
//!     forbidden: may not be set
//!     called: oldName             # errors call the field so
//!     max-items: 16
//!     max-entries: 512            # of a map; told as a text that is too long
//!     max-total-bytes: 1024       # keys and values of a map together
//!     enum: [Delete, Retain]      # in the order in which an error lists them. With `invalid: TEXT` the error is that one;
//!                                 # with `shown-as: Type` it shows Go's struct, in which the field is called so
//!     format: dns-label           # a name of `check.rs`
//!     keys: qualified-name        # the format of a map's keys
//!     min: 0                      # `min`, `max`, or both; `told: TEXT` unless it is "must be greater than or equal to 0",
//!     max: 100                    # or "must be between MIN and MAX, inclusive"
//!     max-bytes: 63               # with `told: TEXT` another error, with `told-max: N` another number in it
//!     not-negative: true          # of a quantity
//!     starts-with: "https://"     # otherwise unsupported; the error lists `example: TEXT`
//!     object: true                # of any JSON
//!     non-empty: TEXT             # a text that is set has something in it: the text behind `Required value`
//!     unique: true                # elements; or the member by which they are: `unique: name`
//!     skip-repeated: true         # of an element that stands a second time nothing else is told
//!     at: field                   # errors of elements are told at the field, not at the element
//!     is: selector                # its values follow the named facts of their type
//!     fixed: true                 # may not change: "field is immutable"; or a text, or {forbidden: TEXT}
//!     warn: "{path}: deprecated"  # a warning where the field is set; `warn-unset` where it is not
//!     gate: ContainerStopSignals  # dropped where the feature is off, unless the old object uses it
//!   - one-of: [a, b]              # exactly one is set
//!     none: {required: TEXT}      # or {invalid: TEXT}, {forbidden: TEXT}
//!     several: {forbidden: TEXT}
//! ```
//!
//! What is checked of one entry comes in the order of this list. The data is ours and compiled in: what is wrong in it stops
//! the first use, with its name.

use serde_json::{Map, Value};

use super::check::format_named;
use crate::default::condition;
use crate::gates;
use crate::plan::{Each, Entry, FieldFacts, Only, Otherwise, Set, Subject, Told, Warning, Whole};
use crate::schema::Schema;
use crate::table::{Type, TypeId};
use crate::yaml;

static FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/facts.rs"));

/// An entry whose values follow a named set.
#[derive(Debug)]
pub(crate) struct Follows {
    /// The entry's index in its set.
    pub entry: usize,
    /// The type of the values.
    pub ty: TypeId,
    /// The name of their set.
    pub name: String,
}

/// What the data files say.
#[derive(Default)]
pub(crate) struct Loaded {
    /// A type's set, with those of its entries that follow named ones.
    pub sets: Vec<(TypeId, Set, Vec<Follows>)>,
    /// A type, the index of one of its fields, and the index of the gate that it is of.
    pub gated: Vec<(TypeId, usize, usize)>,
}

/// The facts of the data files, each for a type of the built-in schema.
pub(crate) fn load(schema: &Schema) -> Loaded {
    let mut all = Loaded::default();
    for (file, text) in FILES {
        let (value, problems) = yaml::to_json(text.as_bytes()).unwrap_or_else(|e| panic!("facts {file}: {e}"));
        assert!(problems.is_empty(), "facts {file}: {problems:?}");
        for (key, entries) in value.as_object().unwrap_or_else(|| panic!("facts {file}: not a map")) {
            set(schema, key, entries, &mut all).unwrap_or_else(|error| panic!("facts {file}: {key}: {error}"));
        }
    }
    all
}

/// The type that the data calls by its package and name.
pub(super) fn type_named(schema: &Schema, name: &str) -> Option<TypeId> {
    let (package, name) = name.rsplit_once('.')?;
    let (long, meta) = (format!("api/{package}"), format!("apimachinery/pkg/apis/{package}"));
    let is = |ty: &&crate::TypeDef| ty.package == package || ty.package == long || ty.package == meta;
    schema.types().find(|(_, ty)| ty.name == name && is(ty)).map(|(id, _)| id)
}

fn set(schema: &Schema, key: &str, entries: &Value, all: &mut Loaded) -> Result<(), String> {
    let (type_name, name) = key.split_once('#').unwrap_or((key, ""));
    let id = type_named(schema, type_name).ok_or("no such type")?;
    let mut set = Set { name: name.to_owned(), ..Set::default() };
    let mut inner = Vec::new();
    for entry in entries.as_array().ok_or("not a list")? {
        let entry = entry.as_object().ok_or("an entry is a map")?;
        if entry.len() == 1 && entry.get("update").and_then(Value::as_str) == Some("changes") {
            set.changes_only = true;
            continue;
        }
        let mut reader = Reader { schema, id, entry, inner: None, gate: None };
        let read = reader.read().map_err(|error| format!("{}: {error}", Value::Object(entry.clone())))?;
        if let Some((ty, name)) = reader.inner {
            inner.push(Follows { entry: set.entries.len(), ty, name });
        }
        if let (Some(gate), Subject::Field(facts)) = (reader.gate, &read.subject) {
            all.gated.push((id, facts.at, gate));
        }
        set.entries.push(read);
    }
    all.sets.push((id, set, inner));
    Ok(())
}

/// One entry on the way from data to facts.
struct Reader<'a> {
    schema: &'a Schema,
    id: TypeId,
    entry: &'a Map<String, Value>,
    /// The type of the field's values, and the set that they follow.
    inner: Option<(TypeId, String)>,
    gate: Option<usize>,
}

/// The texts of bounds where the data gives none.
fn bounds(least: Option<i64>, most: Option<i64>) -> Result<String, String> {
    match (least, most) {
        (Some(0), None) => Ok("must be greater than or equal to 0".to_owned()),
        (Some(least), Some(most)) => Ok(format!("must be between {least} and {most}, inclusive")),
        _ => Err("bounds like these need a text".to_owned()),
    }
}

impl Reader<'_> {
    fn text(&self, key: &str) -> Result<Option<String>, String> {
        match self.entry.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(format!("{key} is no text")),
        }
    }

    fn number(&self, key: &str) -> Result<Option<i64>, String> {
        match self.entry.get(key) {
            None => Ok(None),
            Some(value) => value.as_i64().map(Some).ok_or(format!("{key} is no number")),
        }
    }

    fn size(&self, key: &str) -> Result<Option<usize>, String> {
        let number = self.number(key)?;
        number.map(|n| usize::try_from(n).map_err(|_| format!("{key} is negative"))).transpose()
    }

    fn flag(&self, key: &str) -> Result<bool, String> {
        match self.entry.get(key) {
            None => Ok(false),
            Some(value) => value.as_bool().ok_or(format!("{key} is neither true nor false")),
        }
    }

    fn format(&self, key: &str) -> Result<Option<&'static crate::plan::Format>, String> {
        let name = self.text(key)?;
        name.map(|name| format_named(&name).ok_or(format!("no format {name}"))).transpose()
    }

    fn told(&self, key: &str) -> Result<Option<Told>, String> {
        let one = |map: &Map<String, Value>| {
            let (kind, text) = map.iter().next()?;
            let text = text.as_str()?.to_owned();
            match kind.as_str() {
                "invalid" => Some(Told::Invalid(text)),
                "forbidden" => Some(Told::Forbidden(text)),
                "required" => Some(Told::Required(text)),
                _ => None,
            }
        };
        match self.entry.get(key) {
            None => Ok(None),
            Some(Value::Bool(true)) => Ok(Some(Told::Invalid("field is immutable".to_owned()))),
            Some(Value::String(text)) => Ok(Some(Told::Invalid(text.clone()))),
            Some(Value::Object(map)) => one(map).map(Some).ok_or(format!("{key} tells nothing")),
            Some(_) => Err(format!("{key} tells nothing")),
        }
    }

    fn read(&mut self) -> Result<Entry, String> {
        const KEYS: [&str; 38] = [
            "at",
            "called",
            "enum",
            "field",
            "fixed",
            "forbidden",
            "format",
            "gate",
            "if",
            "invalid",
            "is",
            "keys",
            "max",
            "max-bytes",
            "max-entries",
            "max-items",
            "max-total-bytes",
            "min",
            "none",
            "not-negative",
            "non-empty",
            "object",
            "one-of",
            "only",
            "optional",
            "required",
            "several",
            "shown-as",
            "skip-repeated",
            "starts-with",
            "example",
            "told",
            "told-max",
            "unique",
            "unless",
            "warn",
            "warn-unset",
            "update",
        ];
        if let Some(unknown) = self.entry.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(format!("{unknown} is not understood"));
        }
        let conditions = |key: &str| {
            let all = self.entry.get(key).and_then(Value::as_object);
            all.into_iter().flatten().map(|(path, wanted)| condition(path, wanted)).collect::<Vec<_>>()
        };
        let only = match self.text("only")?.as_deref() {
            None => None,
            Some("create") => Some(Only::Create),
            Some("update") => Some(Only::Update),
            Some(other) => return Err(format!("{other} is no write")),
        };
        let (conditions, exceptions) = (conditions("if"), conditions("unless"));
        let subject = match self.entry.get("one-of").and_then(Value::as_array) {
            Some(fields) => {
                let ty = self.schema.get(self.id);
                let name = |value: &Value| Some(ty.field(value.as_str()?)?.json_name.as_ref().into());
                let fields = fields.iter().map(name).collect::<Option<Vec<_>>>().ok_or("no such field")?;
                Subject::OneOf { fields, none: self.told("none")?, several: self.told("several")? }
            }
            None => Subject::Field(self.field()?),
        };
        Ok(Entry { conditions, exceptions, only, subject })
    }

    fn field(&mut self) -> Result<FieldFacts, String> {
        let ty = self.schema.get(self.id);
        let at = self.text("field")?.and_then(|name| ty.position(&name)).ok_or("no such field")?;
        if let Some(name) = self.text("is")? {
            let Type::Struct(inner) = ty.fields[at].ty else { return Err("its values are no objects".to_owned()) };
            self.inner = Some((inner, name));
        }
        if let Some(name) = self.text("gate")? {
            self.gate = Some(gates::index(&name).ok_or(format!("no gate {name}"))?);
        }
        let mut whole = Vec::new();
        whole.extend(self.text("required")?.map(Whole::Required));
        whole.extend(self.text("forbidden")?.map(Whole::Forbidden));
        whole.extend(self.size("max-items")?.map(Whole::MaxItems));
        whole.extend(self.size("max-entries")?.map(Whole::MaxEntries));
        whole.extend(self.size("max-total-bytes")?.map(Whole::MaxTotalBytes));
        let told_at_field = match self.text("at")?.as_deref() {
            None => false,
            Some("field") => true,
            Some(other) => return Err(format!("errors are not told at {other}")),
        };
        let unique = match self.entry.get("unique") {
            None => None,
            Some(Value::Bool(true)) => Some("".into()),
            Some(Value::String(member)) => Some(member.as_str().into()),
            Some(_) => return Err("unique is true, or a member".to_owned()),
        };
        let conditional = ["if", "unless", "only", "gate"].iter().any(|key| self.entry.contains_key(*key));
        Ok(FieldFacts {
            at,
            optional: self.flag("optional")?,
            whole,
            each: self.each()?,
            called: self.text("called")?.map(Into::into),
            told_at_field,
            unique,
            skips_repeated: self.flag("skip-repeated")?,
            fixed: self.told("fixed")?,
            warning: match (self.text("warn")?, self.text("warn-unset")?) {
                (Some(text), _) => Some(Warning::Set(text)),
                (None, text) => text.map(Warning::Unset),
            },
            inner: None,
            leads: self.inner.is_none() && !conditional,
        })
    }

    fn each(&self) -> Result<Vec<Each>, String> {
        let mut each = Vec::new();
        let told_max = self.size("told-max")?;
        if let Some(allowed) = self.entry.get("enum") {
            let allowed = allowed.as_array().ok_or("enum is no list")?.clone();
            let otherwise = match (self.text("invalid")?, self.text("shown-as")?) {
                (Some(text), _) => Otherwise::Invalid(text),
                (None, Some(name)) => Otherwise::UnsupportedIn(name),
                (None, None) => Otherwise::Unsupported,
            };
            each.push(Each::Among(allowed, otherwise));
        }
        each.extend(self.format("keys")?.map(Each::Keys));
        each.extend(self.format("format")?.map(Each::Format));
        let (least, most) = (self.number("min")?, self.number("max")?);
        if least.is_some() || most.is_some() {
            let text = self.text("told")?.map_or_else(|| bounds(least, most), Ok)?;
            each.push(Each::Bounds { least: least.unwrap_or(i64::MIN), most: most.unwrap_or(i64::MAX), text });
        }
        if let Some(most) = self.size("max-bytes")? {
            let text = if least.is_none() && told_max.is_none() { self.text("told")? } else { None };
            each.push(Each::MaxBytes { most, shown: told_max.unwrap_or(most), text });
        }
        if let Some(start) = self.text("starts-with")? {
            let example = self.text("example")?.ok_or("what is supported is shown by an example")?;
            each.push(Each::StartsWith(start, example));
        }
        each.extend(self.text("non-empty")?.map(Each::NonEmpty));
        if self.flag("object")? {
            each.push(Each::Object);
        }
        if self.flag("not-negative")? {
            each.push(Each::NotNegative);
        }
        Ok(each)
    }
}
