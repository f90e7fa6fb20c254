//! FlowSchemas: the assignment of requests to priority levels.

use super::super::columns::{Cell, Tabled};
use super::super::core::condition;
use super::super::rules::Rules;
use super::super::validation::checks::{Facts, facts, ordered};
use super::super::validation::{At, FieldErrors};
use crate::resource::Resource;
use crate::strategy::{Generation, MetadataOfUpdate};
use sampan_api::names;
use sampan_api::object::Object;
use serde_json::{Value, json};

pub(super) fn row() -> Resource {
    Resource::new("flowcontrol.apiserver.k8s.io", "v1", "flowschemas", "FlowSchema")
        .cluster_scoped()
        .view("status")
        .resets("status", &[&["metadata"], &["spec"]])
        .strategy(RULES)
        .table(CELLS)
        .rows_in_order_of(|schema| {
            schema.get(&["spec", "matchingPrecedence"]).and_then(Value::as_i64).unwrap_or_default()
        })
}

const RULES: Rules = Rules {
    metadata_of_update: Some(MetadataOfUpdate::Creation),
    validate: Some(|_, schema| {
        let mut errors = FieldErrors::default();
        check(schema, &mut errors);
        errors
    }),
    generation: Generation::Spec,
    ..Rules::NONE
};

const CELLS: &[(&str, Cell)] = &[("dangling", |schema, _| {
    let dangling = condition(schema, "Dangling").and_then(|condition| condition.get("status"));
    dangling.and_then(Value::as_str).unwrap_or("?").into()
})];

static SUBJECTS: Facts = Facts::new(|| facts("flowcontrol/v1.PolicyRulesWithSubjects", "subjects"));
const EXEMPT: &str = "exempt";
/// Ordered as an error lists them.
const VERBS: [&str; 9] = ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];

fn check(schema: &Object, errors: &mut FieldErrors) {
    let at = At::object(schema);
    let spec = at.get("spec");
    let precedence = spec.get("matchingPrecedence");
    if precedence.number() == 1 && schema.name() != EXEMPT {
        precedence.invalid(errors, "only the schema named 'exempt' may have matchingPrecedence 1");
    }
    for rule in spec.get("rules").items() {
        SUBJECTS.check(rule, errors);
        let (resources, paths) = (rule.get("resourceRules"), rule.get("nonResourceRules"));
        if resources.is_empty() && paths.is_empty() {
            rule.required(errors, "at least one of resourceRules and nonResourceRules has to be non-empty");
        }
        resources.items().for_each(|rule| resource_rule(rule, errors));
        paths.items().for_each(|rule| path_rule(rule, errors));
    }
    if mandatory(schema.name()).is_some_and(|fixed| fixed != *spec.value()) {
        spec.invalid_as(
            errors,
            ordered(spec.value(), &[]),
            format!("spec of '{}' must equal the fixed value", schema.name()),
        );
    }
}

/// The spec that a schema of this name must have: the two without which requests would have no place.
fn mandatory(name: &str) -> Option<Value> {
    let (precedence, method, groups) = match name {
        EXEMPT => (1, None, &["system:masters"][..]),
        "catch-all" => (10_000, Some("ByUser"), &["system:unauthenticated", "system:authenticated"][..]),
        _ => return None,
    };
    let subjects: Vec<Value> = groups.iter().map(|group| json!({"kind": "Group", "group": {"name": group}})).collect();
    let mut spec = json!({
        "matchingPrecedence": precedence,
        "priorityLevelConfiguration": {"name": name},
        "rules": [{
            "subjects": subjects,
            "resourceRules": [
                {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true, "namespaces": ["*"]},
            ],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        }],
    });
    if let Some(method) = method {
        spec["distinguisherMethod"] = json!({"type": method});
    }
    Some(spec)
}

fn is_all(list: At<'_>) -> bool {
    list.texts().contains(&"*")
}

fn verbs(list: At<'_>, errors: &mut FieldErrors) {
    if list.is_empty() {
        list.required(errors, "verbs must contain at least one value");
    } else if is_all(list) {
        if list.len() > 1 {
            list.invalid(errors, "if '*' is present, must not specify other verbs");
        }
    } else if list.texts().iter().any(|verb| !VERBS.contains(verb)) {
        list.not_supported_as(errors, list.value(), &VERBS);
    }
}

/// A list with `*` alone, or names; `one` and `others` are words of the errors.
fn all_or_some(list: At<'_>, one: &str, others: &str, errors: &mut FieldErrors) {
    if list.is_empty() {
        list.required(errors, &format!("resource rules must supply at least one {one}"));
    } else if list.len() > 1 && is_all(list) {
        list.invalid(errors, format!("if '*' is present, must not specify other {others}"));
    }
}

fn resource_rule(rule: At<'_>, errors: &mut FieldErrors) {
    verbs(rule.get("verbs"), errors);
    all_or_some(rule.get("apiGroups"), "api group", "api groups", errors);
    all_or_some(rule.get("resources"), "resource", "resources", errors);
    let namespaces = rule.get("namespaces");
    if namespaces.is_empty() && !rule.get("clusterScope").flag() {
        namespaces.required(errors, "resource rules that are not cluster scoped must supply at least one namespace");
    } else if is_all(namespaces) {
        if namespaces.len() > 1 {
            namespaces.invalid(errors, "if '*' is present, must not specify other namespaces");
        }
    } else {
        for namespace in namespaces.items() {
            for problem in names::dns1123_label(namespace.text()) {
                let detail = format!("each member of this list must be '*' or a DNS-1123 label; {problem}");
                namespace.invalid(errors, detail);
            }
        }
    }
}

fn path_rule(rule: At<'_>, errors: &mut FieldErrors) {
    verbs(rule.get("verbs"), errors);
    let paths = rule.get("nonResourceURLs");
    if paths.is_empty() {
        paths.required(errors, "nonResourceURLs must contain at least one value");
    } else if is_all(paths) {
        if paths.len() > 1 {
            paths.invalid(errors, "if '*' is present, must not specify other non-resource URLs");
        }
    } else {
        for path in paths.items() {
            if let Some(problem) = path_problem(path.text()) {
                path.invalid(errors, problem);
            }
        }
    }
}

fn path_problem(path: &str) -> Option<&'static str> {
    let stars = path.matches('*').count();
    match path {
        "" => Some("must not be empty"),
        "/" => None,
        path if !path.starts_with('/') => Some("must start with slash"),
        path if path.contains(' ') => Some("must not contain white-space"),
        path if path.contains("//") => Some("must not contain double slash"),
        path if stars > 1 || (stars == 1 && !path.ends_with("/*")) => Some("wildcard can only do suffix matching"),
        _ => None,
    }
}
