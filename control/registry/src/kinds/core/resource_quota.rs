//! What a namespace may use in all.

use super::super::columns::{Cell, Tabled, plain};
use super::super::rules::Rules;
use sampan_api::object::Object;
use serde_json::Value;
use crate::resource::{Resource};

pub(super) fn row() -> Resource {
    Resource::new("", "v1", "resourcequotas", "ResourceQuota").short_names(["quota"]).view("status").strategy(RULES).table(CELLS)
}

const RULES: Rules = Rules { ..Rules::NONE };

const CELLS: &[(&str, Cell)] = &[
    ("requests", |quota, _| usage(quota, false).into()),
    ("limits", |quota, _| usage(quota, true).into()),
];

/// `resource: used/hard` of what is limited (`limits.*`) or of all the rest.
fn usage(quota: &Object, limits: bool) -> String {
    let hard = quota.get(&["status", "hard"]).and_then(Value::as_object);
    let of_column = hard.into_iter().flatten().filter(|(name, _)| name.starts_with("limits.") == limits);
    let texts = of_column.map(|(name, hard)| {
        let used = quota.get(&["status", "used", name]).map_or_else(|| "0".to_owned(), plain);
        format!("{name}: {used}/{}", plain(hard))
    });
    texts.collect::<Vec<_>>().join(", ")
}
