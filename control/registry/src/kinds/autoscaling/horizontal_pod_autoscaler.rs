//! HorizontalPodAutoscalers. `autoscaling/v2` is stored.

use super::super::columns::{Cell, Tabled, plain};
use super::super::rules::Rules;
use super::super::validation::checks::{not_negative, required_named};
use super::super::validation::resources::{container_resource_name, quantity};
use super::super::validation::{At, FieldErrors};
use super::v1;
use crate::resource::Resource;
use sampan_api::meta::GroupVersionResource;
use sampan_api::object::Object;
use sampan_schema::gates::Gates;
use serde_json::{Value, json};

const GROUP: &str = "autoscaling";
const RESOURCE: &str = "horizontalpodautoscalers";
const KIND: &str = "HorizontalPodAutoscaler";
pub(super) fn row() -> Resource {
    Resource::new(GROUP, "v2", RESOURCE, KIND)
        .short_names(["hpa"])
        .categories(["all"])
        .view("status")
        .strategy(RULES)
        .table(CELLS)
}

pub(super) fn v1_row() -> Resource {
    Resource::new(GROUP, "v1", RESOURCE, KIND)
        .short_names(["hpa"])
        .categories(["all"])
        .view("status")
        .strategy(RULES)
        .stored_as(GroupVersionResource::new(GROUP, "v2", RESOURCE), v1::to_v2, v1::from_v2)
        .table(CELLS)
}

const RULES: Rules = Rules {
    prepare_for_create: Some(|_, object| {
        object.set(&["status"], json!({"currentMetrics": null, "desiredReplicas": 0}))
    }),
    validate: Some(|ctx, object| {
        let mut errors = FieldErrors::default();
        spec(At::object(object).get("spec"), least_replicas(ctx.gates, None), &mut errors);
        errors
    }),
    validate_update: Some(|ctx, object, old| {
        let mut errors = FieldErrors::default();
        // A write to the status leaves the spec as it was.
        if ctx.subresource.is_empty() {
            spec(At::object(object).get("spec"), least_replicas(ctx.gates, Some(old)), &mut errors);
        }
        errors
    }),
    ..Rules::NONE
};

const CELLS: &[(&str, Cell)] = &[
    ("reference", |object, _| {
        let field = |name: &str| object.get_str(&["spec", "scaleTargetRef", name]).unwrap_or("");
        format!("{}/{}", field("kind"), field("name")).into()
    }),
    ("targets", |object, _| {
        if object.api_version().ends_with("/v1") {
            let mut object = object.clone();
            v1::to_v2(&mut object);
            return targets(&object).into();
        }
        targets(object).into()
    }),
    ("min-pods", |object, _| {
        object.get(&["spec", "minReplicas"]).map_or_else(|| "<unset>".into(), |min| plain(min).into())
    }),
];

/// Metrics that are shown before the rest is only counted.
const TARGETS_SHOWN: usize = 2;

fn targets(object: &Object) -> String {
    let list = |path: &[&str]| object.get(path).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let (specs, statuses) = (list(&["spec", "metrics"]), list(&["status", "currentMetrics"]));
    if specs.is_empty() {
        return "<none>".to_owned();
    }
    let texts: Vec<String> = specs
        .iter()
        .enumerate()
        .map(|(index, spec)| target(spec, statuses.get(index).unwrap_or(&Value::Null)))
        .collect();
    match texts.len().checked_sub(TARGETS_SHOWN) {
        None | Some(0) => texts.join(", "),
        Some(more) => format!("{} + {more} more...", texts[..TARGETS_SHOWN].join(", ")),
    }
}

fn target(spec: &Value, status: &Value) -> String {
    let source = match spec["type"].as_str().unwrap_or("") {
        "External" => "external",
        "Pods" => "pods",
        "Object" => "object",
        "Resource" => "resource",
        "ContainerResource" => "containerResource",
        _ => return "<unknown type>".to_owned(),
    };
    let (wanted, current) = (&spec[source]["target"], &status[source]["current"]);
    let shown = |value: &Value, unit: &str| match value {
        Value::Null => None,
        value => Some(format!("{}{unit}", plain(value))),
    };
    let unknown = || "<unknown>".to_owned();
    let average = shown(&current["averageValue"], "");
    match source {
        "resource" | "containerResource" => {
            let name = spec[source]["name"].as_str().unwrap_or("");
            match shown(&wanted["averageValue"], "") {
                Some(wanted) => format!("{name}: {}/{wanted}", average.unwrap_or_else(unknown)),
                None => format!(
                    "{name}: {}/{}",
                    shown(&current["averageUtilization"], "%").unwrap_or_else(unknown),
                    shown(&wanted["averageUtilization"], "%").unwrap_or_else(|| "<auto>".to_owned())
                ),
            }
        }
        "pods" => format!("{}/{}", average.unwrap_or_else(unknown), plain(&wanted["averageValue"])),
        _ => match shown(&wanted["averageValue"], "") {
            Some(wanted) => format!("{}/{wanted} (avg)", average.unwrap_or_else(unknown)),
            None => format!("{}/{}", shown(&current["value"], "").unwrap_or_else(unknown), plain(&wanted["value"])),
        },
    }
}

