//! ServiceAccounts: the identities of pods.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use crate::resource::{Resource, Verbs};
use crate::strategy::Warned;
use sampan_api::meta::GroupVersionKind;
use sampan_api::object::Object;
use serde_json::Value;

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

const RULES: Rules = Rules {
    returns_deleted_object: true,
    prepare_for_create: Some(|_, account| keep_names(account)),
    prepare_for_update: Some(|_, account, _| keep_names(account)),
    // It is told when it is set.
    warnings: &[(Warned::Object, |_, account, old| match old.and_then(|old| old.annotation(MOUNTABLE)) {
        Some(_) => Vec::new(),
        None => mountable(account),
    })],
    ..Rules::NONE
};

const MOUNTABLE: &str = "kubernetes.io/enforce-mountable-secrets";

fn mountable(account: &Object) -> Vec<String> {
    let text = "deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets";
    account.annotation(MOUNTABLE).map(|_| format!("metadata.annotations[{MOUNTABLE}]: {text}")).into_iter().collect()
}

/// Of its secrets an account keeps the names alone: they are of its own namespace.
fn keep_names(account: &mut Object) {
    let secrets = account.get_mut(&["secrets"]).and_then(Value::as_array_mut);
    for secret in secrets.into_iter().flatten().filter_map(Value::as_object_mut) {
        secret.retain(|field, _| field == "name");
    }
}
