//! A pod template by itself.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use crate::resource::{Resource};
use crate::strategy::Generation;

pub(super) fn row() -> Resource {
    Resource::new("", "v1", "podtemplates", "PodTemplate").strategy(RULES).table(&[])
}

const RULES: Rules = Rules { generation: Generation::By(|new, old| new.get(&["template"]) != old.get(&["template"])), ..Rules::NONE };
