//! SchedulingPolicies: components that take part in scheduling.

use super::super::columns::{Cell, Tabled};
use super::super::core::condition;
use super::super::rules::Rules;
use super::super::validation::checks::{not_negative, positive, required_named, required_text};
use super::super::validation::resources::quantity;
use super::super::validation::{At, FieldErrors};
use crate::resource::{HistoryClass, Resource};
use crate::strategy::Generation;
use sampan_api::names;
use sampan_api::scheduling::{GROUP, VERSION, condition::READY};
use serde_json::Value;
use std::collections::HashSet;

pub(super) fn row() -> Resource {
    Resource::new(GROUP, VERSION, "schedulingpolicies", "SchedulingPolicy")
        .cluster_scoped()
        .short_names(["sp"])
        .view("status")
        .history(HistoryClass::Ample)
        .strategy(RULES)
        .table(CELLS)
}

const RULES: Rules = Rules {
    validate: Some(|_, policy| {
        let mut errors = FieldErrors::default();
        spec(At::object(policy).get("spec"), &mut errors);
        errors
    }),
    generation: Generation::Spec,
    status_starts_empty: false,
    ..Rules::NONE
};

const CELLS: &[(&str, Cell)] = &[
    ("ready", |policy, _| {
        let ready = condition(policy, READY);
        let field = |name: &str| ready.and_then(|ready| ready.get(name)).and_then(Value::as_str);
        match (field("status"), field("reason")) {
            (None, _) => "Unknown".into(),
            (Some("False"), Some(reason)) if !reason.is_empty() => format!("False ({reason})").into(),
            (Some(status), _) => status.into(),
        }
    }),
    ("faults", |policy, _| {
        let faults = policy.get(&["status", "faults"]).and_then(Value::as_object);
        faults.into_iter().flatten().filter_map(|(_, count)| count.as_i64()).sum::<i64>().into()
    }),
];

const WEIGHT_MAX: i64 = 100;

fn spec(at: At<'_>, errors: &mut FieldErrors) {
    required_text(at.get("component"), errors);
    if at.get("policy").is_set() {
        required_named(at.get("policy"), errors, names::qualified_name);
    }
    let mut seen = HashSet::new();
    for point in at.get("points").items() {
        if !seen.insert(point.text()) {
            point.duplicate(errors);
        }
    }
    let weight = at.get("weight");
    if weight.opt_number().is_some_and(|weight| !(1..=WEIGHT_MAX).contains(&weight)) {
        weight.invalid(errors, format!("must be in the range 1-{WEIGHT_MAX}"));
    }
    let budget = at.get("budget");
    for limit in ["cpuMilliseconds", "wallMilliseconds"] {
        if budget.get(limit).is_set() {
            positive(budget.get(limit), errors);
        }
    }
    let memory = budget.get("memory");
    if memory.is_set() && !quantity(memory.value()).is_some_and(|size| !size.is_negative() && !size.is_zero()) {
        memory.invalid(errors, "must be a positive quantity of bytes");
    }
    not_negative(at.get("order"), errors);
    let fixtures = at.get("fixtures");
    for fixture in fixtures.items() {
        required_text(fixture.get("name"), errors);
        for part in ["pod", "node"] {
            if !fixture.get(part).is_set() {
                fixture.get(part).required(errors, "");
            }
        }
    }
}
