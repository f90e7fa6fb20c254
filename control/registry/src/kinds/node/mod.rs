//! `node.k8s.io`.

mod runtime_class;

use crate::resource::Resource;

pub(super) fn rows() -> Vec<Resource> {
    vec![runtime_class::row()]
}
