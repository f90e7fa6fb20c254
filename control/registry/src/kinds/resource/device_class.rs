//! DeviceClasses: selections of devices by name.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use crate::resource::Resource;
use crate::strategy::Generation;

pub(super) fn row() -> Resource {
    Resource::new("resource.k8s.io", "v1", "deviceclasses", "DeviceClass").cluster_scoped().strategy(RULES).table(&[])
}

const RULES: Rules = Rules { returns_deleted_object: true, generation: Generation::Spec, ..Rules::NONE };
