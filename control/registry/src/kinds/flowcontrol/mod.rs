//! `flowcontrol.apiserver.k8s.io`: priority and fairness of requests.

mod flow_schema;
mod priority_level_configuration;

use crate::resource::Resource;

pub(super) fn rows() -> Vec<Resource> {
    vec![flow_schema::row(), priority_level_configuration::row()]
}
