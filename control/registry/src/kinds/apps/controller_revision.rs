//! A past template of a StatefulSet or DaemonSet.

use super::super::columns::{Cell, Tabled};
use super::super::rules::Rules;
use sampan_api::meta::GroupVersion;
use sampan_api::object::Object;
use crate::resource::{HistoryClass, Resource};

pub(super) fn row() -> Resource {
    Resource::new("apps", "v1", "controllerrevisions", "ControllerRevision").history(HistoryClass::Ample).strategy(RULES).table(CELLS)
}

const RULES: Rules = Rules { ..Rules::NONE };

const CELLS: &[(&str, Cell)] = &[
    ("controller", |revision, _| controller(revision).into()),
];

fn controller(revision: &Object) -> String {
    let Some(owner) = revision.owner_references().into_iter().find(|owner| owner.controller) else {
        return "<none>".to_owned();
    };
    let group = GroupVersion::parse(&owner.api_version).map(|version| version.group).unwrap_or_default();
    let kind = owner.kind.to_lowercase();
    if group.is_empty() { format!("{kind}/{}", owner.name) } else { format!("{kind}.{group}/{}", owner.name) }
}
