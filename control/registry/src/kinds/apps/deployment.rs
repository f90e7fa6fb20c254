//! Deployments: a succession of ReplicaSets, rolled out one after the other.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use super::super::scale_kind;
use super::super::validation::checks::not_negative;
use super::super::validation::warnings;
use super::super::validation::workload::{
    Workload, deployment_strategy, replica_selector, selected_template, selector_immutable,
};
use super::super::validation::{At, FieldErrors};
use crate::resource::{HistoryClass, Resource, Verbs};
use crate::strategy::Generation;
use crate::strategy::{Context, Warned};
use sampan_api::object::Object;

pub(super) fn row() -> Resource {
    Resource::new("apps", "v1", "deployments", "Deployment")
        .short_names(["deploy"])
        .categories(["all"])
        .sub_action("scale", scale_kind(), Verbs::VIEW, "scale")
        .view("status")
        .resets("status", &[&["spec"], &["metadata", "labels"]])
        .history(HistoryClass::Ample)
        .strategy(RULES)
        .table(&[])
}

const RULES: Rules = Rules {
    workload: Some(&WORKLOAD),
    pods: Some(&["spec", "template"]),
    warnings: &[(Warned::Object, warnings::new_pods_name)],
    // The controller copies annotations to the ReplicaSet, so a change of them is a change that it must observe.
    generation: Generation::By(|new, old| {
        ["spec", "metadata"].iter().any(|part| match *part {
            "spec" => new.get(&["spec"]) != old.get(&["spec"]),
            _ => !new.annotations().eq(old.annotations()),
        })
    }),
    ..Rules::NONE
};

const WORKLOAD: Workload = Workload {
    spec,
    counters: &[
        "observedGeneration",
        "replicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
        "unavailableReplicas",
        "terminatingReplicas",
        "collisionCount",
    ],
    bounded: &["updatedReplicas", "readyReplicas", "availableReplicas"],
    ready: "readyReplicas",
};

fn spec(ctx: &Context<'_>, object: &Object, old: Option<&Object>, errors: &mut FieldErrors) {
    let at = At::object(object);
    let spec = at.get("spec");
    not_negative(spec.get("replicas"), errors);
    replica_selector(spec.get("selector"), "deployment", errors);
    selected_template(ctx, spec, old, "invalid label selector", "ReplicaSet", errors);
    deployment_strategy(spec.get("strategy"), errors);
    not_negative(spec.get("minReadySeconds"), errors);
    not_negative(spec.get("revisionHistoryLimit"), errors);
    let deadline = spec.get("progressDeadlineSeconds");
    not_negative(deadline, errors);
    if deadline.opt_number().is_some_and(|seconds| seconds <= spec.get("minReadySeconds").number()) {
        deadline.invalid(errors, "must be greater than minReadySeconds");
    }
    if let Some(old) = old {
        selector_immutable(spec, At::object(old).get("spec"), errors);
    }
}
