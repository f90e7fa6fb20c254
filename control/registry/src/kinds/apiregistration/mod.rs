//! `apiregistration.k8s.io`: who serves which group.

mod api_service;

use crate::resource::Resource;

pub(super) fn rows() -> Vec<Resource> {
    vec![api_service::row()]
}
