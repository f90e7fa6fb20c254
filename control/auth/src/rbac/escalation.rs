//! Whether somebody holds all the rights that he gives away (k8s.io/kubernetes/pkg/registry/rbac/validation:
//! `ConfirmNoEscalation`, `CompactRules`; k8s.io/component-helpers: `Covers`).

use super::index::Index;
use super::model::aggregate;
use super::rules::PolicyRule;
use super::slot::Rules;
use crate::limits::{ESCALATION_COMPARISONS_MAX, MISSING_RIGHTS_TOLD_MAX};
use sampan_api::UserInfo;
use sampan_api::field::go_quote;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

impl Index {
    /// Why `user` may not give `rules` away in a namespace (`""`: everywhere); `None`: he holds them all there.
    pub fn escalation(&self, user: &UserInfo, namespace: &str, rules: &[PolicyRule]) -> Option<String> {
        let (roles, errors) = self.roles_of(user, namespace);
        let attempt = || {
            let groups: Vec<String> = user.groups.iter().map(|group| go_quote(group)).collect();
            let (name, groups) = (go_quote(&user.name), groups.join(" "));
            format!("user {name} (groups=[{groups}]) is attempting to grant RBAC permissions")
        };
        match missing(&roles, rules) {
            Ok(missing) if missing.is_empty() => None,
            Ok(missing) => {
                let mut text = format!("{} not currently held:\n{}", attempt(), told(&missing));
                if !errors.is_empty() {
                    text.push_str(&format!("; resolution errors: [{}]", aggregate(&errors)));
                }
                Some(text)
            }
            Err(TooMany) => Some(format!(
                "{} that are too many to be compared with those that are held: name fewer in one role",
                attempt()
            )),
        }
    }
}

/// The comparison would take longer than [`ESCALATION_COMPARISONS_MAX`] says.
#[derive(Debug, PartialEq)]
struct TooMany;

/// Every single right of `wanted` that none of the roles gives.
fn missing(roles: &[Arc<Rules>], wanted: &[PolicyRule]) -> Result<Vec<PolicyRule>, TooMany> {
    let own = roles.iter().filter_map(|rules| if let Rules::Own(own) = &**rules { Some(own.rules()) } else { None });
    let own: Vec<&PolicyRule> = own.flatten().collect();
    let mut left = ESCALATION_COMPARISONS_MAX;
    let mut missing = Vec::new();
    for rule in wanted {
        // Most often one rule holds all of it: the administrator's.
        left = left.saturating_sub(own.len());
        if own.iter().any(|one| one.is_all_of(rule)) {
            continue;
        }
        for single in singles(rule) {
            let mut covered = false;
            for one in &own {
                left = left.checked_sub(1 + one.length()).ok_or(TooMany)?;
                covered = one.covers(&single);
                if covered {
                    break;
                }
            }
            if !covered {
                left = left.checked_sub(1).ok_or(TooMany)?;
                missing.push(single);
            }
        }
    }
    Ok(missing)
}

/// A rule as rules of one verb, one resource and one name each, and of one path each.
fn singles(rule: &PolicyRule) -> impl Iterator<Item = PolicyRule> + '_ {
    let names: Vec<Option<&String>> = match rule.resource_names.as_slice() {
        [] => vec![None],
        names => names.iter().map(Some).collect(),
    };
    let one = |text: &String| vec![text.clone()];
    let resources = rule.api_groups.iter().flat_map(move |group| {
        let names = names.clone();
        rule.resources.iter().flat_map(move |resource| {
            let names = names.clone();
            rule.verbs.iter().flat_map(move |verb| {
                names.clone().into_iter().map(move |name| PolicyRule {
                    verbs: one(verb),
                    api_groups: one(group),
                    resources: one(resource),
                    resource_names: name.into_iter().cloned().collect(),
                    non_resource_urls: Vec::new(),
                })
            })
        })
    });
    let paths = rule.non_resource_urls.iter().flat_map(move |url| {
        rule.verbs.iter().map(move |verb| PolicyRule {
            verbs: one(verb),
            non_resource_urls: one(url),
            ..PolicyRule::default()
        })
    });
    resources.chain(paths)
}

