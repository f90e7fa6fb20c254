//! FlowSchemas: the assignment of requests to priority levels.

use super::super::columns::{Cell, Tabled};
use super::super::core::condition;
use super::super::rules::Rules;
use crate::resource::Resource;
use crate::strategy::Generation;
use serde_json::Value;

pub(super) fn row() -> Resource {
    Resource::new("flowcontrol.apiserver.k8s.io", "v1", "flowschemas", "FlowSchema")
        .cluster_scoped()
        .view("status")
        .resets("status", &[&["metadata"], &["spec"]])
        .strategy(RULES)
        .table(CELLS)
}

const RULES: Rules = Rules { generation: Generation::Spec, ..Rules::NONE };

const CELLS: &[(&str, Cell)] = &[("dangling", |schema, _| {
    let dangling = condition(schema, "Dangling").and_then(|condition| condition.get("status"));
    dangling.and_then(Value::as_str).unwrap_or("?").into()
})];
