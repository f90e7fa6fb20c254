//! `apiextensions.k8s.io`: kinds that users add.

mod custom_resource_definition;
mod openapi;
mod spec;
mod structural;

use crate::resource::Resource;

pub(super) fn rows() -> Vec<Resource> {
    vec![custom_resource_definition::row()]
}
