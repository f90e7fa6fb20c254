//! Plain facts of fields, which are columns of the schema: what must be set, the values and formats that a field may have,
//! its length and range, what may not change, of which feature it is, what its use is warned of. They come from data files
//! ([`read`] has their form), are compiled once and walked once for all kinds; what structural schemas say is
//! [`crate::values`]. Rules that tie fields together in ways that data cannot say are in each kind's own validation.

mod check;
mod compile;
mod read;
mod walk;
mod way;

use sampan_api::field::{FieldErrors, Path};
use serde_json::{Map, Value};

pub(crate) use compile::compile;
pub(crate) use read::{Loaded, load};

use crate::gates::Gates;
use crate::schema::Schema;
use crate::table::TypeId;

/// A write, as far as facts depend on it.
#[derive(Clone, Copy, Debug)]
pub enum Write<'a> {
    /// There was no such object.
    Create,
    /// It was this one.
    Update(&'a Map<String, Value>),
}

/// The part of an object that a write may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// All of it.
    Whole,
    /// All fields but this one.
    Without(&'a str),
    /// This field.
    Only(&'a str),
}

impl Part<'_> {
    fn has(self, name: &str) -> bool {
        match self {
            Part::Whole => true,
            Part::Without(other) => name != other,
            Part::Only(one) => name == one,
        }
    }
}

/// All that the facts say of an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// What is wrong.
    pub errors: FieldErrors,
    /// At most [`sampan_api::limits::WARNINGS_MAX`].
    pub warnings: Vec<String>,
}

/// Checks the part of an object of the type that a write may change.
pub fn check(schema: &Schema, id: TypeId, object: &Map<String, Value>, write: Write<'_>, part: Part<'_>) -> Found {
    let mut found = Found::default();
    let Some(set) = schema.plan(id).facts.iter().find(|set| set.name.is_empty()) else {
        return found;
    };
    let before = match write {
        Write::Create => walk::Before::None,
        Write::Update(old) => walk::Before::Object(Some(old)),
    };
    let root = Path::root();
    walk::Walk { schema, found: &mut found, changes_only: false }.object(
        set,
        id,
        object,
        before,
        &way::Way::Root(&root),
        part,
    );
    found
}

/// A set of facts that a validation calls by its name.
#[derive(Clone, Copy, Debug)]
pub struct Named {
    id: TypeId,
    set: usize,
}

impl Named {
    /// The set `name` of a type such as `meta/v1.LabelSelector`; `None` where there is none.
    pub fn find(schema: &Schema, type_name: &str, name: &str) -> Option<Self> {
        let id = read::type_named(schema, type_name)?;
        let set = schema.plan(id).facts.iter().position(|set| set.name == name)?;
        Some(Self { id, set })
    }

    /// Checks a value of the type that stands at `path` of an object. `schema` is the one in which the set was found.
    pub fn check(self, schema: &Schema, value: &Value, path: &Path, errors: &mut FieldErrors) {
        let (Some(set), Value::Object(object)) = (schema.plan(self.id).facts.get(self.set), value) else { return };
        let mut found = Found { errors: std::mem::take(errors), warnings: Vec::new() };
        let walk = &mut walk::Walk { schema, found: &mut found, changes_only: false };
        walk.object(set, self.id, object, walk::Before::None, &way::Way::Root(path), Part::Whole);
        *errors = found.errors;
    }
}

/// Drops the fields of features that are off. A field stays where the old object uses the feature, wherever in it.
pub fn drop_disabled(
    schema: &Schema,
    id: TypeId,
    object: &mut Map<String, Value>,
    old: Option<&Map<String, Value>>,
    gates: &Gates,
) {
    walk::Gated { schema, gates, old: old.map(|old| (id, old)), used: None }.object(id, object);
}
