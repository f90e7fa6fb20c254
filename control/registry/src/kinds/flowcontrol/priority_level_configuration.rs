//! PriorityLevelConfigurations: shares of the requests that are worked on at once.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use crate::resource::Resource;
use crate::strategy::Generation;

pub(super) fn row() -> Resource {
    Resource::new("flowcontrol.apiserver.k8s.io", "v1", "prioritylevelconfigurations", "PriorityLevelConfiguration")
        .cluster_scoped()
        .view("status")
        .resets("status", &[&["metadata"], &["spec"]])
        .strategy(RULES)
        .table(&[])
}

const RULES: Rules = Rules { generation: Generation::Spec, ..Rules::NONE };
