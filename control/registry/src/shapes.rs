//! Work on an object's fields by the type of its row: defaults, and the ownership of fields.

use crate::resource::Resource;
use sampan_api::Status;
use sampan_api::admission::{Mutated, UnknownFields};
use sampan_api::field::FieldErrors;
use sampan_api::limits::OBJECT_MAX;
use sampan_api::object::Object;
use sampan_schema::facts::{self, Found, Part};
use sampan_schema::gates::Gates;
use sampan_schema::managed::{self, Versions, Writer};
use sampan_schema::{ObjectType, Origin, problems, values};
use std::collections::BTreeSet;

/// A write, as `metadata.managedFields` records it.
#[derive(Clone, Copy, Debug)]
pub struct ManagedWrite<'a> {
    pub manager: &'a str,
    pub subresource: &'a str,
    /// RFC 3339, whole seconds.
    pub time: &'a str,
}

/// Fills in what the row's version defaults. Idempotent. A row without a type has no defaults. Errors: 413, where they would
/// make the object longer than one may be.
pub fn apply_defaults(row: &Resource, object: &mut Object) -> Result<(), Status> {
    defaults_of(row.ty.as_ref(), object)
}

/// As [`apply_defaults`], by a type.
pub fn defaults_of(ty: Option<&ObjectType>, object: &mut Object) -> Result<(), Status> {
    let Some(ty) = ty else { return Ok(()) };
    let applied = sampan_schema::default::apply(ty.schema(), ty.id(), object.fields_mut());
    applied.map_err(|_| Status::request_entity_too_large(&format!("limit is {OBJECT_MAX}")))
}

/// Fills in what follows from other parts of the object, each of which is defaulted: by the rules of the row's own type, whatever
/// the object holds.
pub fn apply_own_defaults(row: &Resource, object: &mut Object) {
    if let Some(ty) = &row.ty {
        sampan_schema::default::apply_own(ty.schema(), ty.id(), object.fields_mut());
    }
}

/// Makes of an object as it was sent, whose writer is noted, what it is once it was stored. A new one is checked as it was sent;
/// a changed one is compared with what is stored, and settled before.
pub fn settle_sent(row: &Resource, object: &mut Object) {
    if let Some(ty) = &row.ty {
        sampan_schema::stored::settle(ty, object.fields_mut());
    }
}

/// Makes an object of the row's type of one that admission has changed: what others wrote is read as if it had come so,
/// which drops what the type does not have, and defaults are filled in. Errors: 500, where a field is of another type than
/// its own; 413 as of [`apply_defaults`].
pub fn settle_mutated(row: &Resource, object: &mut Object, mutated: Mutated) -> Result<(), Status> {
    if mutated == Mutated::ByOthers {
        read_again(row.ty.as_ref(), object, UnknownFields::Dropped)?;
    }
    if mutated != Mutated::No {
        apply_defaults(row, object)?;
    }
    Ok(())
}

/// Reads an object of which others wrote parts as if it had come so. Errors: 500, for a field of another type than its own, and
/// where such are refused for one that a built-in type does not have.
pub(crate) fn read_again(ty: Option<&ObjectType>, object: &mut Object, unknown: UnknownFields) -> Result<(), Status> {
    let Some(ty) = ty else { return Ok(()) };
    let read = sampan_schema::json::from_value(ty.schema(), ty.id(), &object.to_value());
    let read = read.map_err(|error| Status::internal(&error.to_string()))?;
    let strict = unknown == UnknownFields::Refused && ty.def().origin == Origin::GoStruct;
    if strict && !read.problems.is_empty() {
        return Err(Status::internal(&problems::strict_error(&read.problems)));
    }
    match Object::from_value(read.value) {
        Some(read) => {
            *object = read;
            sampan_schema::stored::settle(ty, object.fields_mut());
        }
        None => return Err(Status::internal("admission made no object of the object")),
    }
    Ok(())
}

