//! A range of Service addresses.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use crate::resource::{Resource};

pub(super) fn row() -> Resource {
    Resource::new("networking.k8s.io", "v1", "servicecidrs", "ServiceCIDR").cluster_scoped().view("status").strategy(RULES).table(&[])
}

const RULES: Rules = Rules { ..Rules::NONE };
