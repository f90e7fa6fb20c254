//! ValidatingAdmissionPolicies: rules that objects must meet, as expressions.

use super::super::columns::{Cell, Tabled};
use super::super::rules::Rules;
use super::super::validation::{At, FieldErrors};
use crate::resource::Resource;
use crate::strategy::Generation;

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
    validate: Some(|_, policy| {
        let mut errors = FieldErrors::default();
        let at = At::object(policy);
        let spec = at.get("spec");
        if !spec.get("matchConstraints").is_set() {
            spec.get("matchConstraints").required(&mut errors, "");
        }
        if spec.get("validations").is_empty() && spec.get("auditAnnotations").is_empty() {
            for field in ["validations", "auditAnnotations"] {
                spec.get(field).required(&mut errors, "validations or auditAnnotations must contain at least one item");
            }
        }
        errors
    }),
    unconditional_update: false,
    generation: Generation::Spec,
    ..Rules::NONE
};

const CELLS: &[(&str, Cell)] = &[("param-kind", |policy, _| {
    let field = |name: &str| policy.get_str(&["spec", "paramKind", name]);
    match (field("apiVersion"), field("kind")) {
        (None, None) => "<unset>".into(),
        (version, kind) => format!("{}/{}", version.unwrap_or(""), kind.unwrap_or("")).into(),
    }
})];
