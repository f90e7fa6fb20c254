//! Roles: rights in a namespace.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use super::super::validation::{At, FieldErrors};
use crate::resource::{HistoryClass, Resource};

pub(super) fn row() -> Resource {
    Resource::new("rbac.authorization.k8s.io", "v1", "roles", "Role")
        .history(HistoryClass::Ample)
        .strategy(RULES)
        .table(&[])
}

const RULES: Rules = Rules {
    validate: Some(|_, object| {
        let mut errors = FieldErrors::default();
        super::rules(At::object(object).get("rules"), true, &mut errors);
        errors
    }),
    create_on_update: true,
    name: sampan_api::names::path_segment,
    ..Rules::NONE
};
