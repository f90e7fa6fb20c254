//! `storage.k8s.io`.

mod csi_driver;
mod csi_node;
mod csi_storage_capacity;
mod storage_class;
mod volume_attachment;
mod volume_attributes_class;

use crate::resource::Resource;

pub(super) fn rows() -> Vec<Resource> {
    let attributes = volume_attributes_class::row();
    let beta = attributes.also_in("v1beta1").deprecated_since(34, 37, Some("v1"));
    vec![
        csi_driver::row(),
        csi_node::row(),
        csi_storage_capacity::row(),
        storage_class::row(),
        volume_attachment::row(),
        attributes,
        beta,
    ]
}
