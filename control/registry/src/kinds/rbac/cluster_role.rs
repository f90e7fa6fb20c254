//! ClusterRoles: rights in every namespace and on cluster-scoped objects.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use super::super::validation::checks::{label_selector, selector_is_usable};
use super::super::validation::{At, FieldErrors};
use crate::resource::{HistoryClass, Resource};

pub(super) fn row() -> Resource {
    Resource::new("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole")
        .cluster_scoped()
        .history(HistoryClass::Ample)
        .strategy(RULES)
        .table(&[])
}

const RULES: Rules = Rules {
    // An empty list and none are the same to Kubernetes, which writes none.
    canonicalize: Some(|object| {
        if object.get(&["rules"]).and_then(serde_json::Value::as_array).is_some_and(Vec::is_empty) {
            object.set(&["rules"], serde_json::Value::Null);
        }
    }),
    validate: Some(|_, object| {
        let mut errors = FieldErrors::default();
        super::rules(At::object(object).get("rules"), false, &mut errors);
        let at = At::object(object);
        let rule = at.get("aggregationRule");
        if rule.is_set() {
            let selectors = rule.get("clusterRoleSelectors");
            if selectors.is_empty() {
                selectors
                    .required(&mut errors, "at least one clusterRoleSelector required if aggregationRule is non-nil");
            }
            for selector in selectors.items() {
                label_selector(selector, &mut errors);
                if !selector_is_usable(selector.value()) {
                    selector.invalid_as(&mut errors, serde_json::Value::Null, "invalid label selector.");
                }
            }
        }
        errors
    }),
    create_on_update: true,
    name: sampan_api::names::path_segment,
    ..Rules::NONE
};
