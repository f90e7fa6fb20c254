//! How important pods are.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use crate::resource::{Resource};
use crate::strategy::Generation;

pub(super) fn row() -> Resource {
    Resource::new("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass").cluster_scoped().short_names(["pc"]).strategy(RULES).table(&[])
}

const RULES: Rules = Rules { generation: Generation::By(|_, _| false), ..Rules::NONE };
