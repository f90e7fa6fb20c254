//! `apiregistration.k8s.io`: the servers of groups.

mod api_service;

use crate::resource::Resource;

pub(super) fn rows() -> Vec<Resource> {
    vec![api_service::row()]
}
