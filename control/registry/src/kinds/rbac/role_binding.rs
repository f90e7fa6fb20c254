//! RoleBindings: grants of a role in a namespace.

use super::super::columns::Tabled;
use crate::resource::{HistoryClass, Resource};

pub(super) fn row() -> Resource {
    Resource::new("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding")
        .history(HistoryClass::Ample)
        .strategy(super::binding_rules::<true>())
        .table(super::SUBJECT_CELLS)
}
