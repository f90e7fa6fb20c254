//! Who may do it, anywhere.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use super::super::validation::{At, FieldErrors};
use crate::resource::{HistoryClass, Resource};

pub(super) fn row() -> Resource {
    Resource::new("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding")
        .cluster_scoped()
        .history(HistoryClass::Ample)
        .strategy(RULES)
        .table(super::SUBJECT_CELLS)
}

const RULES: Rules = Rules {
    validate: Some(|_, object| {
        let mut errors = FieldErrors::default();
        super::binding(At::object(object), ROLES, &mut errors);
        errors
    }),
    validate_update: Some(|_, object, old| {
        let mut errors = FieldErrors::default();
        super::binding_update(At::object(object), At::object(old), ROLES, &mut errors);
        errors
    }),
    create_on_update: true,
    name: sampan_api::names::path_segment,
    ..Rules::NONE
};

const ROLES: &[&str] = &["ClusterRole"];
