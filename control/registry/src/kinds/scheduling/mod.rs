//! `scheduling.k8s.io`.

mod priority_class;
mod workload;

use crate::resource::Resource;

pub(super) fn rows() -> Vec<Resource> {
    vec![priority_class::row(), workload::row()]
}