const SOURCES: [&str; 5] = ["object", "external", "pods", "resource", "containerResource"];
const TYPES: [&str; 5] = ["ContainerResource", "External", "Object", "Pods", "Resource"];
const WINDOW_SECONDS_MAX: i64 = 3600;
const PERIOD_SECONDS_MAX: i64 = 1800;
const UNSET: &str = "must populate information for the given metric source";

/// The least that `minReplicas` may be: what an old object has stays allowed while the feature is off.
fn least_replicas(gates: &Gates, old: Option<&Object>) -> i64 {
    let before = old.and_then(|old| old.get(&["spec", "minReplicas"])).and_then(Value::as_i64);
    if before == Some(0) || gates.enabled("HPAScaleToZero") { 0 } else { 1 }
}

fn spec(at: At<'_>, least: i64, errors: &mut FieldErrors) {
    let (min, max) = (at.get("minReplicas"), at.get("maxReplicas"));
    if min.opt_number().is_some_and(|min| min < least) {
        min.invalid(errors, format!("must be greater than or equal to {least}"));
    }
    if max.number() < 1 {
        max.invalid_as(errors, max.number(), "must be greater than 0");
    }
    if min.opt_number().is_some_and(|min| max.number() < min) {
        max.invalid_as(errors, max.number(), "must be greater than or equal to `minReplicas`");
    }
    scaled(at.get("scaleTargetRef"), errors);
    let metrics = at.get("metrics");
    for metric in metrics.items() {
        check_metric(metric, errors);
    }
    let scales_on = |wanted: &str| metrics.items().any(|metric| metric.get("type").text() == wanted);
    if min.opt_number() == Some(0) && !scales_on("Object") && !scales_on("External") {
        metrics.forbidden(
            errors,
            "must specify at least one Object or External metric to support scaling to zero replicas",
        );
    }
    let behavior = at.get("behavior");
    for direction in ["scaleUp", "scaleDown"] {
        scaling(behavior.get(direction), errors);
    }
}

/// A reference to an object of any kind.
fn reference(at: At<'_>, errors: &mut FieldErrors) {
    required_named(at.get("kind"), errors, sampan_api::names::path_segment);
    required_named(at.get("name"), errors, sampan_api::names::path_segment);
}

/// The object that is scaled: core has no kind but one that can be.
fn scaled(at: At<'_>, errors: &mut FieldErrors) {
    reference(at, errors);
    let version = at.get("apiVersion");
    let grouped = version.text().split_once('/').is_some_and(|(group, _)| !group.is_empty());
    if version.text().matches('/').count() > 1 {
        return version.invalid_as(
            errors,
            version.text(),
            format!("unexpected GroupVersion string: {}", version.text()),
        );
    }
    if !grouped && at.get("kind").text() != "ReplicationController" {
        version.invalid_as(errors, version.text(), "apiVersion must specify API group");
    }
}

fn check_metric(at: At<'_>, errors: &mut FieldErrors) {
    let type_ = at.get("type");
    if type_.is_empty() {
        type_.required(errors, "must specify a metric source type");
    }
    if !TYPES.contains(&type_.text()) {
        type_.not_supported(errors, &TYPES);
    }
    let present: Vec<&str> = SOURCES.into_iter().filter(|source| at.get(source).is_set()).collect();
    if let Some(first) = present.first() {
        metric_source(at.get(first), first, errors);
    }
    let expected = SOURCES.into_iter().find(|source| source.eq_ignore_ascii_case(type_.text()));
    match expected {
        Some(source) if !at.get(source).is_set() => at.get(source).required(errors, UNSET),
        Some(_) => {}
        None => type_.not_supported(errors, &TYPES),
    }
    if present.len() != 1 {
        for other in present.into_iter().filter(|source| Some(*source) != expected) {
            at.get(other).forbidden(errors, "must populate the given metric source only");
        }
    }
}

