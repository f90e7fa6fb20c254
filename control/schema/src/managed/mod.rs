//! `managedFields`, as the real server's field manager computes them with structured-merge-diff.
//!
//! A writer comes to own the fields that its update adds or changes, and all other owners lose them. Fields that it removes
//! have no owner.

pub(crate) mod compare;
pub(crate) mod entries;
pub mod scale;

pub use entries::problem;

use serde_json::{Map, Value};
use std::collections::HashMap;

use self::compare::{Changes, compare_objects};
use self::entries::{Operation, cap, is_of, set_entries, text, without_empty};
use crate::schema::{ObjectType, Schema};
use crate::table::TypeId;
use crate::zero;

/// The writer of an update, as its entry names it.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// The `fieldManager` parameter, else the first word of the user agent; empty becomes `unknown`.
    pub manager: &'a str,
    /// Empty for the object itself.
    pub subresource: &'a str,
    /// RFC 3339, seconds.
    pub time: &'a str,
}

/// Gives an object in another version of its kind; `None` when the kind has no such version.
pub type Versions<'a> = dyn Fn(&Map<String, Value>, &str) -> Option<(ObjectType, Map<String, Value>)> + 'a;

/// The [`Versions`] of kinds that have one.
pub fn one_version(_: &Map<String, Value>, _: &str) -> Option<(ObjectType, Map<String, Value>)> {
    None
}

/// Fields of `metadata` that nobody owns.
pub(crate) const UNOWNED_METADATA: &[&str] = &[
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "clusterName",
    "generation",
    "managedFields",
    "resourceVersion",
];

/// Sets `metadata.managedFields` of `new` after an update of `old` (`None` for a create).
///
/// `reset` lists paths that this endpoint does not write, such as `["status"]`: with what is below them they are
/// left out. When nothing changed that anybody owns, the entries stay as they were, time included. `versions`: what other
/// managers wrote in another version is compared there. An object is left without entries whose lists have elements without
/// the keys that tell them apart.
pub fn update(
    schema: &Schema,
    id: TypeId,
    old: Option<&Map<String, Value>>,
    new: &mut Map<String, Value>,
    writer: Writer<'_>,
    reset: &[&[&str]],
    versions: &Versions<'_>,
) {
    let mut list = starting_entries(old, new, writer.subresource);
    if old.is_some() && list.is_empty() {
        // Nobody tracks it, or the request asked to forget: tracking begins at a create only.
        return;
    }
    match track(schema, id, old, new, &mut list, &Update { writer, reset, versions }) {
        Tracked::Noted => {
            // A client may have sent some that own nothing.
            without_empty(&mut list);
            set_entries(new, list);
        }
        Tracked::Keyless => {}
    }
}

/// The outcome of noting an update.
#[must_use]
pub(crate) enum Tracked {
    Noted,
    /// An element of a list that differs has none of the list's keys.
    Keyless,
}

/// An update, as it is noted.
pub(crate) struct Update<'a> {
    pub(crate) writer: Writer<'a>,
    /// Paths that the endpoint does not write.
    pub(crate) reset: &'a [&'a [&'a str]],
    pub(crate) versions: &'a Versions<'a>,
}

/// Drops the entries of versions that the kind does not have.
fn keep_known_versions(list: &mut Vec<Value>, new: &Map<String, Value>, api_version: &str, versions: &Versions<'_>) {
    // By version, for each is a copy of the object.
    let mut known = HashMap::from([(api_version.to_owned(), true)]);
    list.retain(|entry| {
        let version = text(entry, "apiVersion");
        *known.entry(version.to_owned()).or_insert_with(|| versions(new, version).is_some())
    });
}

