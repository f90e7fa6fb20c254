//! Which controller an Ingress is for.

use super::super::columns::{Cell, Tabled};
use super::super::rules::Rules;
use crate::resource::{Resource};
use crate::strategy::Generation;

pub(super) fn row() -> Resource {
    Resource::new("networking.k8s.io", "v1", "ingressclasses", "IngressClass").cluster_scoped().strategy(RULES).table(CELLS)
}

const RULES: Rules = Rules { generation: Generation::Spec, ..Rules::NONE };

const CELLS: &[(&str, Cell)] = &[
    ("parameters", |class, _| {
        let field = |name: &str| class.get_str(&["spec", "parameters", name]);
        match (field("kind"), field("apiGroup")) {
            (None, _) => "<none>".into(),
            (Some(kind), None) => format!("{kind}/{}", field("name").unwrap_or("")).into(),
            (Some(kind), Some(group)) => format!("{kind}.{group}/{}", field("name").unwrap_or("")).into(),
        }
    }),
];
