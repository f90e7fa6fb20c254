//! Settings that pods read.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use crate::resource::{HistoryClass, Resource};

pub(super) fn row() -> Resource {
    Resource::new("", "v1", "configmaps", "ConfigMap").short_names(["cm"]).history(HistoryClass::Ample).strategy(RULES).table(&[])
}

const RULES: Rules = Rules { ..Rules::NONE };
