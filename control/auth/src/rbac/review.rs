//! What a SelfSubjectRulesReview tells.

use super::index::Index;
use super::model::aggregate;
use super::rules::PolicyRule;
use super::slot::Rules;
use crate::limits::{RULES_EXAMINED_BYTES_MAX, RULES_TOLD_BYTES_MAX};
use sampan_api::UserInfo;
use serde_json::{Value, json};
use std::collections::HashSet;

impl Index {
    /// A `SubjectRulesReviewStatus`: the rules of all roles that hold for a user in a namespace, each once. It takes as
    /// long as [`RULES_EXAMINED_BYTES_MAX`] bytes of rules do at the most.
    pub fn review(&self, user: &UserInfo, namespace: &str) -> Value {
        let (roles, mut errors) = self.roles_of(user, namespace);
        let own =
            roles.iter().filter_map(|rules| if let Rules::Own(own) = &**rules { Some(own.rules()) } else { None });
        let (mut seen, mut told, mut examined, mut incomplete) = (HashSet::new(), 0, 0, false);
        let (mut resources, mut paths) = (Vec::new(), Vec::new());
        for rule in own.flatten() {
            let bytes = rule.bytes();
            examined += bytes;
            if examined > RULES_EXAMINED_BYTES_MAX {
                incomplete = true;
                break;
            }
            if !seen.insert(rule) {
                continue;
            }
            if told + bytes > RULES_TOLD_BYTES_MAX {
                incomplete = true;
                break;
            }
            told += bytes;
            if rule.non_resource_urls.is_empty() {
                resources.push(of_resources(rule));
            } else {
                paths.push(json!({"verbs": rule.verbs, "nonResourceURLs": rule.non_resource_urls}));
            }
        }
        if incomplete {
            errors.push(format!("the rules are longer than {RULES_TOLD_BYTES_MAX} bytes: the rest is not listed"));
        }
        let mut status = json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": incomplete});
        if !errors.is_empty() {
            status["evaluationError"] = aggregate(&errors).into();
        }
        status
    }
}

fn of_resources(rule: &PolicyRule) -> Value {
    let mut value = json!({"verbs": rule.verbs, "apiGroups": rule.api_groups, "resources": rule.resources});
    if !rule.resource_names.is_empty() {
        value["resourceNames"] = json!(rule.resource_names);
    }
    value
}
