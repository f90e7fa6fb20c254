//! `autoscaling`.

mod horizontal_pod_autoscaler;

use crate::resource::Resource;

pub(super) fn rows() -> Vec<Resource> {
    vec![horizontal_pod_autoscaler::row(), horizontal_pod_autoscaler::v1_row()]
}
