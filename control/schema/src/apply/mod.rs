//! Server-side apply: a configuration that one manager applies is merged into what is there, and `managedFields` says who
//! owns what. The semantics are structured-merge-diff's (`merge/update.go`) behind the real server's field manager.
//!
//! The object, the configuration and the sets of fields are walked by the one schema; a kind that no schema describes is
//! deduced from its values: maps by their keys, all else whole.

mod atomic;
pub(crate) mod conflict;
mod last_applied;
mod merge;
mod prune;
mod validate;

use serde_json::{Map, Value};

pub use self::conflict::{Conflict, message};
use crate::fields::{FieldSet, Node};
pub use crate::managed::Versions;
use crate::managed::compare::{Changes, compare_objects};
use crate::managed::entries::{
    Operation, entry, fields_of, is_of, last_of_each, set_entries, text, with_fields, without_empty,
};
use crate::managed::{self, UNOWNED_METADATA, Writer};
use crate::schema::{ObjectType, Schema};
use crate::table::{Origin, TypeId};
use crate::zero;

/// The manager that owns what was there before the first apply.
const BEFORE_FIRST: &str = "before-first-apply";

/// Who applies, and how.
#[derive(Clone, Copy, Debug)]
pub struct Applier<'a> {
    /// The manager, where it writes and when.
    pub writer: Writer<'a>,
    /// Whether conflicts are taken over rather than refused.
    pub conflicts: OnConflict,
    /// Paths that this endpoint does not write: nobody comes to own them here.
    pub reset: &'a [&'a [&'a str]],
}

/// The treatment of fields that others own with another value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnConflict {
    Refuse,
    /// `force=true`.
    Take,
}

/// The reason why a configuration is not applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    #[error("metadata.managedFields must be nil")]
    ManagedFields,
    /// It does not fit its type.
    #[error("failed to create typed patch object ({object}): {errors}")]
    Typed {
        /// Namespace, name and kind, as Go prints them.
        object: String,
        errors: String,
    },
    /// What is there does not fit the version that is applied in.
    #[error("failed to create typed live object ({object}): {errors}")]
    TypedLive {
        /// Namespace, name and kind, as Go prints them.
        object: String,
        errors: String,
    },
    /// What is there has no owners yet, and does not fit its type.
    #[error(
        "failed to create manager for existing fields: failed to convert new object ({object}) to smd typed: {errors}"
    )]
    Live {
        /// Namespace, name and kind, as Go prints them.
        object: String,
        errors: String,
    },
    /// Others own some of its fields with other values.
    #[error("{}", message(.0))]
    Conflicts(Vec<Conflict>),
}

/// Merges `config` into `live` (`None`: there is nothing yet), and answers the object with its `managedFields`, before
/// defaults and not yet in canonical form.
///
/// # Errors
/// See [`ApplyError`].
pub fn apply(
    ty: &ObjectType,
    live: Option<&Map<String, Value>>,
    config: &Map<String, Value>,
    applier: &Applier<'_>,
    versions: &Versions<'_>,
) -> Result<Map<String, Value>, ApplyError> {
    if config.get("metadata").and_then(|metadata| metadata.get("managedFields")).is_some_and(Value::is_array) {
        return Err(ApplyError::ManagedFields);
    }
    if let Err(errors) = validate::validate(ty.schema(), ty.id(), config) {
        return Err(ApplyError::Typed { object: named(config), errors });
    }
    let mut config = config.clone();
    whole_numbers(&mut config);
    let config = &config;
    let mut live = live.cloned().unwrap_or_else(|| nothing(ty.schema(), ty.id(), config));
    let mut entries = match live.get_mut("metadata").and_then(Value::as_object_mut).map(|m| m.remove("managedFields")) {
        Some(Some(Value::Array(list))) => last_of_each(list),
        _ => Vec::new(),
    };
    let unowned = entries.is_empty();
    if unowned {
        let writer = Writer { manager: BEFORE_FIRST, ..applier.writer };
        let update = managed::Update { writer, reset: applier.reset, versions };
        let tracked = managed::track(ty.schema(), ty.id(), None, &live, &mut entries, &update);
        if let (managed::Tracked::Keyless, Err(errors)) = (tracked, validate::validate(ty.schema(), ty.id(), &live)) {
            return Err(ApplyError::Live { object: named(&live), errors });
        }
    }
    // What Go reads into a struct fits it.
    if ty.def().origin == Origin::Structural
        && let Err(errors) = validate::validate_live(ty.schema(), ty.id(), &live)
    {
        let object = named(&live);
        return Err(match unowned {
            true => ApplyError::Live { object, errors },
            false => ApplyError::TypedLive { object, errors },
        });
    }
    let run = Run { ty, live: &live, config, applier, versions };
    let mut object = match run.apply(entries.clone(), applier.conflicts) {
        Err(ApplyError::Conflicts(found)) if applier.writer.manager == last_applied::MANAGER => {
            // What kubectl applied in the client before, and is still so, it may take over.
            let Some(allowed) = last_applied::allowed(ty, &live) else { return Err(ApplyError::Conflicts(found)) };
            let left: Vec<Conflict> = found.into_iter().filter(|conflict| !conflict.is_in(&allowed)).collect();
            if !left.is_empty() {
                return Err(ApplyError::Conflicts(left));
            }
            run.apply(entries, OnConflict::Take)
        }
        other => other,
    }?;
    if applier.writer.manager == last_applied::MANAGER {
        last_applied::refresh(&mut object, config);
    }
    Ok(object)
}

