//! `networking.k8s.io`.

mod ingress;
mod ingress_class;
mod ip_address;
mod network_policy;
mod service_cidr;

use crate::resource::Resource;

pub(super) fn rows() -> Vec<Resource> {
    vec![ingress_class::row(), ingress::row(), ip_address::row(), network_policy::row(), service_cidr::row()]
}
