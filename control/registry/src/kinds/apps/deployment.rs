//! Deployments: ReplicaSets, one after the other.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use super::super::scale_kind;
use super::super::validation::checks::not_negative;
use super::super::validation::workload::{
    counted_status, deployment_strategy, replica_selector, selected_template, selector_immutable,
};
use super::super::validation::{At, FieldErrors};
use crate::resource::{HistoryClass, Resource, Verbs};
use crate::strategy::Context;
use crate::strategy::Generation;
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
    validate: Some(|_, object| {
        let mut errors = FieldErrors::default();
        spec(At::object(object).get("spec"), &mut errors);
        errors
    }),
    validate_update: Some(validate_update),
    // The controller copies annotations to the ReplicaSet, so a change of them is a change that it must observe.
    prepare_for_update: Some(|ctx, object, old| {
        if ctx.subresource == "status" {
            match old.metadata().get("labels") {
                Some(labels) => object.set(&["metadata", "labels"], labels.clone()),
                None => {
                    object.remove(&["metadata", "labels"]);
                }
            }
        }
    }),
    generation: Generation::By(|new, old| {
        ["spec", "metadata"].iter().any(|part| match *part {
            "spec" => new.get(&["spec"]) != old.get(&["spec"]),
            _ => !new.annotations().eq(old.annotations()),
        })
    }),
    ..Rules::NONE
};

/// The status' counters, and those that no replica may be counted in twice.
const COUNTERS: [&str; 8] = [
    "observedGeneration",
    "replicas",
    "updatedReplicas",
    "readyReplicas",
    "availableReplicas",
    "unavailableReplicas",
    "terminatingReplicas",
    "collisionCount",
];
const BOUNDED: [&str; 3] = ["updatedReplicas", "readyReplicas", "availableReplicas"];

fn spec(spec: At<'_>, errors: &mut FieldErrors) {
    not_negative(spec.get("replicas"), errors);
    replica_selector(spec.get("selector"), "deployment", errors);
    selected_template(spec, "invalid label selector", "ReplicaSet", errors);
    deployment_strategy(spec.get("strategy"), errors);
    not_negative(spec.get("minReadySeconds"), errors);
    not_negative(spec.get("revisionHistoryLimit"), errors);
    let deadline = spec.get("progressDeadlineSeconds");
    not_negative(deadline, errors);
    if deadline.opt_number().is_some_and(|seconds| seconds <= spec.get("minReadySeconds").number()) {
        deadline.invalid(errors, "must be greater than minReadySeconds");
    }
}

fn validate_update(ctx: &Context<'_>, object: &Object, old: &Object) -> FieldErrors {
    let mut errors = FieldErrors::default();
    let (at, old) = (At::object(object), At::object(old));
    if ctx.subresource == "status" {
        counted_status(at.get("status"), &COUNTERS, &BOUNDED, "readyReplicas", &mut errors);
    } else {
        spec(at.get("spec"), &mut errors);
        selector_immutable(at.get("spec"), old.get("spec"), &mut errors);
    }
    errors
}
