//! VolumeAttachments: volumes attached to nodes.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use crate::resource::Resource;

pub(super) fn row() -> Resource {
    Resource::new("storage.k8s.io", "v1", "volumeattachments", "VolumeAttachment")
        .cluster_scoped()
        .view("status")
        .resets("status", &[&["metadata"], &["spec"]])
        .strategy(RULES)
        .table(&[])
}

const RULES: Rules = Rules { returns_deleted_object: true, unconditional_update: false, ..Rules::NONE };
