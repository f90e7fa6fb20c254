//! IngressClasses: the controllers of Ingresses.

use super::super::columns::{Cell, Tabled};
use super::super::rules::Rules;
use super::super::validation::checks::{Facts, domain_prefixed_path, facts};
use super::super::validation::{At, FieldErrors};
use crate::resource::Resource;
use crate::strategy::Generation;

pub(super) fn row() -> Resource {
    Resource::new("networking.k8s.io", "v1", "ingressclasses", "IngressClass")
        .cluster_scoped()
        .strategy(RULES)
        .table(CELLS)
}

const RULES: Rules = Rules {
    validate: Some(|_, object| {
        let mut errors = FieldErrors::default();
        spec(At::object(object).get("spec"), &mut errors);
        errors
    }),
    generation: Generation::Spec,
    ..Rules::NONE
};

const CELLS: &[(&str, Cell)] = &[("parameters", |class, _| {
    let field = |name: &str| class.get_str(&["spec", "parameters", name]);
    match (field("kind"), field("apiGroup")) {
        (None, _) => "<none>".into(),
        (Some(kind), None) => format!("{kind}/{}", field("name").unwrap_or("")).into(),
        (Some(kind), Some(group)) => format!("{kind}.{group}/{}", field("name").unwrap_or("")).into(),
    }
})];

const CONTROLLER_MAX: usize = 250;

fn spec(at: At<'_>, errors: &mut FieldErrors) {
    let controller = at.get("controller");
    if controller.len() > CONTROLLER_MAX {
        controller.too_long(errors, CONTROLLER_MAX);
    }
    domain_prefixed_path(controller, errors);
    PARAMETERS.check(at.get("parameters"), errors);
}

static PARAMETERS: Facts = Facts::new(|| facts("networking/v1.IngressClassParametersReference", "reference"));
