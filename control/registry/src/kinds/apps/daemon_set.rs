//! DaemonSets: a pod on each node.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use super::super::validation::checks::{at_most_all, label_selector, not_negative, number_or_percent, selector_as_go};
use super::super::validation::pod_spec;
use super::super::validation::workload::{
    Workload, always_restarting, amount, labels_match, selector_immutable, strategy_as_go, template_before,
};
use super::super::validation::{At, FieldErrors};
use crate::resource::{HistoryClass, Resource};
use crate::strategy::{Context, Generation};
use sampan_api::object::Object;
use serde_json::json;

/// Counts the changes of the template. A field once, kept as an annotation for those who read it.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

pub(super) fn row() -> Resource {
    Resource::new("apps", "v1", "daemonsets", "DaemonSet")
        .short_names(["ds"])
        .categories(["all"])
        .view("status")
        .history(HistoryClass::Ample)
        .shows_in_whole_objects(&[TEMPLATE_GENERATION])
        .strategy(RULES)
        .table(&[])
}

const RULES: Rules = Rules {
    workload: Some(&WORKLOAD),
    pods: Some(&["spec", "template"]),
    generation: Generation::Spec,
    prepare_for_create: Some(prepare_for_create),
    prepare_for_update: Some(prepare_for_update),
    ..Rules::NONE
};

fn template_generation(object: &Object) -> i64 {
    object.annotation(TEMPLATE_GENERATION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn prepare_for_create(_: &Context<'_>, object: &mut Object) {
    object.set(
        &["status"],
        json!({"currentNumberScheduled": 0, "desiredNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0}),
    );
    let generation = template_generation(object).max(1);
    object.set_annotation(TEMPLATE_GENERATION, generation.to_string());
}

fn prepare_for_update(ctx: &Context<'_>, object: &mut Object, old: &Object) {
    // A write to the status leaves the count as it was, whatever it sends.
    let template = |object: &Object| object.get(&["spec", "template"]).cloned();
    let changed = i64::from(ctx.subresource.is_empty() && template(object) != template(old));
    object.set_annotation(TEMPLATE_GENERATION, template_generation(old).saturating_add(changed).to_string());
}

const WORKLOAD: Workload = Workload {
    spec,
    counters: &[
        "currentNumberScheduled",
        "numberMisscheduled",
        "desiredNumberScheduled",
        "numberReady",
        "observedGeneration",
        "updatedNumberScheduled",
        "numberAvailable",
        "numberUnavailable",
        "collisionCount",
    ],
    bounded: &[],
    ready: "",
};

fn spec(ctx: &Context<'_>, object: &Object, old: Option<&Object>, errors: &mut FieldErrors) {
    let at = At::object(object);
    let spec = at.get("spec");
    if let Some(old) = old {
        selector_immutable(spec, At::object(old).get("spec"), errors);
    }
    let selector = spec.get("selector");
    label_selector(selector, errors);
    labels_match(spec, errors);
    if selector.is_set() && selector.get("matchLabels").is_empty() && selector.get("matchExpressions").is_empty() {
        selector.invalid_as(errors, selector_as_go(selector.value()), "empty selector is invalid for daemonset");
    }
    let template = spec.get("template");
    pod_spec::template(ctx, template, template_before(old), errors);
    always_restarting(template, "DaemonSet", errors);
    not_negative(spec.get("minReadySeconds"), errors);
    update_strategy(spec.get("updateStrategy"), errors);
    not_negative(spec.get("revisionHistoryLimit"), errors);
}

fn update_strategy(at: At<'_>, errors: &mut FieldErrors) {
    match at.get("type").text() {
        "OnDelete" => return,
        "RollingUpdate" => {}
        _ => return at.not_supported_as(errors, strategy_as_go(at.value()), &["RollingUpdate", "OnDelete"]),
    }
    let rolling = at.get("rollingUpdate");
    if !rolling.is_set() {
        return rolling.required(errors, "");
    }
    let (unavailable, surge) = (rolling.get("maxUnavailable"), rolling.get("maxSurge"));
    number_or_percent(unavailable, errors);
    number_or_percent(surge, errors);
    at_most_all(unavailable, errors);
    at_most_all(surge, errors);
    match (amount(unavailable.value()) != 0, amount(surge.value()) != 0) {
        (true, true) => surge.invalid(errors, "may not be set when maxUnavailable is non-zero"),
        (false, false) => unavailable.required(errors, "cannot be 0 when maxSurge is 0"),
        _ => {}
    }
}
