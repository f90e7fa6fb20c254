//! ControllerRevisions: past templates of StatefulSets and DaemonSets.

use super::super::columns::{Cell, Tabled};
use super::super::rules::Rules;
use super::super::validation::checks::{immutable, not_negative};
use super::super::validation::{At, FieldErrors};
use crate::resource::{HistoryClass, Resource};
use crate::strategy::MetadataOfUpdate;
use sampan_api::meta::GroupVersion;
use sampan_api::object::Object;

pub(super) fn row() -> Resource {
    Resource::new("apps", "v1", "controllerrevisions", "ControllerRevision")
        .history(HistoryClass::Ample)
        .strategy(RULES)
        .table(CELLS)
}

const RULES: Rules = Rules {
    metadata_of_update: Some(MetadataOfUpdate::Both),
    validate: Some(|_, object| {
        let mut errors = FieldErrors::default();
        let at = At::object(object);
        not_negative(at.get("revision"), &mut errors);
        let data = at.get("data");
        match data.is_set() {
            false => data.required(&mut errors, "data is mandatory"),
            true if !data.value().is_object() => data.required(&mut errors, "data must be a valid JSON object"),
            true => {}
        }
        errors
    }),
    validate_update: Some(|_, object, old| {
        let mut errors = FieldErrors::default();
        let (at, old) = (At::object(object), At::object(old));
        not_negative(at.get("revision"), &mut errors);
        immutable(at.get("data"), old.get("data"), &mut errors);
        errors
    }),
    ..Rules::NONE
};

const CELLS: &[(&str, Cell)] = &[("controller", |revision, _| controller(revision).into())];

fn controller(revision: &Object) -> String {
    let Some(owner) = revision.owner_references().into_iter().find(|owner| owner.controller) else {
        return "<none>".to_owned();
    };
    let group = GroupVersion::parse(&owner.api_version).map(|version| version.group).unwrap_or_default();
    let kind = owner.kind.to_lowercase();
    if group.is_empty() { format!("{kind}/{}", owner.name) } else { format!("{kind}.{group}/{}", owner.name) }
}
