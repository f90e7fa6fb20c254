//! An object of one version of a kind in another of them.

use crate::resource::Resource;
use crate::table::ResourceTable;
use sampan_api::meta::GroupVersion;
use sampan_api::object::Object;
use sampan_schema::ObjectType;
use sampan_schema::managed::Versions;

/// The object, which is in the version of `row`, in another one that shares its storage, with the type that it has there.
/// `None`: the kind is not served in that version.
pub fn in_version(
    table: &ResourceTable,
    row: &Resource,
    object: &Object,
    api_version: &str,
) -> Option<(ObjectType, Object)> {
    let wanted = GroupVersion::parse(api_version)?;
    let storage = table.storage_of(row);
    let stored_there = |other: &Resource| table.storage_of(other).gvr() == storage.gvr();
    let other = table.lookup(&wanted.group, &wanted.version, &row.resource).filter(|other| stored_there(other))?;
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

/// [`in_version`] of objects as field managers hold them, which ask for versions that others wrote in.
pub fn of_row<'a>(table: &'a ResourceTable, row: &'a Resource) -> Box<Versions<'a>> {
    Box::new(|object, version| {
        let object = Object::from_map(object.clone());
        let (ty, object) = in_version(table, row, &object, version)?;
        Some((ty, object.fields().clone()))
    })
}
