//! What admission asks about the kinds of objects, answered out of the table.

use crate::registry::Registry;
use crate::resource::Resource;
use crate::shapes;
use crate::versions;
use async_trait::async_trait;
use sampan_api::admission::{Equivalent, Kinds, UnknownFields};
use sampan_api::meta::{GroupVersionKind, GroupVersionResource};
use sampan_api::object::Object;
use sampan_api::status::Status;
use sampan_schema::{ObjectType, Schema, apply};
use serde_json::{Map, Value};
use std::fmt;

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("revision", &self.revision()).finish_non_exhaustive()
    }
}

/// The kind of the bodies of a row (`""`) or of a subresource; `None`: there is no such.
fn kind_of(row: &Resource, subresource: &str) -> Option<GroupVersionKind> {
    if subresource.is_empty() {
        return Some(row.gvk());
    }
    let below = row.subresources.iter().find(|one| one.name == subresource)?;
    Some(below.kind.clone().unwrap_or_else(|| row.gvk()))
}

impl Registry {
    /// The type of a kind that is served, or that bodies of calls have.
    fn type_of(&self, kind: &GroupVersionKind) -> Option<ObjectType> {
        let served = self.table().of_kind(kind).and_then(|row| row.ty.clone());
        served.or_else(|| ObjectType::find(Schema::builtin(), &kind.group, &kind.version, &kind.kind))
    }
}

#[async_trait]
impl Kinds for Registry {
    fn equivalents(&self, resource: &GroupVersionResource, subresource: &str) -> Vec<Equivalent> {
        let table = self.table();
        let Some(row) = table.of_resource(resource) else { return Vec::new() };
        let storage = table.storage_of(row);
        // Asked of many rules at each write: rows are told apart by where they are, and nothing is copied.
        let same = |other: &Resource| {
            other.resource == row.resource
                && !std::ptr::eq(other, &**row)
                && std::ptr::eq(table.storage_of(other), storage)
        };
        let others = table.iter().filter(|other| same(other));
        others
            .filter_map(|other| Some(Equivalent { resource: other.gvr(), kind: kind_of(other, subresource)? }))
            .collect()
    }

    async fn convert(&self, object: &Object, to: &Equivalent) -> Result<Object, Status> {
        let Some(kind) = object.gvk().filter(|kind| *kind != to.kind) else { return Ok(object.clone()) };
        let table = self.table();
        let unknown = || Status::internal(&format!("unable to convert to {}: unknown kind", to.resource));
        let row = table.of_kind(&kind).ok_or_else(unknown)?;
        let wanted = table.of_resource(&to.resource).ok_or_else(unknown)?;
        if let Some(conversion) = &wanted.converted_by {
            let converted = self.converted(conversion, wanted, vec![object.clone()]).await?.pop();
            return converted.ok_or_else(unknown);
        }
        versions::in_version(&table, row, object, &wanted.api_version(), None).map(|(_, made)| made).ok_or_else(unknown)
    }

    fn describes(&self, kind: &GroupVersionKind) -> bool {
        self.type_of(kind).is_some()
    }

    fn read(&self, object: &mut Object, unknown: UnknownFields) -> Result<(), Status> {
        let ty = object.gvk().and_then(|kind| self.type_of(&kind));
        shapes::read_again(ty.as_ref(), object, unknown)?;
        shapes::defaults_of(ty.as_ref(), object)
    }

    fn merge(&self, object: &Object, configuration: &Map<String, Value>) -> Result<Object, String> {
        let ty = object.gvk().and_then(|kind| self.type_of(&kind));
        let ty = ty.ok_or("type converter must not be nil")?;
        apply::merged(&ty, object.fields(), configuration).map(Object::from_map)
    }
}
