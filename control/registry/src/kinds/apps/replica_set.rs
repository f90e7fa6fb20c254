//! ReplicaSets: so many pods like this one.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use super::super::scale_kind;
use crate::resource::{HistoryClass, Resource, Verbs};
use crate::strategy::Generation;

pub(super) fn row() -> Resource {
    Resource::new("apps", "v1", "replicasets", "ReplicaSet")
        .short_names(["rs"])
        .categories(["all"])
        .sub_action("scale", scale_kind(), Verbs::VIEW, "scale")
        .view("status")
        .history(HistoryClass::Ample)
        .strategy(RULES)
        .table(&[])
}

const RULES: Rules = Rules {
    generation: Generation::Spec,
    prepare_for_create: Some(|_, object| object.set(&["status"], serde_json::json!({"replicas": 0}))),
    ..Rules::NONE
};
