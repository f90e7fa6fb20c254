//! What may be done in a namespace.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use crate::resource::{HistoryClass, Resource};

pub(super) fn row() -> Resource {
    Resource::new("rbac.authorization.k8s.io", "v1", "roles", "Role").history(HistoryClass::Ample).strategy(RULES).table(&[])
}

const RULES: Rules = Rules { create_on_update: true, name: sampan_api::names::path_segment, ..Rules::NONE };