fn metric_source(at: At<'_>, source: &str, errors: &mut FieldErrors) {
    let target = at.get("target");
    if matches!(source, "resource" | "containerResource") && at.get("name").is_empty() {
        at.get("name").required(errors, "must specify a resource name");
    }
    if source == "containerResource" {
        let (name, container) = (at.get("name"), at.get("container"));
        if !name.is_empty() {
            container_resource_name(name, name.text(), errors);
        }
        match container.is_empty() {
            true => container.required(errors, "must specify a container"),
            false => container.invalid_each(errors, sampan_api::names::dns1123_label(container.text())),
        }
    }
    if matches!(source, "object" | "pods" | "external") {
        if source == "object" {
            reference(at.get("describedObject"), errors);
        }
        let metric = at.get("metric");
        let name = metric.get("name");
        match name.is_empty() {
            true => name.required(errors, "must specify a metric name"),
            false => name.invalid_each(errors, sampan_api::names::path_segment(name.text())),
        }
    }
    let type_ = target.get("type");
    if type_.is_empty() {
        type_.required(errors, "must specify a metric target type");
    }
    if !matches!(type_.text(), "Utilization" | "Value" | "AverageValue") {
        type_.invalid_as(errors, type_.text(), "must be either Utilization, Value, or AverageValue");
    }
    for name in ["value", "averageValue"] {
        let amount = target.get(name);
        if quantity(amount.value()).is_some_and(|amount| amount.is_zero() || amount.is_negative()) {
            amount.invalid(errors, "must be positive");
        }
    }
    let utilization = target.get("averageUtilization");
    if utilization.opt_number().is_some_and(|percent| percent < 1) {
        utilization.invalid(errors, "must be greater than 0");
    }
    let (value, average) = (target.get("value"), target.get("averageValue"));
    match source {
        "resource" | "containerResource" => match (utilization.is_set(), average.is_set()) {
            (false, false) => {
                utilization.required(errors, "must set either a target raw value or a target utilization");
            }
            (true, true) => average.forbidden(errors, "may not set both a target raw value and a target utilization"),
            _ => {}
        },
        "pods" if !average.is_set() => average.required(errors, "must specify a positive target averageValue"),
        "object" if !average.is_set() && !value.is_set() => {
            average.required(errors, "must set either a target value or averageValue");
        }
        "external" if !average.is_set() && !value.is_set() => {
            average.required(errors, "must set either a target value for metric or a per-pod target");
        }
        "external" if average.is_set() && value.is_set() => {
            value.forbidden(errors, "may not set both a target value for metric and a per-pod target");
        }
        _ => {}
    }
}

fn scaling(at: At<'_>, errors: &mut FieldErrors) {
    if !at.is_set() {
        return;
    }
    let window = at.get("stabilizationWindowSeconds");
    if window.number() < 0 {
        window.invalid(errors, "must be greater than or equal to zero");
    }
    if window.number() > WINDOW_SECONDS_MAX {
        window.invalid(errors, format!("must be less than or equal to {WINDOW_SECONDS_MAX}"));
    }
    super::super::validation::checks::one_of(at.get("selectPolicy"), errors, &["Disabled", "Max", "Min"]);
    let policies = at.get("policies");
    if policies.is_empty() {
        policies.required(errors, "must specify at least one Policy");
    }
    for policy in policies.items() {
        let (type_, value, period) = (policy.get("type"), policy.get("value"), policy.get("periodSeconds"));
        if !matches!(type_.text(), "Percent" | "Pods") {
            type_.not_supported(errors, &["Percent", "Pods"]);
        }
        super::super::validation::checks::positive(value, errors);
        super::super::validation::checks::positive(period, errors);
        if period.number() > PERIOD_SECONDS_MAX {
            period.invalid(errors, format!("must be less than or equal to {PERIOD_SECONDS_MAX}"));
        }
    }
    not_negative(at.get("tolerance"), errors);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_autoscaler_that_scales_to_zero_may_go_on() {
        let check = |before: Option<Value>, expected: i64| {
            let old = before.map(|spec| Object::from_value(json!({"spec": spec})).expect("an object"));
            assert_eq!(least_replicas(&Gates::default(), old.as_ref()), expected);
        };
        check(None, 1);
        check(Some(json!({})), 1);
        check(Some(json!({"minReplicas": 1})), 1);
        check(Some(json!({"minReplicas": 0})), 0);
    }
}
