//! DeviceClasses: selections of devices by name.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use super::super::validation::checks::{Facts, facts};
use super::super::validation::{At, FieldErrors};
use super::selectors;
use crate::resource::Resource;
use crate::strategy::Generation;

pub(super) fn row() -> Resource {
    Resource::new("resource.k8s.io", "v1", "deviceclasses", "DeviceClass").cluster_scoped().strategy(RULES).table(&[])
}

const RULES: Rules = Rules {
    prefix_unchecked: true,
    returns_deleted_object: true,
    generation: Generation::Spec,
    validate: Some(|ctx, class| {
        let mut errors = FieldErrors::default();
        let at = At::object(class);
        let spec = at.get("spec");
        selectors::list(ctx, spec.get("selectors"), &mut errors);
        CONFIGURATIONS.check(spec, &mut errors);
        errors
    }),
    ..Rules::NONE
};

static CONFIGURATIONS: Facts = Facts::new(|| facts("resource/v1.DeviceClassSpec", "configurations"));
