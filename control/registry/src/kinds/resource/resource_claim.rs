//! Devices that are asked for.

use super::super::columns::{Cell, Tabled};
use super::super::rules::Rules;
use sampan_api::object::Object;
use serde_json::Value;
use crate::resource::{Resource};

pub(super) fn row() -> Resource {
    Resource::new("resource.k8s.io", "v1", "resourceclaims", "ResourceClaim").view("status").strategy(RULES).table(CELLS)
}

const RULES: Rules = Rules { ..Rules::NONE };

const CELLS: &[(&str, Cell)] = &[
    ("state", |claim, _| state(claim).into()),
];

fn state(claim: &Object) -> String {
    let deleted = claim.deletion_timestamp().is_some();
    let reserved = claim.get(&["status", "reservedFor"]).and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    let allocated = claim.get(&["status", "allocation"]).is_some_and(Value::is_object);
    let words = [
        (deleted, "deleted"),
        (!allocated && !deleted, "pending"),
        (allocated, "allocated"),
        (allocated && reserved, "reserved"),
    ];
    words.into_iter().filter(|(shown, _)| *shown).map(|(_, word)| word).collect::<Vec<_>>().join(",")
}
