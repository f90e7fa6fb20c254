//! ResourceQuotas: the bounds of a namespace's use of resources.

use super::super::columns::{Cell, Tabled, plain};
use super::super::rules::Rules;
use super::super::validation::resources::{
    is_standard_for_containers, is_standard_quota, resource_name, resource_quantity,
};
use super::super::validation::{At, FieldErrors};
use crate::resource::Resource;
use sampan_api::field::BadValue;
use sampan_api::object::Object;
use serde_json::Value;
use std::collections::HashSet;

pub(super) fn row() -> Resource {
    Resource::new("", "v1", "resourcequotas", "ResourceQuota")
        .short_names(["quota"])
        .view("status")
        .strategy(RULES)
        .table(CELLS)
}

const RULES: Rules = Rules {
    returns_deleted_object: true,
    validate: Some(|_, object| {
        let mut errors = FieldErrors::default();
        spec(At::object(object).get("spec"), &mut errors);
        errors
    }),
    validate_update: Some(|ctx, object, old| {
        let mut errors = FieldErrors::default();
        let (at, old) = (At::object(object), At::object(old));
        if ctx.subresource == "status" {
            let status = at.get("status");
            amounts(status.get("hard"), &mut errors);
            amounts(status.get("used"), &mut errors);
            return errors;
        }
        spec(at.get("spec"), &mut errors);
        let (new_spec, old_spec) = (at.get("spec"), old.get("spec"));
        let sorted = |spec: &At<'_>| {
            let mut scopes: Vec<String> = spec.get("scopes").texts().into_iter().map(str::to_owned).collect();
            scopes.sort();
            scopes
        };
        if sorted(&new_spec) != sorted(&old_spec) {
            new_spec.get("scopes").invalid(&mut errors, super::super::validation::checks::IMMUTABLE);
        }
        errors
    }),
    ..Rules::NONE
};

const CELLS: &[(&str, Cell)] =
    &[("requests", |quota, _| usage(quota, false).into()), ("limits", |quota, _| usage(quota, true).into())];

/// `resource: used/hard` of what is limited (`limits.*`) or of all the rest.
fn usage(quota: &Object, limits: bool) -> String {
    let hard = quota.get(&["status", "hard"]).and_then(Value::as_object);
    let of_column = hard.into_iter().flatten().filter(|(name, _)| name.starts_with("limits.") == limits);
    let texts = of_column.map(|(name, hard)| {
        let used = quota.get(&["status", "used", name]).map_or_else(|| "0".to_owned(), plain);
        format!("{name}: {used}/{}", plain(hard))
    });
    texts.collect::<Vec<_>>().join(", ")
}

const BEST_EFFORT: &str = "BestEffort";
const VOLUMES: &str = "VolumeAttributesClass";
const SCOPES: [&str; 7] = [
    "Terminating",
    "NotTerminating",
    BEST_EFFORT,
    "NotBestEffort",
    "PriorityClass",
    "CrossNamespacePodAffinity",
    VOLUMES,
];
const CONFLICTING: [[&str; 2]; 2] = [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]];

fn amounts(list: At<'_>, errors: &mut FieldErrors) {
    for (name, amount) in list.entries() {
        resource_name(amount, name, errors);
        if !name.contains('/') && !is_standard_quota(name) {
            amount.invalid_as(errors, name, "must be a standard resource for quota");
        }
        resource_quantity(amount, name, errors);
    }
}

/// Whether objects of a scope use the resource.
fn scope_covers(scope: &str, resource: &str) -> bool {
    let claims = resource == "requests.storage" || resource == "persistentvolumeclaims";
    match scope {
        BEST_EFFORT => resource == "pods",
        VOLUMES => claims,
        _ => {
            resource == "pods"
                || is_standard_for_containers(resource.trim_start_matches("requests.").trim_start_matches("limits."))
        }
    }
}

fn spec(at: At<'_>, errors: &mut FieldErrors) {
    amounts(at.get("hard"), errors);
    let (scopes, hard) = (at.get("scopes"), at.get("hard"));
    let listed = scopes.texts();
    // Number of the resources that each scope leaves out: all scopes but the named ones leave out the same.
    let uncovered = |scope: &str| {
        hard.entries().filter(|(resource, _)| is_standard_quota(resource) && !scope_covers(scope, resource)).count()
    };
    let (best_effort, volumes, others) = (uncovered(BEST_EFFORT), uncovered(VOLUMES), uncovered(SCOPES[0]));
    let left_out = |scope: &str| match scope {
        BEST_EFFORT => best_effort,
        VOLUMES => volumes,
        _ if SCOPES.contains(&scope) => others,
        // One that is none is told as such.
        _ => 0,
    };
    for &scope in &listed {
        if !SCOPES.contains(&scope) {
            scopes.invalid(errors, "unsupported scope");
        }
        for _ in 0..left_out(scope) {
            if errors.is_full() {
                break;
            }
            scopes.invalid(errors, "unsupported scope applied to resource");
        }
    }
    for pair in CONFLICTING {
        if pair.iter().all(|scope| listed.contains(scope)) {
            scopes.invalid(errors, "conflicting scopes");
        }
    }
    let selector = at.get("scopeSelector");
    let expressions = selector.get("matchExpressions");
    for expression in expressions.items() {
        let scope = expression.get("scopeName").text();
        if !SCOPES.contains(&scope) {
            expressions.get("scopeName").invalid_as(errors, scope, "unsupported scope");
        }
        for _ in 0..left_out(scope) {
            if errors.is_full() {
                break;
            }
            let shown = BadValue::Raw(selector_in_go_order(expressions));
            expressions.invalid_as(errors, shown, "unsupported scope applied to resource");
        }
        requirement(expressions, expression, errors);
    }
    let selected: HashSet<&str> =
        expressions.value().as_array().into_iter().flatten().filter_map(|one| one.get("scopeName")?.as_str()).collect();
    for pair in CONFLICTING {
        if pair.iter().all(|scope| selected.contains(scope)) {
            expressions.invalid_as(errors, scopes.value(), "conflicting scopes");
        }
    }
}

/// The operator of an expression, and how many values it has. Told of the list, as in Kubernetes.
fn requirement(expressions: At<'_>, expression: At<'_>, errors: &mut FieldErrors) {
    let (scope, operator) = (expression.get("scopeName").text(), expression.get("operator").text());
    let (told, values) = (expressions.get("operator"), expression.get("values"));
    if SCOPES.contains(&scope) && !matches!(scope, "PriorityClass" | VOLUMES) && operator != "Exists" {
        told.invalid_as(errors, operator, "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity");
    }
    let counted = expressions.get("values");
    match operator {
        "In" | "NotIn" if values.is_empty() => {
            counted.required(errors, "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector")
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => counted.invalid_as(
            errors,
            values.value(),
            "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector",
        ),
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        _ => told.invalid_as(errors, operator, "not a valid selector operator"),
    }
}

/// Go prints the struct, in its own order.
fn selector_in_go_order(expressions: At<'_>) -> String {
    let one = |expression: At<'_>| {
        let text = |name: &str| Value::from(expression.get(name).text());
        let values = expression.get("values").value();
        format!("{{\"ScopeName\":{},\"Operator\":{},\"Values\":{values}}}", text("scopeName"), text("operator"))
    };
    let all: Vec<String> = expressions.items().map(one).collect();
    format!("{{\"MatchExpressions\":[{}]}}", all.join(","))
}
