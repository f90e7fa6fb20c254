//! RuntimeClasses: the runtimes that pods may choose.

use super::super::columns::Tabled;
use super::super::rules::{Rules, facts_alone};
use super::super::validation::affinity::tolerations;
use super::super::validation::checks::labels;
use super::super::validation::resources::{container_resource_name, resource_quantity};
use super::super::validation::{At, FieldErrors};
use crate::resource::Resource;

pub(super) fn row() -> Resource {
    Resource::new("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass").cluster_scoped().strategy(RULES).table(&[])
}

const RULES: Rules = Rules {
    validate: Some(|_, object| {
        let mut errors = FieldErrors::default();
        let at = At::object(object);
        let overhead = at.get("overhead");
        let fixed = overhead.get("podFixed");
        for (name, amount) in fixed.entries() {
            container_resource_name(amount, name, &mut errors);
            resource_quantity(amount, name, &mut errors);
        }
        let scheduling = at.get("scheduling");
        labels(scheduling.get("nodeSelector"), &mut errors);
        tolerations(scheduling.get("tolerations"), &mut errors);
        errors
    }),
    validate_update: Some(facts_alone),
    create_on_update: true,
    unconditional_update: false,
    ..Rules::NONE
};
