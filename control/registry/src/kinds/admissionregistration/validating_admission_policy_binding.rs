//! ValidatingAdmissionPolicyBindings: the scope of an admission policy, and its parameters.

use super::super::columns::{Cell, Tabled, selector_text};
use super::super::rules::Rules;
use crate::resource::Resource;
use crate::strategy::Generation;

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

const RULES: Rules = Rules { unconditional_update: false, generation: Generation::Spec, ..Rules::NONE };

const CELLS: &[(&str, Cell)] = &[("param-ref", |binding, _| {
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
