//! The identity of pods.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use crate::resource::{Resource};

pub(super) fn row() -> Resource {
    Resource::new("", "v1", "serviceaccounts", "ServiceAccount").short_names(["sa"]).strategy(RULES).table(&[])
}

const RULES: Rules = Rules { ..Rules::NONE };
