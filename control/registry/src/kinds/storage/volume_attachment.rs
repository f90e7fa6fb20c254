//! VolumeAttachments: volumes attached to nodes.

use super::super::columns::Tabled;
use super::super::core::persistent_volume::inline as inline_volume;
use super::super::rules::Rules;
use super::super::validation::{At, FieldErrors};
use crate::resource::Resource;
use crate::strategy::MetadataOfUpdate;

pub(super) fn row() -> Resource {
    Resource::new("storage.k8s.io", "v1", "volumeattachments", "VolumeAttachment")
        .cluster_scoped()
        .view("status")
        .resets("status", &[&["metadata"], &["spec"]])
        .strategy(RULES)
        .table(&[])
}

const RULES: Rules = Rules {
    metadata_of_update: Some(MetadataOfUpdate::Creation),
    returns_deleted_object: true,
    unconditional_update: false,
    prepare_for_create: Some(|_, attachment| attachment.set(&["status"], serde_json::json!({"attached": false}))),
    validate: Some(|_, attachment| {
        let mut errors = FieldErrors::default();
        let at = At::object(attachment);
        let spec = at.get("spec");
        let source = spec.get("source");
        let inline = source.get("inlineVolumeSpec");
        if inline.is_set() && !source.get("persistentVolumeName").is_set() {
            inline_volume(inline, &mut errors);
        }
        errors
    }),
    ..Rules::NONE
};
