//! Who may talk to whom.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use crate::resource::{Resource};
use crate::strategy::Generation;

pub(super) fn row() -> Resource {
    Resource::new("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy").short_names(["netpol"]).strategy(RULES).table(&[])
}

const RULES: Rules = Rules { generation: Generation::Spec, ..Rules::NONE };
