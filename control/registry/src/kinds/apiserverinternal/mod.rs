//! `internal.apiserver.k8s.io`.

mod storage_version;

use crate::resource::Resource;

pub(super) fn rows() -> Vec<Resource> {
    vec![storage_version::row()]
}
