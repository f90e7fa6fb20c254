//! Storage that is asked for.

use super::super::columns::{Cell, Tabled, plain};
use super::super::rules::Rules;
use sampan_api::object::Object;
use crate::resource::{Resource};

pub(super) fn row() -> Resource {
    Resource::new("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim").short_names(["pvc"]).view("status").strategy(RULES).table(CELLS)
}

const RULES: Rules = Rules { ..Rules::NONE };

const CELLS: &[(&str, Cell)] = &[
    ("phase", |claim, _| super::phase(claim).into()),
    ("capacity", |claim, _| match bound(claim) {
        true => claim.get(&["status", "capacity", "storage"]).map_or_else(|| "0".into(), |size| plain(size).into()),
        false => "".into(),
    }),
    ("access-modes", |claim, _| match bound(claim) {
        true => super::access_modes(claim.get(&["status", "accessModes"])).into(),
        false => "".into(),
    }),
    ("storage-class", |claim, _| super::storage_class(claim).into()),
];

fn bound(claim: &Object) -> bool {
    claim.get_str(&["spec", "volumeName"]).is_some_and(|name| !name.is_empty())
}
