//! How many pods of an application may be evicted at once.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use crate::resource::{Resource};
use crate::strategy::Generation;

pub(super) fn row() -> Resource {
    Resource::new("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget").short_names(["pdb"]).view("status").strategy(RULES).table(&[])
}

const RULES: Rules = Rules { unconditional_update: false, generation: Generation::Spec, ..Rules::NONE };
