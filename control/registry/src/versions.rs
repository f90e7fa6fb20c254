//! An object of one version of a kind in another of them.

use crate::conversion::Conversions;
use crate::resource::Resource;
use crate::table::ResourceTable;
use sampan_api::meta::GroupVersion;
use sampan_api::object::Object;
use sampan_schema::ObjectType;
use sampan_schema::managed::Versions;
use serde_json::{Map, Value};
use std::sync::Arc;

/// The row of another version that shares the storage of `row`. `None`: the kind is not served in it.
pub(crate) fn row_of<'t>(table: &'t ResourceTable, row: &Resource, api_version: &str) -> Option<&'t Arc<Resource>> {
    let wanted = GroupVersion::parse(api_version)?;
    let storage = table.storage_of(row);
    let stored_there = |other: &Resource| table.storage_of(other).gvr() == storage.gvr();
    table.lookup(&wanted.group, &wanted.version, &row.resource).filter(|other| stored_there(other))
}

/// The object, which is in the version of `row`, in another one that shares its storage, with the type that it has there.
/// `None`: the kind is not served in that version, or a webhook is to be asked first, which [`crate::Registry::update`] does
/// before it asks its transform again.
pub(crate) fn in_version(
    table: &ResourceTable,
    row: &Resource,
    object: &Object,
    api_version: &str,
    conversions: Option<&Conversions>,
) -> Option<(ObjectType, Object)> {
    let storage = table.storage_of(row);
    let other = row_of(table, row, api_version)?;
    if other.converted_by.is_some() {
        // A subresource's own kind is in no other version.
        let ty = other.ty.clone().filter(|_| *object.kind() == *row.kind)?;
        let same = object.api_version() == api_version;
        return Some((ty, if same { object.clone() } else { conversions?.find(object, api_version)? }));
    }
    let mut object = object.clone();
    if let Some(stored_as) = &row.stored_as {
        (stored_as.to_storage)(&mut object);
        object.set_gvk(&storage.gvk());
    }
    if let Some(stored_as) = &other.stored_as {
        (stored_as.from_storage)(&mut object);
    }
    object.set_gvk(&other.gvk());
    Some((other.ty.clone()?, object))
}

/// Objects as field managers hold them in the versions that others wrote in, as this process converts them.
pub fn of_row<'a>(table: &'a ResourceTable, row: &'a Resource) -> Box<Versions<'a>> {
    Box::new(|object, version| held(table, row, object, version, None))
}

/// As [`of_row`], where a webhook may have to be asked: see [`Conversions`].
pub fn of_row_with<'a>(table: &'a ResourceTable, row: &'a Resource, conversions: &'a Conversions) -> Box<Versions<'a>> {
    Box::new(|object, version| held(table, row, object, version, Some(conversions)))
}

fn held(
    table: &ResourceTable,
    row: &Resource,
    object: &Map<String, Value>,
    version: &str,
    conversions: Option<&Conversions>,
) -> Option<(ObjectType, Map<String, Value>)> {
    // Who has written in versions that there are not says so of as many as fit into an object.
    row_of(table, row, version)?;
    let object = Object::from_map(object.clone());
    let (ty, object) = in_version(table, row, &object, version, conversions)?;
    Some((ty, object.fields().clone()))
}
