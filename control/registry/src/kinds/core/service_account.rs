//! ServiceAccounts: the identities of pods.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use crate::resource::{Resource, Verbs};
use sampan_api::meta::GroupVersionKind;

pub(super) fn row() -> Resource {
    Resource::new("", "v1", "serviceaccounts", "ServiceAccount")
        .short_names(["sa"])
        .sub_action(
            "token",
            GroupVersionKind::new("authentication.k8s.io", "v1", "TokenRequest"),
            Verbs::CREATE,
            "token",
        )
        .strategy(RULES)
        .table(&[])
}

const RULES: Rules = Rules { returns_deleted_object: true, ..Rules::NONE };
