//! Bounds and defaults of what pods of a namespace ask for.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use crate::resource::{Resource};

pub(super) fn row() -> Resource {
    Resource::new("", "v1", "limitranges", "LimitRange").short_names(["limits"]).strategy(RULES).table(&[])
}

const RULES: Rules = Rules { create_on_update: true, ..Rules::NONE };
