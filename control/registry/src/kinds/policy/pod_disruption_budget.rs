//! PodDisruptionBudgets: the number of an application's pods that may be evicted at once.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use super::super::validation::checks::{at_most_all, label_selector, number_or_percent, one_of, ordered};
use super::super::validation::{At, FieldErrors};
use crate::resource::Resource;
use crate::strategy::Generation;
use sampan_api::names;

pub(super) fn row() -> Resource {
    Resource::new("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
        .short_names(["pdb"])
        .view("status")
        .strategy(RULES)
        .table(&[])
}

const RULES: Rules = Rules {
    // Kubernetes asks no more of it.
    name: names::path_segment,
    bare_metadata: true,
    prepare_for_create: Some(|_, object| {
        let zero = serde_json::json!({
            "currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0,
        });
        object.set(&["status"], zero);
    }),
    validate: Some(|_, object| {
        let mut errors = FieldErrors::default();
        spec(At::object(object).get("spec"), &mut errors);
        errors
    }),
    validate_update: Some(|ctx, object, _| {
        let mut errors = FieldErrors::default();
        if ctx.subresource.is_empty() {
            spec(At::object(object).get("spec"), &mut errors);
        }
        errors
    }),
    unconditional_update: false,
    generation: Generation::Spec,
    ..Rules::NONE
};

fn spec(at: At<'_>, errors: &mut FieldErrors) {
    let amounts = [at.get("minAvailable"), at.get("maxUnavailable")];
    if amounts.iter().all(At::is_set) {
        let go = ["minAvailable", "selector", "maxUnavailable", "unhealthyPodEvictionPolicy"];
        let fields = go.map(|name| (name[..1].to_uppercase() + &name[1..], at.get(name).value().clone()));
        let shown = serde_json::Value::Object(fields.into_iter().collect());
        let order = ["MinAvailable", "Selector", "MaxUnavailable", "UnhealthyPodEvictionPolicy"];
        at.invalid_as(errors, ordered(&shown, &order), "minAvailable and maxUnavailable cannot be both set");
    }
    for amount in amounts {
        number_or_percent(amount, errors);
        at_most_all(amount, errors);
    }
    label_selector(at.get("selector"), errors);
    one_of(at.get("unhealthyPodEvictionPolicy"), errors, &["AlwaysAllow", "IfHealthyBudget"]);
}
