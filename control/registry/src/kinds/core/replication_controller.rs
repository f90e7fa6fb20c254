//! ReplicationControllers: the first form of ReplicaSets.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use super::super::scale_kind;
use super::super::validation::checks::not_negative;
use super::super::validation::pod_spec;
use super::super::validation::workload::{always_restarting, counted_status};
use super::super::validation::{At, FieldErrors};
use crate::resource::{HistoryClass, Resource, Verbs};
use crate::strategy::Context;
use crate::strategy::Generation;
use sampan_api::object::Object;

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
    validate: Some(|_, object| {
        let mut errors = FieldErrors::default();
        spec(At::object(object).get("spec"), &mut errors);
        errors
    }),
    validate_update: Some(validate_update),
    generation: Generation::Spec,
    orphan_by_default: true,
    prepare_for_create: Some(|_, object| object.set(&["status"], serde_json::json!({"replicas": 0}))),
    ..Rules::NONE
};

const COUNTERS: [&str; 5] =
    ["replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration"];
const BOUNDED: [&str; 3] = ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"];

fn spec(spec: At<'_>, errors: &mut FieldErrors) {
    not_negative(spec.get("minReadySeconds"), errors);
    let selector = spec.get("selector");
    if selector.is_empty() {
        selector.required(errors, "");
    }
    let replicas = spec.get("replicas");
    if !replicas.is_set() {
        replicas.required(errors, "");
    }
    not_negative(replicas, errors);
    let template = spec.get("template");
    if !template.is_set() {
        template.required(errors, "");
        return;
    }
    let metadata = template.get("metadata");
    let labels = metadata.get("labels");
    if selector.entries().any(|(key, value)| labels.key(key).value() != value.value()) {
        labels.invalid(errors, "`selector` does not match template `labels`");
    }
    pod_spec::template(template, errors);
    always_restarting(template, "ReplicationController", errors);
}

fn validate_update(ctx: &Context<'_>, object: &Object, _: &Object) -> FieldErrors {
    let mut errors = FieldErrors::default();
    let at = At::object(object);
    if ctx.subresource == "status" {
        counted_status(at.get("status"), &COUNTERS, &BOUNDED, "readyReplicas", &mut errors);
    } else {
        spec(at.get("spec"), &mut errors);
    }
    errors
}
