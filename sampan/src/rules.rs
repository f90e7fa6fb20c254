//! Answers SelfSubjectRulesReview out of the cluster's roles.

use futures::future::{BoxFuture, FutureExt};
use sampan_api::UserInfo;
use sampan_apiserver::RuleResolver;
use sampan_auth::rbac::RbacAuthorizer;
use serde_json::{Value, json};
use std::sync::{Arc, OnceLock};

#[derive(Clone, Default)]
pub struct RbacRules {
    inner: Arc<OnceLock<Arc<RbacAuthorizer>>>,
}

impl RbacRules {
    pub fn set(&self, rbac: Arc<RbacAuthorizer>) {
        self.inner.get_or_init(|| rbac);
    }
}

impl RuleResolver for RbacRules {
    fn rules<'a>(&'a self, user: &'a UserInfo, namespace: &'a str) -> BoxFuture<'a, Value> {
        let rules = self.inner.get().map(|rbac| rbac.rules_of(user, namespace)).unwrap_or_default();
        let (resources, paths): (Vec<_>, Vec<_>) = rules.iter().partition(|rule| rule.non_resource_urls.is_empty());
        let resource_rules: Vec<Value> = resources
            .iter()
            .map(|rule| {
                let mut value = json!({"verbs": rule.verbs, "apiGroups": rule.api_groups, "resources": rule.resources});
                if !rule.resource_names.is_empty() {
                    value["resourceNames"] = json!(rule.resource_names);
                }
                value
            })
            .collect();
        let path_rules: Vec<Value> =
            paths.iter().map(|rule| json!({"verbs": rule.verbs, "nonResourceURLs": rule.non_resource_urls})).collect();
        let status = json!({"resourceRules": resource_rules, "nonResourceRules": path_rules, "incomplete": false});
        std::future::ready(status).boxed()
    }
}
