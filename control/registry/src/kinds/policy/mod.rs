//! `policy`: bounds of disruptions.

mod pod_disruption_budget;

use crate::resource::Resource;

pub(super) fn rows() -> Vec<Resource> {
    vec![pod_disruption_budget::row()]
}