/// An object with what a configuration of its type sets, merged as an apply merges, without owners of fields
/// (`patch.ApplyStructuredMergeDiff` of k8s.io/apiserver).
///
/// # Errors
/// What does not fit the type, and every map, list or struct of the configuration that is one whole and would replace one.
pub fn merged(
    ty: &ObjectType,
    live: &Map<String, Value>,
    config: &Map<String, Value>,
) -> Result<Map<String, Value>, String> {
    let (schema, id) = (ty.schema(), ty.id());
    validate::validate(schema, id, config)
        .map_err(|errors| format!("failed to convert patch object to typed object: {errors}"))?;
    let wholes = atomic::paths(schema, id, config);
    if !wholes.is_empty() {
        let wholes = wholes.join(", ");
        return Err(format!("invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {wholes}"));
    }
    let mut config = config.clone();
    whole_numbers(&mut config);
    Ok(merge::objects(schema, Node::Struct(id), live, &config))
}

/// Makes integers of numbers that have no fraction: Go reads what is applied into floating point numbers, and writes such ones
/// without a point.
fn whole_numbers(map: &mut Map<String, Value>) {
    map.values_mut().for_each(whole_number);
}

fn whole_number(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            let float = number.as_f64().unwrap_or_default();
            // Beyond this a float has no digits after the point, and may be no i64.
            if float.fract() == 0.0 && float.abs() < 9e15 {
                *value = Value::from(float as i64);
            }
        }
        Value::Array(list) => list.iter_mut().for_each(whole_number),
        Value::Object(map) => whole_numbers(map),
        _ => {}
    }
}

/// An object of the type of which nothing is set.
fn nothing(schema: &Schema, id: TypeId, config: &Map<String, Value>) -> Map<String, Value> {
    let mut object = zero::struct_of(schema, id);
    for name in ["apiVersion", "kind"] {
        if let Some(value) = config.get(name) {
            object.insert(name.to_owned(), value.clone());
        }
    }
    object.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    object
}

/// Namespace, name and kind of an object, as Go prints them: `default/web; apps/v1, Kind=Deployment`.
pub fn named(object: &Map<String, Value>) -> String {
    let of = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let meta = |name: &str| of(object.get("metadata").and_then(|metadata| metadata.get(name)));
    let version = of(object.get("apiVersion"));
    let slash = if version.contains('/') { "" } else { "/" };
    format!("{}/{}; {slash}{version}, Kind={}", meta("namespace"), meta("name"), of(object.get("kind")))
}

/// One apply on its way.
struct Run<'a> {
    ty: &'a ObjectType,
    /// What is there, without its entries.
    live: &'a Map<String, Value>,
    config: &'a Map<String, Value>,
    applier: &'a Applier<'a>,
    versions: &'a Versions<'a>,
}