/// The rights in words, one a line, in order: those that differ in nothing but their verbs as one.
fn told(missing: &[PolicyRule]) -> String {
    let mut simple: HashMap<(&String, &String, Option<&String>), PolicyRule> = HashMap::new();
    let mut lines = BTreeSet::new();
    for rule in missing {
        match (rule.api_groups.first(), rule.resources.first()) {
            (Some(group), Some(resource)) => {
                let same = simple.entry((group, resource, rule.resource_names.first()));
                same.and_modify(|all| all.verbs.extend(rule.verbs.iter().cloned())).or_insert_with(|| rule.clone());
            }
            _ => drop(lines.insert(compact(rule))),
        }
    }
    lines.extend(simple.values().map(compact));
    let more = lines.len().saturating_sub(MISSING_RIGHTS_TOLD_MAX);
    let mut text = lines.into_iter().take(MISSING_RIGHTS_TOLD_MAX).collect::<Vec<_>>().join("\n");
    if more > 0 {
        text.push_str(&format!("\nand {more} more"));
    }
    text
}

/// As Go prints it: `{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}`
fn compact(rule: &PolicyRule) -> String {
    let lists = [
        ("APIGroups", &rule.api_groups),
        ("Resources", &rule.resources),
        ("NonResourceURLs", &rule.non_resource_urls),
        ("ResourceNames", &rule.resource_names),
        ("Verbs", &rule.verbs),
    ];
    let parts: Vec<String> = lists
        .iter()
        .filter(|(_, list)| !list.is_empty())
        .map(|(name, list)| {
            let quoted: Vec<String> = list.iter().map(|text| go_quote(text)).collect();
            format!("{name}:[{}]", quoted.join(" "))
        })
        .collect();
    format!("{{{}}}", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::{Binding, Role, RoleRef, Subject};
    use super::*;
    use serde_json::{Value, json};

    fn rules(rules: Value) -> Vec<PolicyRule> {
        serde_json::from_value(rules).expect("rules")
    }

    fn holder(held: Value) -> Index {
        let role = Role { name: "r".into(), rules: rules(held), ..Role::default() };
        let binding = Binding {
            namespace: String::new(),
            name: "b".into(),
            role: RoleRef::ClusterRole("r".into()),
            subjects: vec![Subject::User("alice".into())],
        };
        Index::of(vec![role], vec![binding])
    }

    #[test]
    fn nobody_gives_away_what_he_has_not() {
        let alice = UserInfo::new("alice", ["dev"]);
        let check = |held: Value, given: Value, missing: Option<&str>| {
            let found = holder(held).escalation(&alice, "n", &rules(given.clone()));
            let intro = "user \"alice\" (groups=[\"dev\" \"system:authenticated\"]) is attempting to grant RBAC permissions \
                         not currently held:\n";
            assert_eq!(found, missing.map(|missing| format!("{intro}{missing}")), "{given}");
        };
        let pods = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]);
        check(pods.clone(), pods.clone(), None);
        let everything = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]);
        check(everything.clone(), pods.clone(), None);
        check(pods.clone(), everything, Some("{APIGroups:[\"*\"], Resources:[\"*\"], Verbs:[\"*\"]}"));
        check(
            pods.clone(),
            json!([{"apiGroups": [""], "resources": ["pods", "secrets"], "verbs": ["get", "list", "watch"]}]),
            Some(
                "{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"watch\"]}\n\
                 {APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\" \"list\" \"watch\"]}",
            ),
        );
        let named = json!([{"apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"], "verbs": ["get"]}]);
        check(pods.clone(), named.clone(), None);
        check(named, pods.clone(), Some("{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"get\" \"list\"]}"));
        let paths = json!([{"nonResourceURLs": ["/healthz", "/api/*"], "verbs": ["get"]}]);
        check(paths.clone(), json!([{"nonResourceURLs": ["/api/v1"], "verbs": ["get"]}]), None);
        check(
            paths,
            json!([{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]),
            Some("{NonResourceURLs:[\"/metrics\"], Verbs:[\"get\"]}"),
        );
        let scale = json!([{"apiGroups": ["apps"], "resources": ["*/scale"], "verbs": ["*"]}]);
        check(scale, json!([{"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["get"]}]), None);
        check(
            json!([
                {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
                {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]},
            ]),
            json!([{"apiGroups": [""], "resources": ["nodes", "pods"], "verbs": ["get"]}]),
            None,
        );
    }

    #[test]
    fn a_rule_of_a_billion_rights_is_refused_at_once() {
        let many = |word: &str| (0..1_000).map(|n| format!("{word}{n}")).collect::<Vec<_>>();
        let given = PolicyRule {
            verbs: many("v"),
            api_groups: many("g"),
            resources: many("r"),
            resource_names: many("n"),
            non_resource_urls: Vec::new(),
        };
        let index = holder(json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]));
        let found = index.escalation(&UserInfo::new("alice", ["dev"]), "", &[given]).expect("refused");
        assert!(found.contains("too many to be compared"), "{found}");
    }
}
