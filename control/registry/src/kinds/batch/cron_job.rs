//! CronJobs: Jobs at times.

use super::super::columns::{Cell, Tabled};
use super::super::rules::Rules;
use crate::resource::{HistoryClass, Resource};
use crate::strategy::Generation;
use serde_json::Value;

pub(super) fn row() -> Resource {
    Resource::new("batch", "v1", "cronjobs", "CronJob")
        .short_names(["cj"])
        .categories(["all"])
        .view("status")
        .history(HistoryClass::Ample)
        .strategy(RULES)
        .table(CELLS)
}

const RULES: Rules = Rules { generation: Generation::Spec, ..Rules::NONE };

const CELLS: &[(&str, Cell)] = &[("suspend", |object, _| {
    match object.get(&["spec", "suspend"]).and_then(Value::as_bool) {
        Some(true) => "True".into(),
        Some(false) => "False".into(),
        None => "<unset>".into(),
    }
})];