impl Run<'_> {
    fn apply(&self, mut entries: Vec<Value>, conflicts: OnConflict) -> Result<Map<String, Value>, ApplyError> {
        let (schema, node) = (self.ty.schema(), Node::Struct(self.ty.id()));
        for entry in &mut entries {
            prune::follow_schema(schema, node, entry);
        }
        let merged = merge::objects(schema, node, self.live, self.config);
        let mut set = FieldSet::of_object(schema, node, self.config);
        for path in self.applier.reset {
            set.remove_below(path);
        }
        let (place, last) = self.claim(&mut entries, set);
        let merged = match last {
            Some((version, last)) if !last.is_empty() => {
                prune::Pruning { ty: self.ty, version: self.version(), versions: self.versions }
                    .prune(merged, &entries, &version, &last)
            }
            _ => merged,
        };
        self.settle(&mut entries, place, &merged, conflicts)?;
        let changed = merged != *self.live;
        let own = &mut entries[place];
        with_fields(own, |fields| fields.subtract(&unowned()));
        if changed {
            own["time"] = self.applier.writer.time.into();
        }
        without_empty(&mut entries);
        let mut object = if changed { merged } else { self.live.clone() };
        set_entries(&mut object, entries);
        Ok(object)
    }

    fn version(&self) -> &str {
        self.config.get("apiVersion").and_then(Value::as_str).unwrap_or_default()
    }

    /// Makes the applier's entry have the set; tells its place, and the version and set that it had.
    fn claim(&self, entries: &mut Vec<Value>, set: FieldSet) -> (usize, Option<(String, FieldSet)>) {
        let writer = &self.applier.writer;
        let own = |entry: &Value| is_of(entry, writer.manager, Operation::Apply, writer.subresource);
        let new =
            |time: Option<&str>| entry(Operation::Apply, self.version(), writer.manager, writer.subresource, time, set);
        match entries.iter().position(own) {
            Some(place) => {
                let last = (text(&entries[place], "apiVersion").to_owned(), fields_of(&entries[place]));
                let time = text(&entries[place], "time").to_owned();
                entries[place] = new(Some(time.as_str()).filter(|time| !time.is_empty()));
                (place, Some(last))
            }
            None => {
                entries.push(new(None));
                (entries.len() - 1, None)
            }
        }
    }

    /// Takes what changes from all others, who lose nothing where that is refused.
    fn settle(
        &self,
        entries: &mut [Value],
        place: usize,
        merged: &Map<String, Value>,
        conflicts: OnConflict,
    ) -> Result<(), ApplyError> {
        let mut compared: Vec<(String, Option<Changes>)> = Vec::new();
        let mut refused = Vec::new();
        for at in (0..entries.len()).filter(|at| *at != place) {
            let version = text(&entries[at], "apiVersion").to_owned();
            let found = match compared.iter().position(|(known, _)| *known == version) {
                Some(found) => found,
                None => {
                    let changes = self.compare(&version, merged);
                    compared.push((version, changes));
                    compared.len() - 1
                }
            };
            let Some(changes) = &compared[found].1 else {
                // A version that is gone: so is who wrote in it.
                entries[at]["fieldsV1"] = Value::Object(Map::new());
                continue;
            };
            if conflicts == OnConflict::Refuse {
                let taken = fields_of(&entries[at]).intersection(&changes.taken);
                refused.extend(conflict::of_entry(&entries[at], &taken));
            }
            with_fields(&mut entries[at], |fields| {
                fields.subtract(&changes.taken);
                fields.subtract(&changes.removed);
            });
        }
        if refused.is_empty() {
            return Ok(());
        }
        conflict::sort(&mut refused);
        Err(ApplyError::Conflicts(refused))
    }

    /// The fields that change, in that version; `None` when the kind has no such version.
    fn compare(&self, version: &str, merged: &Map<String, Value>) -> Option<Changes> {
        let mut changes = if version == self.version() {
            compare_objects(self.ty.schema(), self.ty.id(), self.live, merged)
        } else {
            let (ty, old) = (self.versions)(self.live, version)?;
            let (_, new) = (self.versions)(merged, version)?;
            compare_objects(ty.schema(), ty.id(), &old, &new)
        };
        changes.leave_out(self.applier.reset);
        Some(changes)
    }
}

/// The fields that nobody owns.
fn unowned() -> FieldSet {
    let mut set = FieldSet::of_path(["f:apiVersion"]).union(FieldSet::of_path(["f:kind"]));
    set.add(FieldSet::of_path(["f:metadata"]));
    for name in UNOWNED_METADATA {
        set.add(FieldSet::of_path(["f:metadata", format!("f:{name}").as_str()]));
    }
    set
}
