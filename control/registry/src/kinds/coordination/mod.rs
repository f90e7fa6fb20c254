//! `coordination.k8s.io`.

mod lease;

use crate::resource::Resource;

pub(super) fn rows() -> Vec<Resource> {
    vec![lease::row()]
}
