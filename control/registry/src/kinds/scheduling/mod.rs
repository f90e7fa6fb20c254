//! `scheduling.k8s.io`.

mod priority_class;

use crate::resource::Resource;

pub(super) fn rows() -> Vec<Resource> {
    vec![priority_class::row()]
}
