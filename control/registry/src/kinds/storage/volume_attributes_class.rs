//! VolumeAttributesClasses: parameters of volumes that may change later.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use crate::resource::Resource;

pub(super) fn row() -> Resource {
    Resource::new("storage.k8s.io", "v1", "volumeattributesclasses", "VolumeAttributesClass")
        .cluster_scoped()
        .short_names(["vac"])
        // So that the server before v1.34 can read it after a downgrade.
        .storage_version("v1beta1")
        .strategy(RULES)
        .table(&[])
}

const RULES: Rules = Rules { returns_deleted_object: true, ..Rules::NONE };
