//! Answers SelfSubjectRulesReview out of the cluster's roles.

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
    fn rules(&self, user: &UserInfo, namespace: &str) -> Value {
        let nothing = || json!({"resourceRules": [], "nonResourceRules": [], "incomplete": false});
        self.inner.get().map_or_else(nothing, |rbac| rbac.review(user, namespace))
    }
}