/// Notes in a list of entries what an update changed.
pub(crate) fn track(
    schema: &Schema,
    id: TypeId,
    old: Option<&Map<String, Value>>,
    new: &Map<String, Value>,
    list: &mut Vec<Value>,
    update: &Update<'_>,
) -> Tracked {
    let Update { writer, reset, versions } = *update;
    let api_version = new.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    let mut changes = match old {
        Some(old) => compare_objects(schema, id, old, new),
        None => compare_objects(schema, id, &zero::struct_of(schema, id), new),
    };
    if changes.keyless {
        return Tracked::Keyless;
    }
    changes.leave_out(reset);
    let manager = if writer.manager.is_empty() { "unknown" } else { writer.manager };
    let is_own = |entry: &Value| {
        is_of(entry, manager, Operation::Update, writer.subresource) && text(entry, "apiVersion") == api_version
    };
    // Without any change there is nothing to take from anybody.
    if !changes.taken.has_no_children() || !changes.removed.has_no_children() {
        let mut others = Vec::new();
        for entry in list.iter_mut() {
            // The writer's own keep what is changed; nobody keeps what is removed.
            if is_own(entry) {
                entries::with_fields(entry, |fields| fields.subtract(&changes.removed));
                continue;
            }
            let version = text(entry, "apiVersion");
            let there = match old.filter(|_| version != api_version) {
                Some(old) => in_version(&mut others, version, old, new, reset, versions),
                None => Some(&changes),
            };
            match there {
                Some(there) => entries::with_fields(entry, |fields| {
                    fields.subtract(&there.removed);
                    fields.subtract(&there.taken);
                }),
                // A version that is gone: so is who wrote in it.
                None => entry["fieldsV1"] = Value::Object(Map::new()),
            }
        }
    } else if old.is_some() {
        keep_known_versions(list, new, api_version, versions);
    }
    without_empty(list);
    if !changes.taken.has_no_children() {
        match list.iter_mut().find(|entry| is_own(entry)) {
            Some(entry) => {
                entries::with_fields(entry, |fields| fields.add(changes.taken));
                entry["time"] = writer.time.into();
            }
            None => list.push(entries::entry(
                Operation::Update,
                api_version,
                manager,
                writer.subresource,
                Some(writer.time),
                changes.taken,
            )),
        }
    }
    cap(list);
    Tracked::Noted
}

/// The changes as another version has them, each version's found once; `None`: the kind has no such version.
fn in_version<'c>(
    found: &'c mut Vec<(String, Option<Changes>)>,
    version: &str,
    old: &Map<String, Value>,
    new: &Map<String, Value>,
    reset: &[&[&str]],
    versions: &Versions<'_>,
) -> Option<&'c Changes> {
    let at = match found.iter().position(|(known, _)| known == version) {
        Some(at) => at,
        None => {
            let both = versions(old, version).zip(versions(new, version));
            let changes = both.map(|((ty, old), (_, new))| {
                let mut changes = compare_objects(ty.schema(), ty.id(), &old, &new);
                changes.leave_out(reset);
                changes
            });
            found.push((version.to_owned(), changes));
            found.len() - 1
        }
    };
    found[at].1.as_ref()
}

/// The entries to start from, of each manager the last, taken out of the object: those that the request brings, so that
/// they can be edited, unless it brings none; an empty list or a single empty entry means to forget all.
fn starting_entries(old: Option<&Map<String, Value>>, new: &mut Map<String, Value>, subresource: &str) -> Vec<Value> {
    let sent = match new.get_mut("metadata").and_then(|m| m.as_object_mut()?.remove("managedFields")) {
        Some(Value::Array(list)) => Some(list),
        _ => None,
    };
    let kept = old.and_then(|old| old.get("metadata")?.get("managedFields")?.as_array());
    let live = || kept.cloned().unwrap_or_default();
    let list = match sent {
        // As a patch leaves them: what is stored is in canonical form.
        Some(list) if !list.is_empty() && kept == Some(&list) => list,
        Some(list) if subresource.is_empty() => {
            let reset = list.is_empty() || (list.len() == 1 && list[0].as_object().is_some_and(Map::is_empty));
            if reset { Vec::new() } else { entries::of_client(list).unwrap_or_else(live) }
        }
        _ => live(),
    };
    entries::last_of_each(list)
}
