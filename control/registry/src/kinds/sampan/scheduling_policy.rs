//! SchedulingPolicies: components that take part in scheduling.

use super::super::columns::{Cell, Tabled};
use super::super::core::condition;
use super::super::rules::Rules;
use crate::resource::{HistoryClass, Resource};
use crate::strategy::Generation;
use sampan_api::scheduling::{GROUP, VERSION, condition::READY};
use serde_json::Value;

pub(super) fn row() -> Resource {
    Resource::new(GROUP, VERSION, "schedulingpolicies", "SchedulingPolicy")
        .cluster_scoped()
        .short_names(["sp"])
        .view("status")
        .history(HistoryClass::Ample)
        .strategy(RULES)
        .table(CELLS)
}

const RULES: Rules = Rules { generation: Generation::Spec, status_starts_empty: false, ..Rules::NONE };

const CELLS: &[(&str, Cell)] = &[
    ("ready", |policy, _| {
        let ready = condition(policy, READY);
        let field = |name: &str| ready.and_then(|ready| ready.get(name)).and_then(Value::as_str);
        match (field("status"), field("reason")) {
            (None, _) => "Unknown".into(),
            (Some("False"), Some(reason)) if !reason.is_empty() => format!("False ({reason})").into(),
            (Some(status), _) => status.into(),
        }
    }),
    ("faults", |policy, _| {
        let faults = policy.get(&["status", "faults"]).and_then(Value::as_object);
        faults.into_iter().flatten().filter_map(|(_, count)| count.as_i64()).sum::<i64>().into()
    }),
];
