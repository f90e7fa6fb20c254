//! ReplicationControllers: the first form of ReplicaSets.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use super::super::scale_kind;
use crate::resource::{HistoryClass, Resource, Verbs};
use crate::strategy::Generation;

pub(super) fn row() -> Resource {
    Resource::new("", "v1", "replicationcontrollers", "ReplicationController")
        .short_names(["rc"])
        .categories(["all"])
        .sub_action("scale", scale_kind(), Verbs::VIEW, "scale")
        .view("status")
        .selectable_or("status.replicas", "0")
        .history(HistoryClass::Ample)
        .strategy(RULES)
        .table(&[])
}

const RULES: Rules = Rules {
    generation: Generation::Spec,
    prepare_for_create: Some(|_, object| object.set(&["status"], serde_json::json!({"replicas": 0}))),
    ..Rules::NONE
};
