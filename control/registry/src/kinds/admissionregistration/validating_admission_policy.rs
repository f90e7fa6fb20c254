//! Rules that objects must meet.

use super::super::columns::{Cell, Tabled};
use super::super::rules::Rules;
use crate::resource::{Resource};
use crate::strategy::Generation;

pub(super) fn row() -> Resource {
    Resource::new("admissionregistration.k8s.io", "v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy").cluster_scoped().categories(["api-extensions"]).view("status").strategy(RULES).table(CELLS)
}

const RULES: Rules = Rules { unconditional_update: false, generation: Generation::Spec, ..Rules::NONE };

const CELLS: &[(&str, Cell)] = &[
    ("param-kind", |policy, _| {
        let field = |name: &str| policy.get_str(&["spec", "paramKind", name]);
        match (field("apiVersion"), field("kind")) {
            (None, None) => "<unset>".into(),
            (version, kind) => format!("{}/{}", version.unwrap_or(""), kind.unwrap_or("")).into(),
        }
    }),
];
