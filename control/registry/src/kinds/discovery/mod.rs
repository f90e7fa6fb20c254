//! `discovery.k8s.io`: the addresses of a Service's pods.

mod endpoint_slice;

use crate::resource::Resource;

pub(super) fn rows() -> Vec<Resource> {
    vec![endpoint_slice::row()]
}