/// What the plain facts of its type's fields say of an object that is written over `old`, or new, as a whole (`""`) or
/// through a view: see [`facts`]. Of a row with a status the status is a part of its own.
pub fn check_facts(row: &Resource, object: &Object, old: Option<&Object>, view: &str) -> Found {
    let Some(ty) = &row.ty else { return Found::default() };
    if ty.def().origin == Origin::Structural {
        return Found { errors: check_values(ty, object, old, view), ..Found::default() };
    }
    let write = old.map_or(facts::Write::Create, |old| facts::Write::Update(old.fields()));
    let part = match view {
        "" if row.has_status() => Part::Without("status"),
        "" => Part::Whole,
        view => Part::Only(view),
    };
    facts::check(ty.schema(), ty.id(), object.fields(), write, part)
}

/// As [`check_facts`], of a type out of a structural schema: a write to the status is checked by what that is to be, and any
/// other by all.
fn check_values(ty: &ObjectType, object: &Object, old: Option<&Object>, view: &str) -> FieldErrors {
    let (schema, id, old) = (ty.schema(), ty.id(), old.map(Object::fields));
    match view {
        "status" => values::validate_field(schema, id, view, object.fields(), old),
        _ => values::validate(schema, id, object.fields(), old),
    }
}

/// Drops the fields of features that are off, unless the old object uses them.
pub fn drop_disabled(row: &Resource, object: &mut Object, old: Option<&Object>, gates: &Gates) {
    let Some(ty) = &row.ty else { return };
    facts::drop_disabled(ty.schema(), ty.id(), object.fields_mut(), old.map(Object::fields), gates);
}

/// Fields of the metadata that a view which resets it leaves alone (apimachinery's ResetObjectMetaForStatus): their
/// writer is noted all the same, and the rest of the metadata is fixed.
const RESET_METADATA: [&str; 7] =
    ["deletionTimestamp", "generation", "selfLink", "labels", "annotations", "finalizers", "ownerReferences"];

/// Puts back what a write to the object (`""`) or to a view of it leaves alone: the row's reset paths, and of a write to the
/// status all that is neither the status nor metadata. Both objects are in the row's version.
pub fn restore_unwritten(row: &Resource, object: &mut Object, old: &Object, view: &str) {
    for path in row.reset_paths(view) {
        match path {
            ["metadata"] => restore_metadata(object, old),
            path => restore(object, old, path),
        }
    }
    if view == "status" && row.has_status() {
        let is_other = |name: &&String| !matches!(name.as_str(), "status" | "metadata" | "apiVersion" | "kind");
        let names: BTreeSet<String> =
            object.fields().keys().chain(old.fields().keys()).filter(is_other).cloned().collect();
        names.iter().for_each(|name| restore(object, old, &[name]));
    }
}

/// Puts back the metadata that a view leaves alone which writes none.
pub fn restore_metadata(object: &mut Object, old: &Object) {
    RESET_METADATA.iter().for_each(|name| restore(object, old, &["metadata", name]));
}

/// Puts back all of the metadata but who owns what, and what the write was based on.
pub fn restore_all_metadata(object: &mut Object, old: &Object) {
    let names: BTreeSet<String> = object.metadata().keys().chain(old.metadata().keys()).cloned().collect();
    let written = |name: &&String| !matches!(name.as_str(), "managedFields" | "resourceVersion");
    names.iter().filter(written).for_each(|name| restore(object, old, &["metadata", name]));
}

/// Makes the object have at a path what the old one has there, or nothing.
pub fn restore(object: &mut Object, old: &Object, path: &[&str]) {
    match old.get(path) {
        Some(value) => object.set(path, value.clone()),
        None => drop(object.remove(path)),
    }
}

/// Sets `metadata.managedFields` of `new` for an update (or, without `old`, a creation) by this manager. Both are in the
/// row's version; `versions` gives them in others. Entries that do not change keep their time. Of a row without a type they stay
/// as they were.
pub fn track_managers(
    row: &Resource,
    old: Option<&Object>,
    new: &mut Object,
    write: &ManagedWrite<'_>,
    versions: &Versions<'_>,
) {
    let Some(ty) = &row.ty else {
        if let Some(kept) = old.and_then(|old| old.metadata().get("managedFields")) {
            new.set_meta("managedFields", kept.clone());
        }
        return;
    };
    let writer = Writer { manager: write.manager, subresource: write.subresource, time: write.time };
    let reset = row.unowned_paths(write.subresource);
    managed::update(ty.schema(), ty.id(), old.map(Object::fields), new.fields_mut(), writer, &reset, versions);
}
