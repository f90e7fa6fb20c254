//! `autoscaling`.

mod horizontal_pod_autoscaler;
mod v1;

use crate::resource::Resource;

pub(super) fn rows() -> Vec<Resource> {
    vec![horizontal_pod_autoscaler::row(), horizontal_pod_autoscaler::v1_row()]
}
