//! The objects that webhooks and policies are about: rules, selectors, conditions.

use super::super::validation::checks::{label_selector, one_of};
use super::super::validation::{At, FieldErrors};
use sampan_api::names;
use sampan_cel::Type;
use sampan_cel::admission::{Authorizer, Params, compile, environment};
use std::collections::HashSet;

/// Operations that leave an object which could be changed.
const MUTABLE: [&str; 2] = ["CREATE", "UPDATE"];
const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
/// Match conditions of a webhook or a policy.
const CONDITIONS_MAX: usize = 64;

/// A `MatchResources`.
pub(super) fn resources(at: At<'_>, errors: &mut FieldErrors) {
    one_of(at.get("matchPolicy"), errors, &["Equivalent", "Exact"]);
    for selector in ["namespaceSelector", "objectSelector"] {
        label_selector(at.get(selector), errors);
    }
    for list in ["resourceRules", "excludeResourceRules"] {
        for one in at.get(list).items() {
            let mut seen = HashSet::new();
            for name in one.get("resourceNames").items() {
                name.invalid_each(errors, names::path_segment(name.text()));
                if !seen.insert(name.text().to_owned()) {
                    name.duplicate(errors);
                }
            }
            rule(one, errors);
        }
    }
}

/// What a policy that changes objects may be asked about: Kubernetes tells of the rules together.
pub(super) fn mutable(list: At<'_>, errors: &mut FieldErrors) {
    let operations = list.get("operations");
    for rule in list.items() {
        for operation in rule.get("operations").texts() {
            if !MUTABLE.contains(&operation) {
                operations.not_supported_as(errors, operation, &MUTABLE);
            }
        }
    }
}

/// A `RuleWithOperations`.
pub(super) fn rule(rule: At<'_>, errors: &mut FieldErrors) {
    let operations = rule.get("operations");
    if operations.is_empty() {
        operations.required(errors, "");
    }
    if operations.len() > 1 && operations.texts().contains(&"*") {
        operations.invalid(errors, "if '*' is present, must not specify other operations");
    }
    for operation in operations.items() {
        one_of(operation, errors, &OPERATIONS);
    }
    for (field, what) in [("apiGroups", "API groups"), ("apiVersions", "API versions")] {
        let list = rule.get(field);
        if list.is_empty() {
            list.required(errors, "");
        }
        if list.len() > 1 && list.texts().contains(&"*") {
            list.invalid(errors, format!("if '*' is present, must not specify other {what}"));
        }
    }
    for version in rule.get("apiVersions").items() {
        if version.text().is_empty() {
            version.required(errors, "");
        }
    }
    resource_names(rule.get("resources"), errors);
    one_of(rule.get("scope"), errors, &["*", "Cluster", "Namespaced"]);
}

/// `pods`, `pods/status`, `pods/*`, `*/status`, `*`, `*/*`.
fn resource_names(list: At<'_>, errors: &mut FieldErrors) {
    if list.is_empty() {
        list.required(errors, "");
    }
    let (mut whole, mut below) = (HashSet::new(), HashSet::new());
    let mut plain = false;
    for one in list.items() {
        let text = one.text();
        if text.is_empty() {
            one.required(errors, "");
            continue;
        }
        let Some((resource, subresource)) = text.split_once('/') else {
            plain = text != "*";
            continue;
        };
        if whole.contains(resource) {
            one.invalid(errors, format!("if '{resource}/*' is present, must not specify {text}"));
        }
        if below.contains(subresource) {
            one.invalid(errors, format!("if '*/{subresource}' is present, must not specify {text}"));
        }
        if subresource == "*" {
            whole.insert(resource.to_owned());
        }
        if resource == "*" {
            below.insert(subresource.to_owned());
        }
    }
    let texts = list.texts();
    if list.len() > 1 && texts.contains(&"*/*") {
        list.invalid(errors, "if '*/*' is present, must not specify other resources");
    }
    if texts.contains(&"*") && plain {
        list.invalid(errors, "if '*' is present, must not specify other resources without subresources");
    }
}

/// The match conditions of a webhook or a policy.
pub(super) fn conditions(list: At<'_>, params: Params, errors: &mut FieldErrors) {
    if list.is_empty() {
        return;
    }
    if list.len() > CONDITIONS_MAX {
        list.too_many(errors, CONDITIONS_MAX);
    }
    let environment = environment(params, Authorizer::Declared);
    let mut seen = HashSet::new();
    for condition in list.items() {
        let expression = condition.get("expression");
        match expression.text().trim() {
            "" => expression.required(errors, ""),
            text => {
                if let Err(why) = compile(text, &environment, &[Type::Bool]) {
                    expression.invalid_as(errors, text, why);
                }
            }
        }
        let name = condition.get("name");
        if name.is_empty() {
            name.required(errors, "");
            continue;
        }
        name.invalid_each(errors, names::qualified_name(name.text()));
        if !seen.insert(name.text().to_owned()) {
            name.duplicate(errors);
        }
    }
}
