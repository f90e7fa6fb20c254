//! `storagemigration.k8s.io`.

mod storage_version_migration;

use crate::resource::Resource;

pub(super) fn rows() -> Vec<Resource> {
    vec![storage_version_migration::row()]
}
