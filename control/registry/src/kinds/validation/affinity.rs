//! A pod's wishes about its node: node and pod affinity, tolerations, spreading.

use super::At;
use super::checks::{label_selector, named, one_of, positive};
use crate::strategy::Context;
use sampan_api::field::{FieldErrors, go_quote};
use sampan_api::names;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::num::IntErrorKind;

const DECIMAL: &str = "must be a valid decimal integer in canonical form";
const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
/// The field of the terms that a node or a place must meet.
pub(super) const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

pub(in crate::kinds) fn affinity(at: At<'_>, errors: &mut FieldErrors) {
    let node = at.get("nodeAffinity");
    if node.get(REQUIRED).is_set() {
        node_selector(node.get(REQUIRED), errors);
    }
    let preferred = node.get(PREFERRED);
    for term in preferred.items() {
        weight(term, errors);
        node_selector_term(term.get("preference"), false, errors);
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let pod = at.get(kind);
        let required = pod.get(REQUIRED);
        for term in required.items() {
            pod_term(term, errors);
        }
        let preferred = pod.get(PREFERRED);
        for term in preferred.items() {
            weight(term, errors);
            pod_term(term.get("podAffinityTerm"), errors);
        }
    }
}

fn weight(term: At<'_>, errors: &mut FieldErrors) {
    let weight = term.get("weight");
    if !(1..=100).contains(&weight.number()) {
        weight.invalid_as(errors, weight.number(), "must be in the range 1-100");
    }
}

pub(in crate::kinds) fn node_selector(at: At<'_>, errors: &mut FieldErrors) {
    let terms = at.get("nodeSelectorTerms");
    if terms.is_empty() {
        terms.required(errors, "must have at least one node selector term");
    }
    for term in terms.items() {
        node_selector_term(term, true, errors);
    }
}

fn node_selector_term(term: At<'_>, check_values: bool, errors: &mut FieldErrors) {
    let expressions = term.get("matchExpressions");
    for requirement in expressions.items() {
        let values = requirement.get("values");
        match requirement.get("operator").text() {
            "In" | "NotIn" if values.is_empty() => {
                values.required(errors, "must be specified when `operator` is 'In' or 'NotIn'");
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                values.forbidden(errors, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
            }
            "Gt" | "Lt" if values.len() != 1 => {
                values.required(errors, "must be specified single value when `operator` is 'Lt' or 'Gt'");
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
            operator => {
                requirement.get("operator").invalid_as(errors, operator, "not a valid selector operator");
            }
        }
        named(requirement.get("key"), errors, names::qualified_name);
        if check_values {
            for value in values.items() {
                named(value, errors, names::label_value);
            }
        }
    }
    let fields = term.get("matchFields");
    for requirement in fields.items() {
        let (key, values) = (requirement.get("key"), requirement.get("values"));
        match requirement.get("operator").text() {
            "In" | "NotIn" if values.len() != 1 => {
                values.required(
                    errors,
                    "must be only one value when `operator` is 'In' or 'NotIn' for node field selector",
                );
            }
            "In" | "NotIn" => {}
            operator => {
                requirement.get("operator").invalid_as(errors, operator, "not a valid selector operator");
            }
        }
        if key.text() == "metadata.name" {
            for value in values.items() {
                named(value, errors, names::dns1123_subdomain);
            }
        } else {
            key.invalid_as(errors, key.text(), "not a valid field selector key");
        }
    }
}

fn pod_term(term: At<'_>, errors: &mut FieldErrors) {
    label_selector(term.get("labelSelector"), errors);
    label_selector(term.get("namespaceSelector"), errors);
    let namespaces = term.get("namespaces");
    for namespace in namespaces.items() {
        // Kubernetes reports it beside the list.
        term.get("namespace").invalid_each_as(errors, namespace.text(), names::dns1123_label(namespace.text()));
    }
    label_keys(term, errors);
    let key = term.get("topologyKey");
    if key.is_empty() {
        key.required(errors, "can not be empty");
    }
    named(key, errors, names::qualified_name);
}

/// `matchLabelKeys` and `mismatchLabelKeys`: keys whose values are the pod's own.
fn label_keys(at: At<'_>, errors: &mut FieldErrors) {
    let selector = at.get("labelSelector");
    let (matched, mismatched) = (at.get("matchLabelKeys"), at.get("mismatchLabelKeys"));
    for keys in [&matched, &mismatched] {
        if !keys.is_empty() && !selector.is_set() {
            keys.forbidden(errors, "must not be specified when labelSelector is not set");
            continue;
        }
        for key in keys.items() {
            named(key, errors, names::qualified_name);
        }
    }
    // The server itself adds one expression a key: a second requirement on it is the user's.
    let labels = selector.get("matchLabels");
    let mut seen: HashSet<String> = labels.entries().map(|(key, _)| key.to_owned()).collect();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (index, key) in matched.texts().into_iter().enumerate() {
        places.entry(key).or_insert(index);
    }
    let expressions = selector.get("matchExpressions");
    for expression in expressions.items() {
        let key = expression.get("key").text().to_owned();
        if let Some(index) = places.get(key.as_str()).filter(|_| seen.contains(&key)) {
            at.index(*index).invalid_as(errors, key.as_str(), "exists in both matchLabelKeys and labelSelector");
        }
        seen.insert(key);
    }
    let others: HashSet<&str> = mismatched.texts().into_iter().collect();
    for key in matched.items() {
        if others.contains(key.text()) {
            key.invalid(errors, "exists in both matchLabelKeys and mismatchLabelKeys");
        }
    }
}

/// Whether tolerations may compare numbers: `Lt` and `Gt`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::kinds) enum Comparing {
    Allowed,
    Refused,
}

impl Comparing {
    /// Allowed by the feature, and where tolerations of the spec before compare already.
    pub(in crate::kinds) fn of(ctx: &Context<'_>, old_spec: Option<&Value>) -> Self {
        let compares = |one: &Value| one["operator"] == "Lt" || one["operator"] == "Gt";
        let old = old_spec.and_then(|spec| spec.get("tolerations")?.as_array());
        match old.is_some_and(|old| old.iter().any(compares)) || ctx.gates.enabled("TaintTolerationComparisonOperators")
        {
            true => Self::Allowed,
            false => Self::Refused,
        }
    }
}

/// A number that a toleration compares by.
fn compared(value: At<'_>, errors: &mut FieldErrors) {
    let text = value.text();
    let digits = text.strip_prefix('-').unwrap_or(text);
    let decimal = text == "0" || (!digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()));
    if text.is_empty() {
        value.invalid_as(errors, text, "must be non-empty");
    } else if digits.is_empty() || !decimal {
        value.invalid_as(errors, text, DECIMAL);
    }
    match text.parse::<i64>().map_err(|error| *error.kind()) {
        Ok(_) => {}
        Err(IntErrorKind::PosOverflow | IntErrorKind::NegOverflow) => {
            value.invalid_as(errors, text, format!("strconv.ParseInt: parsing {}: value out of range", go_quote(text)));
        }
        Err(_) => {
            value.invalid_as(errors, text, format!("strconv.ParseInt: parsing {}: invalid syntax", go_quote(text)))
        }
    }
}

