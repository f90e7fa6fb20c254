//! CSINodes: the storage drivers of a node.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use crate::resource::Resource;

pub(super) fn row() -> Resource {
    Resource::new("storage.k8s.io", "v1", "csinodes", "CSINode").cluster_scoped().strategy(RULES).table(&[])
}

const RULES: Rules = Rules { returns_deleted_object: true, unconditional_update: false, ..Rules::NONE };
