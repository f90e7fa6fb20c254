//! ReplicaSets: a number of equal pods.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use super::super::scale_kind;
use super::super::validation::checks::not_negative;
use super::super::validation::warnings;
use super::super::validation::workload::{Workload, replica_selector, selected_template, selector_immutable};
use super::super::validation::{At, FieldErrors};
use crate::resource::{HistoryClass, Resource, Verbs};
use crate::strategy::Generation;
use crate::strategy::{Context, Warned};
use sampan_api::object::Object;

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
    workload: Some(&WORKLOAD),
    pods: Some(&["spec", "template"]),
    warnings: &[(Warned::Object, warnings::new_pods_name)],
    generation: Generation::Spec,
    prepare_for_create: Some(|_, object| object.set(&["status"], serde_json::json!({"replicas": 0}))),
    ..Rules::NONE
};

const WORKLOAD: Workload = Workload {
    spec,
    counters: &[
        "replicas",
        "fullyLabeledReplicas",
        "readyReplicas",
        "availableReplicas",
        "observedGeneration",
        "terminatingReplicas",
    ],
    bounded: &["fullyLabeledReplicas", "readyReplicas", "availableReplicas"],
    ready: "readyReplicas",
};

fn spec(ctx: &Context<'_>, object: &Object, old: Option<&Object>, errors: &mut FieldErrors) {
    let at = At::object(object);
    let spec = at.get("spec");
    not_negative(spec.get("replicas"), errors);
    not_negative(spec.get("minReadySeconds"), errors);
    replica_selector(spec.get("selector"), "deployment", errors);
    selected_template(ctx, spec, old, "invalid label selector", "ReplicaSet", errors);
    if let Some(old) = old {
        selector_immutable(spec, At::object(old).get("spec"), errors);
    }
}
