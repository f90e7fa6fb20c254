//! ReplicaSets: so many pods like this one.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use super::super::scale_kind;
use super::super::validation::workload::{counted_status, replica_set_spec, selector_immutable};
use super::super::validation::{At, FieldErrors};
use crate::resource::{HistoryClass, Resource, Verbs};
use crate::strategy::Context;
use crate::strategy::Generation;
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
    validate: Some(|_, object| {
        let mut errors = FieldErrors::default();
        replica_set_spec(At::object(object).get("spec"), &mut errors);
        errors
    }),
    validate_update: Some(validate_update),
    generation: Generation::Spec,
    prepare_for_create: Some(|_, object| object.set(&["status"], serde_json::json!({"replicas": 0}))),
    ..Rules::NONE
};

const COUNTERS: [&str; 6] = [
    "replicas",
    "fullyLabeledReplicas",
    "readyReplicas",
    "availableReplicas",
    "observedGeneration",
    "terminatingReplicas",
];
const BOUNDED: [&str; 3] = ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"];

fn validate_update(ctx: &Context<'_>, object: &Object, old: &Object) -> FieldErrors {
    let mut errors = FieldErrors::default();
    let (at, old) = (At::object(object), At::object(old));
    if ctx.subresource == "status" {
        counted_status(at.get("status"), &COUNTERS, &BOUNDED, "readyReplicas", &mut errors);
    } else {
        replica_set_spec(at.get("spec"), &mut errors);
        selector_immutable(at.get("spec"), old.get("spec"), &mut errors);
    }
    errors
}
