//! Component statuses: answered on the spot, nothing is stored under this name.

use super::super::columns::{Cell, Tabled};
use crate::resource::{Resource, Verbs};
use sampan_api::object::Object;
use serde_json::Value;

pub(super) fn row() -> Resource {
    Resource::new("", "v1", "componentstatuses", "ComponentStatus")
        .short_names(["cs"])
        .cluster_scoped()
        .action("componentstatus")
        .deprecated("v1 ComponentStatus is deprecated in v1.19+")
        .verbs(Verbs::GET.or(Verbs::LIST))
        .table(CELLS)
}

const CELLS: &[(&str, Cell)] = &[
    ("health", |status, _| match field(status, "status") {
        None => "Unknown".into(),
        Some("True") => "Healthy".into(),
        Some(_) => "Unhealthy".into(),
    }),
    ("message", |status, _| field(status, "message").unwrap_or("").into()),
    ("error", |status, _| field(status, "error").unwrap_or("").into()),
];

/// A field of the condition Healthy.
fn field<'a>(status: &'a Object, name: &str) -> Option<&'a str> {
    let conditions = status.get(&["conditions"])?.as_array()?;
    conditions.iter().find(|c| c.get("type").and_then(Value::as_str) == Some("Healthy"))?.get(name)?.as_str()
}