pub(in crate::kinds) fn tolerations(list: At<'_>, comparing: Comparing, errors: &mut FieldErrors) {
    for toleration in list.items() {
        let (key, operator) = (toleration.get("key"), toleration.get("operator"));
        let (value, effect) = (toleration.get("value"), toleration.get("effect"));
        if !key.is_empty() {
            named(key, errors, names::qualified_name);
        } else if operator.text() != "Exists" {
            operator.invalid_as(
                errors,
                operator.text(),
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
            );
        }
        if toleration.get("tolerationSeconds").is_set() && effect.text() != "NoExecute" {
            effect.invalid_as(errors, effect.text(), "effect must be 'NoExecute' when `tolerationSeconds` is set");
        }
        match operator.text() {
            "Equal" | "" => {
                let messages = names::label_value(value.text());
                if !messages.is_empty() {
                    operator.invalid_as(errors, value.text(), messages.join(";"));
                }
            }
            "Exists" => {
                if !value.is_empty() {
                    operator.invalid_as(errors, value.text(), "value must be empty when `operator` is 'Exists'");
                }
            }
            "Lt" | "Gt" if comparing == Comparing::Allowed => compared(value, errors),
            "Lt" | "Gt" => operator.not_supported(errors, &["Equal", "Exists", "Lt", "Gt"]),
            _ => operator.not_supported(errors, &["Equal", "Exists"]),
        }
        if !effect.is_empty() {
            one_of(effect, errors, &EFFECTS);
        }
    }
}

/// A node's taint effect.
pub(in crate::kinds) fn taint_effect(at: At<'_>, errors: &mut FieldErrors) {
    super::checks::required_one_of(at, errors, &EFFECTS);
}

pub(in crate::kinds) fn spread(list: At<'_>, errors: &mut FieldErrors) {
    const ACTIONS: [&str; 2] = ["DoNotSchedule", "ScheduleAnyway"];
    let pair = |constraint: &At<'_>| {
        let (key, action) = (constraint.get("topologyKey"), constraint.get("whenUnsatisfiable"));
        (key.text().to_owned(), action.text().to_owned())
    };
    // Kubernetes reports each but the last of the same.
    let last: HashMap<(String, String), usize> =
        list.items().enumerate().map(|(index, constraint)| (pair(&constraint), index)).collect();
    for (index, constraint) in list.items().enumerate() {
        positive(constraint.get("maxSkew"), errors);
        let (key, action) = (constraint.get("topologyKey"), constraint.get("whenUnsatisfiable"));
        if key.is_empty() {
            key.required(errors, "can not be empty");
        }
        if !ACTIONS.contains(&action.text()) {
            action.not_supported(errors, &ACTIONS);
        }
        if last.get(&pair(&constraint)).is_some_and(|last| *last > index) {
            let pair = format!("{{{}, {}}}", key.text(), action.text());
            constraint.get("{topologyKey, whenUnsatisfiable}").duplicate_as(errors, pair);
        }
        let domains = constraint.get("minDomains");
        if domains.is_set() {
            positive(domains, errors);
            if action.text() != "DoNotSchedule" {
                let detail =
                    format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {}", action.text());
                domains.invalid(errors, detail);
            }
        }
        one_of(constraint.get("nodeAffinityPolicy"), errors, &["Honor", "Ignore"]);
        one_of(constraint.get("nodeTaintsPolicy"), errors, &["Honor", "Ignore"]);
        label_keys(constraint, errors);
        label_selector(constraint.get("labelSelector"), errors);
    }
}
