//! CSIStorageCapacities: the capacity that a driver could still provide, by topology.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use crate::resource::Resource;

pub(super) fn row() -> Resource {
    Resource::new("storage.k8s.io", "v1", "csistoragecapacities", "CSIStorageCapacity").strategy(RULES).table(&[])
}

const RULES: Rules = Rules { unconditional_update: false, ..Rules::NONE };
