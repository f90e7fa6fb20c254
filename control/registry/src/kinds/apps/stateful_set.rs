//! StatefulSets: pods with names and volumes of their own.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use super::super::scale_kind;
use crate::resource::{HistoryClass, Resource, Verbs};
use crate::strategy::Generation;

pub(super) fn row() -> Resource {
    Resource::new("apps", "v1", "statefulsets", "StatefulSet")
        .short_names(["sts"])
        .categories(["all"])
        .sub_action("scale", scale_kind(), Verbs::VIEW, "scale")
        .view("status")
        .history(HistoryClass::Ample)
        .strategy(RULES)
        .table(&[])
}

const RULES: Rules = Rules {
    name: sampan_api::names::dns1123_label,
    generation: Generation::Spec,
    prepare_for_create: Some(|_, object| {
        object.set(&["status"], serde_json::json!({"replicas": 0, "availableReplicas": 0}));
    }),
    ..Rules::NONE
};
