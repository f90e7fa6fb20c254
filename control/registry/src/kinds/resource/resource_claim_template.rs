//! What claims of a pod are made from.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use crate::resource::{Resource};

pub(super) fn row() -> Resource {
    Resource::new("resource.k8s.io", "v1", "resourceclaimtemplates", "ResourceClaimTemplate").strategy(RULES).table(&[])
}

const RULES: Rules = Rules { ..Rules::NONE };
