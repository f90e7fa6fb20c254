//! `discovery.k8s.io`: where the pods of a Service are.

mod endpoint_slice;

use crate::resource::Resource;

pub(super) fn rows() -> Vec<Resource> {
    vec![endpoint_slice::row()]
}
