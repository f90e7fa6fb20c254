//! The seam to what knows a kind's fields: defaults and the ownership of fields. Built-in kinds ask the one schema;
//! a CRD's kinds will ask their own.

use crate::resource::Resource;
use sampan_api::object::Object;
use sampan_schema::managed::{self, Writer};
use sampan_schema::{Schema, TypeId};

/// A write, as `metadata.managedFields` records it.
#[derive(Clone, Copy, Debug)]
pub struct ManagedWrite<'a> {
    pub manager: &'a str,
    pub subresource: &'a str,
    /// RFC 3339, whole seconds.
    pub time: &'a str,
}

/// What the registry asks about an object's fields. Pure.
pub trait Shapes: Send + Sync + 'static {
    /// Fills in what the row's version defaults. Idempotent.
    fn apply_defaults(&self, row: &Resource, object: &mut Object);

    /// Sets `metadata.managedFields` of `new` for an update (or, without `old`, a creation) by this manager. Both are in
    /// the row's version. Entries that do not change keep their time.
    fn track_managers(&self, row: &Resource, old: Option<&Object>, new: &mut Object, write: &ManagedWrite<'_>);
}

/// Knows no fields: nothing is defaulted, and managedFields stay as they are. For tests of rows without a schema.
#[derive(Clone, Copy, Debug)]
pub struct Shapeless;

impl Shapes for Shapeless {
    fn apply_defaults(&self, _: &Resource, _: &mut Object) {}

    fn track_managers(&self, _: &Resource, old: Option<&Object>, new: &mut Object, _: &ManagedWrite<'_>) {
        if let Some(kept) = old.and_then(|old| old.metadata().get("managedFields")) {
            new.set_meta("managedFields", kept.clone());
        }
    }
}

/// The built-in kinds: the one schema.
#[derive(Clone, Copy, Debug)]
pub struct SchemaShapes;

impl SchemaShapes {
    fn type_of(row: &Resource) -> Option<TypeId> {
        Schema::builtin().find(&row.group, &row.version, &row.kind)
    }
}

impl Shapes for SchemaShapes {
    fn apply_defaults(&self, row: &Resource, object: &mut Object) {
        let Some(id) = Self::type_of(row) else { return };
        let mut value = std::mem::take(object).into_value();
        sampan_schema::default::apply(Schema::builtin(), id, &mut value);
        if let Some(defaulted) = Object::from_value(value) {
            *object = defaulted;
        }
    }

    fn track_managers(&self, row: &Resource, old: Option<&Object>, new: &mut Object, write: &ManagedWrite<'_>) {
        let Some(id) = Self::type_of(row) else { return };
        let old = old.map(Object::to_value);
        let mut value = std::mem::take(new).into_value();
        let writer = Writer { manager: write.manager, subresource: write.subresource, time: write.time };
        let reset = row.reset_paths(write.subresource);
        managed::update(Schema::builtin(), id, old.as_ref(), &mut value, writer, reset);
        if let Some(tracked) = Object::from_value(value) {
            *new = tracked;
        }
    }
}
