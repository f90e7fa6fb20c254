//! Answers SelfSubjectRulesReview out of what the cluster's authorizers go by.

use crate::config::AuthorizationMode;
use sampan_api::UserInfo;
use sampan_apiserver::RuleResolver;
use sampan_auth::node::node_name;
use sampan_auth::rbac::RbacAuthorizer;
use serde_json::{Value, json};
use std::sync::{Arc, OnceLock};

/// What the node authorizer says of its rules.
const NODES: &str = "node authorizer does not support user rule resolution";

/// What a cluster's authorizers let users do: the rules of its roles where they are asked, and of everything where everybody
/// may do it. What nodes may is no rule, which nodes are told.
#[derive(Clone, Default)]
pub struct ClusterRules {
    inner: Arc<OnceLock<(Arc<RbacAuthorizer>, Vec<AuthorizationMode>)>>,
}

impl ClusterRules {
    /// Puts the rules of these modes in force; a second call is ignored.
    pub fn set(&self, rbac: Arc<RbacAuthorizer>, modes: &[AuthorizationMode]) {
        self.inner.get_or_init(|| (rbac, modes.to_vec()));
    }
}

impl RuleResolver for ClusterRules {
    fn rules(&self, user: &UserInfo, namespace: &str) -> Value {
        let nothing = json!({"resourceRules": [], "nonResourceRules": [], "incomplete": false});
        let Some((rbac, modes)) = self.inner.get() else { return nothing };
        let mut found = if modes.contains(&AuthorizationMode::Rbac) { rbac.review(user, namespace) } else { nothing };
        if modes.contains(&AuthorizationMode::Node) && node_name(user).is_some() {
            found["incomplete"] = true.into();
            found["evaluationError"] = match found["evaluationError"].as_str() {
                None => NODES.into(),
                Some(others) => {
                    let others = others.strip_prefix('[').and_then(|all| all.strip_suffix(']')).unwrap_or(others);
                    format!("[{NODES}, {others}]").into()
                }
            };
        }
        if modes.contains(&AuthorizationMode::AlwaysAllow) {
            let everything = [
                ("resourceRules", json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]})),
                ("nonResourceRules", json!({"verbs": ["*"], "nonResourceURLs": ["*"]})),
            ];
            for (list, rule) in everything {
                found[list].as_array_mut().into_iter().for_each(|rules| rules.push(rule.clone()));
            }
        }
        found
    }
}
