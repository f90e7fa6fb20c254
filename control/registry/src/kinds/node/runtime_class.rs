//! RuntimeClasses: the runtimes that pods may choose.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use super::super::validation::affinity::tolerations;
use super::super::validation::checks::{immutable, labels, named};
use super::super::validation::resources::{container_resource_name, resource_quantity};
use super::super::validation::{At, FieldErrors};
use crate::resource::Resource;
use sampan_api::names;

pub(super) fn row() -> Resource {
    Resource::new("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass").cluster_scoped().strategy(RULES).table(&[])
}

const RULES: Rules = Rules {
    validate: Some(|_, object| {
        let mut errors = FieldErrors::default();
        let at = At::object(object);
        named(at.get("handler"), &mut errors, names::dns1123_label);
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
    validate_update: Some(|_, object, old| {
        let mut errors = FieldErrors::default();
        let (at, old) = (At::object(object), At::object(old));
        immutable(at.get("handler"), old.get("handler"), &mut errors);
        errors
    }),
    create_on_update: true,
    unconditional_update: false,
    ..Rules::NONE
};
