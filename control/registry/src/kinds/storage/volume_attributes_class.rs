//! VolumeAttributesClasses: parameters of volumes that may change later.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use crate::resource::Resource;

pub(super) fn row() -> Resource {
    Resource::new("storage.k8s.io", "v1", "volumeattributesclasses", "VolumeAttributesClass")
        .cluster_scoped()
        .short_names(["vac"])
        .strategy(RULES)
        .table(&[])
}

const RULES: Rules = Rules { returns_deleted_object: true, ..Rules::NONE };
