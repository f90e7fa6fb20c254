//! Storage that exists.

use super::super::columns::{Cell, Tabled};
use super::super::rules::Rules;
use sampan_api::object::Object;
use crate::resource::{Resource};

pub(super) fn row() -> Resource {
    Resource::new("", "v1", "persistentvolumes", "PersistentVolume").cluster_scoped().short_names(["pv"]).view("status").strategy(RULES).table(CELLS)
}

const RULES: Rules = Rules { ..Rules::NONE };

const CELLS: &[(&str, Cell)] = &[
    ("access-modes", |volume, _| super::access_modes(volume.get(&["spec", "accessModes"])).into()),
    ("phase", |volume, _| super::phase(volume).into()),
    ("claim", |volume, _| claim(volume).into()),
    ("storage-class", |volume, _| super::storage_class(volume).into()),
];

fn claim(volume: &Object) -> String {
    let field = |name: &str| volume.get_str(&["spec", "claimRef", name]).unwrap_or("");
    if volume.get(&["spec", "claimRef"]).is_some_and(|claim| claim.is_object()) {
        format!("{}/{}", field("namespace"), field("name"))
    } else {
        String::new()
    }
}
