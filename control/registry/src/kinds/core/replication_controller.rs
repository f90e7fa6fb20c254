//! ReplicationControllers: the first form of ReplicaSets.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use super::super::scale_kind;
use super::super::validation::checks::not_negative;
use super::super::validation::pod_spec;
use super::super::validation::warnings;
use super::super::validation::workload::{Workload, always_restarting, template_before};
use super::super::validation::{At, FieldErrors};
use crate::options::Propagation;
use crate::resource::{HistoryClass, Resource, Verbs};
use crate::strategy::Generation;
use crate::strategy::{Context, Warned};
use sampan_api::object::Object;

pub(super) fn row() -> Resource {
    Resource::new("", "v1", "replicationcontrollers", "ReplicationController")
        .kept_at("controllers")
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
    prefix_unchecked: true,
    workload: Some(&WORKLOAD),
    pods: Some(&["spec", "template"]),
    warnings: &[(Warned::Object, warnings::new_pods_name)],
    generation: Generation::Spec,
    propagation: Some(Propagation::Orphan),
    prepare_for_create: Some(|_, object| object.set(&["status"], serde_json::json!({"replicas": 0}))),
    ..Rules::NONE
};

const WORKLOAD: Workload = Workload {
    spec,
    counters: &["replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration"],
    bounded: &["fullyLabeledReplicas", "readyReplicas", "availableReplicas"],
    ready: "readyReplicas",
};

fn spec(ctx: &Context<'_>, object: &Object, old: Option<&Object>, errors: &mut FieldErrors) {
    let at = At::object(object);
    let spec = at.get("spec");
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
    pod_spec::template(ctx, template, template_before(old), errors);
    always_restarting(template, "ReplicationController", errors);
}
