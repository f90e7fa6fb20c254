//! `resource.k8s.io`: devices.

mod device_class;
mod resource_claim;
mod resource_claim_template;
mod resource_slice;

use crate::resource::Resource;

pub(super) fn rows() -> Vec<Resource> {
    vec![device_class::row(), resource_claim::row(), resource_claim_template::row(), resource_slice::row()]
}
