//! Which runtime runs a pod.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use crate::resource::{Resource};

pub(super) fn row() -> Resource {
    Resource::new("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass").cluster_scoped().strategy(RULES).table(&[])
}

const RULES: Rules = Rules { create_on_update: true, unconditional_update: false, ..Rules::NONE };
