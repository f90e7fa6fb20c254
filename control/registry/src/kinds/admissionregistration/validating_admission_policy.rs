//! ValidatingAdmissionPolicies: rules that objects must meet, as expressions.

use super::super::columns::{Cell, Tabled};
use super::super::rules::Rules;
use super::super::validation::checks::{conditions, one_of, required_text};
use super::super::validation::{At, FieldErrors};
use super::expressions::Expressions;
use super::matching;
use crate::resource::Resource;
use crate::strategy::{Generation, MetadataOfUpdate};
use sampan_api::jsonpath::JsonPath;
use sampan_api::names;
use sampan_cel::admission::Params;

pub(super) fn row() -> Resource {
    Resource::new("admissionregistration.k8s.io", "v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy")
        .cluster_scoped()
        .categories(["api-extensions"])
        .view("status")
        .resets("status", &[&["metadata"], &["spec"]])
        .strategy(RULES)
        .table(CELLS)
}

const RULES: Rules = Rules {
    metadata_of_update: Some(MetadataOfUpdate::Creation),
    finalizers_without_domain: true,
    validate: Some(|_, policy| {
        let mut errors = FieldErrors::default();
        spec(policy.name(), At::object(policy).get("spec"), &mut errors);
        errors
    }),
    validate_status: Some(|_, policy, _| {
        let mut errors = FieldErrors::default();
        status(At::object(policy).get("status"), &mut errors);
        errors
    }),
    unconditional_update: false,
    generation: Generation::Spec,
    ..Rules::NONE
};

/// What the types of expressions were found to be, and conditions (validateValidatingAdmissionPolicyStatus).
fn status(status: At<'_>, errors: &mut FieldErrors) {
    let checking = status.get("typeChecking");
    let warnings = checking.get("expressionWarnings");
    for warning in warnings.items() {
        required_text(warning.get("warning"), errors);
        let reference = warning.get("fieldRef");
        let text = reference.text().trim();
        // A path of the object's own, which may leave out its first dot.
        let dot = if text.starts_with(|c: char| c.is_ascii_alphabetic()) { "." } else { "" };
        if text.is_empty() {
            reference.required(errors, "");
        } else if let Err(wrong) = JsonPath::parse(&format!("{dot}{text}")) {
            reference.invalid_as(errors, text, format!("invalid JSONPath: {wrong}"));
        }
    }
    conditions(status.get("conditions"), errors);
}

/// Reasons and words of `validateValidatingAdmissionPolicySpec`.
fn spec(name: &str, spec: At<'_>, errors: &mut FieldErrors) {
    one_of(spec.get("failurePolicy"), errors, &["Fail", "Ignore"]);
    let kind = spec.get("paramKind");
    let params = if kind.is_set() { Params::Declared } else { Params::None };
    if kind.is_set() {
        param_kind(kind, errors);
    }
    let constraints = spec.get("matchConstraints");
    if constraints.is_set() {
        matching::resources(constraints, errors);
        if constraints.get("resourceRules").is_empty() {
            constraints.get("resourceRules").required(errors, "");
        }
    } else {
        constraints.required(errors, "");
    }
    matching::conditions(spec.get("matchConditions"), params, errors);
    let mut expressions = Expressions::new(params);
    expressions.variables(spec.get("variables"), errors);
    if spec.get("validations").is_empty() && spec.get("auditAnnotations").is_empty() {
        for field in ["validations", "auditAnnotations"] {
            spec.get(field).required(errors, "validations or auditAnnotations must contain at least one item");
        }
        return;
    }
    expressions.validations(spec.get("validations"), errors);
    expressions.annotations(spec.get("auditAnnotations"), name, errors);
}

/// The kind of the parameters.
pub(super) fn param_kind(at: At<'_>, errors: &mut FieldErrors) {
    let (version, kind) = (at.get("apiVersion"), at.get("kind"));
    let text = version.text();
    let (group, name) = text.split_once('/').unwrap_or(("", text));
    if text.is_empty() {
        version.required(errors, "");
    } else if name.contains('/') {
        version.invalid(errors, format!("unexpected GroupVersion string: {text}"));
    } else {
        let joined = |messages: Vec<String>| Some(messages.join(",")).filter(|text| !text.is_empty());
        if let Some(why) = joined(names::dns1123_subdomain(group)).filter(|_| !group.is_empty()) {
            version.invalid_as(errors, group, why);
        }
        if name.is_empty() {
            version.invalid(errors, "version must be specified");
        } else if let Some(why) = joined(names::dns1035_label(name)) {
            version.invalid_as(errors, name, why);
        }
    }
    if kind.is_empty() {
        kind.required(errors, "");
    } else {
        let messages = names::dns1035_label(&kind.text().to_lowercase());
        if !messages.is_empty() {
            let why = format!("may have mixed case, but should otherwise match: {}", messages.join(","));
            kind.invalid(errors, why);
        }
    }
}

pub(super) const CELLS: &[(&str, Cell)] = &[("param-kind", |policy, _| {
    let field = |name: &str| policy.get_str(&["spec", "paramKind", name]);
    match (field("apiVersion"), field("kind")) {
        (None, None) => "<unset>".into(),
        (version, kind) => format!("{}/{}", version.unwrap_or(""), kind.unwrap_or("")).into(),
    }
})];
