//! The common fields of pods' controllers: a selector, a template that it selects, and counted replicas.

use super::At;
use super::checks::{
    at_most_all, immutable, label_selector, not_negative, number_or_percent, ordered, percent, selector_as_go,
    selector_is_usable, selects,
};
use super::pod_spec;
use crate::strategy::Context;
use sampan_api::field::FieldErrors;
use sampan_api::object::Object;
use serde_json::Value;

const MISMATCH: &str = "`selector` does not match template `labels`";

/// The checks of a kind whose spec makes pods: of its spec, new or changed, and of the counters in its status.
pub(in crate::kinds) struct Workload {
    /// Everything wrong with the spec of the object; `old`: as it was before this update of it.
    pub spec: fn(ctx: &Context<'_>, object: &Object, old: Option<&Object>, errors: &mut FieldErrors),
    /// The status' numbers: none is negative.
    pub counters: &'static [&'static str],
    /// Those of them that are at most `replicas`.
    pub bounded: &'static [&'static str],
    /// The name of the number of ready replicas in a refusal.
    pub ready: &'static str,
}

impl Workload {
    pub(in crate::kinds) fn validate(&self, ctx: &Context<'_>, object: &Object) -> FieldErrors {
        let mut errors = FieldErrors::default();
        (self.spec)(ctx, object, None, &mut errors);
        errors
    }

    pub(in crate::kinds) fn validate_update(&self, ctx: &Context<'_>, object: &Object, old: &Object) -> FieldErrors {
        let mut errors = FieldErrors::default();
        if ctx.subresource == "status" {
            counted_status(At::object(object).get("status"), self.counters, self.bounded, self.ready, &mut errors);
        } else {
            (self.spec)(ctx, object, Some(old), &mut errors);
        }
        errors
    }
}

/// A required selector that selects something. `what`: as the refusal of an empty one names the kind.
pub(in crate::kinds) fn replica_selector(at: At<'_>, what: &str, errors: &mut FieldErrors) {
    if !at.is_set() {
        at.required(errors, "");
        return;
    }
    label_selector(at, errors);
    if at.get("matchLabels").is_empty() && at.get("matchExpressions").is_empty() {
        at.invalid_as(errors, selector_as_go(at.value()), format!("empty selector is invalid for {what}"));
    }
}

/// The template in the spec of an object that makes pods, as it was before.
pub(in crate::kinds) fn template_before(old: Option<&Object>) -> Option<&Value> {
    old?.get(&["spec", "template"])
}

/// The template of a kind whose pods always restart, over that of `old`. `text`: of a selector that is no query; `kind`: in
/// the messages.
pub(in crate::kinds) fn selected_template(
    ctx: &Context<'_>,
    spec: At<'_>,
    old: Option<&Object>,
    text: &str,
    kind: &str,
    errors: &mut FieldErrors,
) {
    let selector = spec.get("selector");
    if selector.is_set() && !selector_is_usable(selector.value()) {
        selector.invalid_as(errors, selector_as_go(selector.value()), text);
        return;
    }
    labels_match(spec, errors);
    let template = spec.get("template");
    pod_spec::template(ctx, template, template_before(old), errors);
    always_restarting(template, kind, errors);
}

pub(in crate::kinds) fn labels_match(spec: At<'_>, errors: &mut FieldErrors) {
    let selector = spec.get("selector");
    let template = spec.get("template");
    let metadata = template.get("metadata");
    let labels = metadata.get("labels");
    // A selector that is missing selects nothing, an empty one everything.
    if !selector.is_set() || (selector_is_usable(selector.value()) && !selects(selector.value(), labels.value())) {
        labels.invalid(errors, MISMATCH);
    }
}

pub(in crate::kinds) fn always_restarting(template: At<'_>, kind: &str, errors: &mut FieldErrors) {
    let spec = template.get("spec");
    let restart = spec.get("restartPolicy");
    if restart.text() != "Always" {
        restart.not_supported(errors, &["Always"]);
    }
    if spec.get("activeDeadlineSeconds").is_set() {
        spec.get("activeDeadlineSeconds")
            .forbidden(errors, format!("activeDeadlineSeconds in {kind} is not Supported"));
    }
}

/// A status of counters: none negative, none of `bounded` above the replicas. `ready`: how ready replicas are named.
fn counted_status(status: At<'_>, counters: &[&str], bounded: &[&str], ready: &str, errors: &mut FieldErrors) {
    for counter in counters {
        not_negative(status.get(counter), errors);
    }
    let replicas = status.get("replicas").number();
    for counter in bounded {
        let counter = status.get(counter);
        if counter.number() > replicas {
            counter.invalid_as(errors, counter.number(), "cannot be greater than status.replicas");
        }
    }
    let available = status.get("availableReplicas");
    if available.number() > status.get("readyReplicas").number() {
        available.invalid(errors, format!("cannot be greater than {ready}"));
    }
}

/// A selector that may not change.
pub(in crate::kinds) fn selector_immutable(spec: At<'_>, old: At<'_>, errors: &mut FieldErrors) {
    let (new, old) = (spec.get("selector"), old.get("selector"));
    if new.value() != old.value() {
        new.invalid_as(errors, selector_as_go(new.value()), super::checks::IMMUTABLE);
    }
}

/// Checks a Deployment's strategy.
pub(in crate::kinds) fn deployment_strategy(at: At<'_>, errors: &mut FieldErrors) {
    let rolling = at.get("rollingUpdate");
    match at.get("type").text() {
        "Recreate" => {
            if rolling.is_set() {
                rolling.forbidden(errors, "may not be specified when strategy `type` is 'Recreate'");
            }
        }
        "RollingUpdate" => {
            if !rolling.is_set() {
                rolling.required(errors, "this should be defaulted and never be nil");
                return;
            }
            let (unavailable, surge) = (rolling.get("maxUnavailable"), rolling.get("maxSurge"));
            number_or_percent(unavailable, errors);
            number_or_percent(surge, errors);
            if amount(unavailable.value()) == 0 && amount(surge.value()) == 0 {
                unavailable.invalid(errors, "may not be 0 when `maxSurge` is 0");
            }
            at_most_all(unavailable, errors);
        }
        _ => at.not_supported_as(errors, strategy_as_go(at.value()), &["Recreate", "RollingUpdate"]),
    }
}

/// A number, or the number of a percentage; anything else is nothing.
pub(in crate::kinds) fn amount(value: &Value) -> i64 {
    value.as_i64().or_else(|| value.as_str().and_then(percent)).unwrap_or(0)
}

/// Go prints its own struct, which has no JSON names.
pub(in crate::kinds) fn strategy_as_go(strategy: &Value) -> sampan_api::field::BadValue {
    let rolling = strategy.get("rollingUpdate");
    let rolling = rolling.and_then(Value::as_object).map_or(Value::Null, |rolling| {
        let field = |name: &str| rolling.get(name).cloned().unwrap_or(Value::Null);
        serde_json::json!({"MaxUnavailable": field("maxUnavailable"), "MaxSurge": field("maxSurge")})
    });
    let value = serde_json::json!({"Type": strategy.get("type"), "RollingUpdate": rolling});
    ordered(&value, &["Type", "RollingUpdate", "MaxUnavailable", "MaxSurge"])
}

/// A field of the spec that may not change.
pub(in crate::kinds) fn fixed(spec: At<'_>, old: At<'_>, fields: &[&str], errors: &mut FieldErrors) {
    for field in fields {
        immutable(spec.get(field), old.get(field), errors);
    }
}
