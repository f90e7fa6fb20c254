//! ValidatingAdmissionPolicyBindings: the scope of an admission policy, and its parameters.

use super::super::columns::{Cell, Tabled, selector_text};
use super::super::rules::Rules;
use super::super::validation::checks::{label_selector, one_of};
use super::super::validation::{At, FieldErrors};
use super::matching;
use crate::resource::Resource;
use crate::strategy::{Generation, MetadataOfUpdate};
use sampan_api::names;
use std::collections::HashSet;

pub(super) fn row() -> Resource {
    Resource::new(
        "admissionregistration.k8s.io",
        "v1",
        "validatingadmissionpolicybindings",
        "ValidatingAdmissionPolicyBinding",
    )
    .cluster_scoped()
    .categories(["api-extensions"])
    .strategy(RULES)
    .table(CELLS)
}

const RULES: Rules = Rules {
    metadata_of_update: Some(MetadataOfUpdate::Creation),
    finalizers_without_domain: true,
    validate: Some(|_, binding| {
        let mut errors = FieldErrors::default();
        let at = At::object(binding);
        let spec = at.get("spec");
        scope(spec, &mut errors);
        actions(spec.get("validationActions"), &mut errors);
        errors
    }),
    unconditional_update: false,
    generation: Generation::Spec,
    ..Rules::NONE
};

/// The policy, its parameters, and what it is for: of a binding of either sort of policy.
pub(super) fn scope(spec: At<'_>, errors: &mut FieldErrors) {
    let policy = spec.get("policyName");
    if policy.is_empty() {
        policy.required(errors, "");
    } else {
        policy.invalid_each(errors, names::dns1123_subdomain(policy.text()));
    }
    if spec.get("paramRef").is_set() {
        param_ref(spec.get("paramRef"), errors);
    }
    if spec.get("matchResources").is_set() {
        matching::resources(spec.get("matchResources"), errors);
    }
}

fn param_ref(at: At<'_>, errors: &mut FieldErrors) {
    const BOTH: &str = "name and selector are mutually exclusive";
    let (name, selector) = (at.get("name"), at.get("selector"));
    let both = !name.is_empty() && selector.is_set();
    if !name.is_empty() {
        name.invalid_each(errors, names::path_segment(name.text()));
    }
    if both {
        name.forbidden(errors, BOTH);
    }
    if selector.is_set() {
        label_selector(selector, errors);
    }
    if both {
        selector.forbidden(errors, BOTH);
    }
    if name.is_empty() && !selector.is_set() {
        at.required(errors, "one of name or selector must be specified");
    }
    let action = at.get("parameterNotFoundAction");
    match action.text() {
        "" => action.required(errors, ""),
        _ => one_of(action, errors, &["Deny", "Allow"]),
    }
}

fn actions(list: At<'_>, errors: &mut FieldErrors) {
    let mut seen = HashSet::new();
    for action in list.items() {
        one_of(action, errors, &["Audit", "Deny", "Warn"]);
        if !seen.insert(action.text().to_owned()) {
            action.duplicate(errors);
        }
    }
    if seen.contains("Deny") && seen.contains("Warn") {
        list.invalid(errors, "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)");
    }
    if seen.is_empty() {
        list.required(errors, "at least one validation action is required");
    }
}

pub(super) const CELLS: &[(&str, Cell)] = &[("param-ref", |binding, _| {
    let field = |name: &str| binding.get_str(&["spec", "paramRef", name]).unwrap_or("");
    match (field("name"), field("namespace")) {
        ("", _) => match binding.get(&["spec", "paramRef", "selector"]) {
            None => "<unset>".into(),
            selector => selector_text(selector).into(),
        },
        (name, "") => format!("*/{name}").into(),
        (name, namespace) => format!("{namespace}/{name}").into(),
    }
})];
