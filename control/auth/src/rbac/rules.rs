use sampan_api::user::Attributes;
use serde::Deserialize;

/// One rule of a role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyRule {
    pub verbs: Vec<String>,
    pub api_groups: Vec<String>,
    pub resources: Vec<String>,
    pub resource_names: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    pub non_resource_urls: Vec<String>,
}

const ALL: &str = "*";

fn lists(values: &[String], wanted: &str) -> bool {
    values.iter().any(|value| value == ALL || value == wanted)
}

impl PolicyRule {
    /// Kubernetes' `RuleAllows`.
    pub fn allows(&self, attributes: &Attributes) -> bool {
        if !lists(&self.verbs, &attributes.verb) {
            return false;
        }
        if attributes.resource_request {
            lists(&self.api_groups, &attributes.group)
                && self.covers_resource(&attributes.resource, &attributes.subresource)
                && (self.resource_names.is_empty() || self.resource_names.contains(&attributes.name))
        } else {
            self.non_resource_urls.iter().any(|url| {
                url == ALL
                    || *url == attributes.path
                    || url
                        .strip_suffix('*')
                        .is_some_and(|prefix| attributes.path.starts_with(prefix.trim_end_matches('*')))
            })
        }
    }

    fn covers_resource(&self, resource: &str, subresource: &str) -> bool {
        self.resources.iter().any(|listed| {
            if listed == ALL {
                return true;
            }
            match listed.split_once('/') {
                None => subresource.is_empty() && listed == resource,
                Some((parent, child)) => {
                    !subresource.is_empty() && child == subresource && (parent == ALL || parent == resource)
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_allow_what_they_name() {
        let list = |text: &str| text.split(',').filter(|s| !s.is_empty()).map(str::to_owned).collect::<Vec<_>>();
        let check = |allowed: bool, rule: [&str; 4], verb: &str, resource: &str, name: &str| {
            let [groups, resources, names, verbs] = rule;
            let rule = PolicyRule {
                verbs: list(verbs),
                api_groups: groups.split(',').map(str::to_owned).collect(),
                resources: list(resources),
                resource_names: list(names),
                non_resource_urls: Vec::new(),
            };
            let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
            let attributes = Attributes {
                verb: verb.into(),
                resource: resource.into(),
                subresource: subresource.into(),
                name: name.into(),
                resource_request: true,
                ..Attributes::default()
            };
            assert_eq!(rule.allows(&attributes), allowed, "{rule:?} {verb} {resource}/{subresource} {name}");
        };
        check(true, ["", "pods", "", "get"], "get", "pods", "a");
        check(false, ["", "pods", "", "get"], "get", "pods/log", "a");
        check(true, ["", "pods/log", "", "get"], "get", "pods/log", "a");
        check(true, ["*", "*", "", "*"], "delete", "pods/log", "a");
        check(true, ["", "*/scale", "", "get"], "get", "deployments/scale", "a");
        check(false, ["", "*/scale", "", "get"], "get", "deployments", "a");
        check(true, ["", "pods", "a", "get"], "get", "pods", "a");
        check(false, ["", "pods", "a", "get"], "get", "pods", "b");
        check(false, ["", "pods", "a", "list"], "list", "pods", "");
        check(false, ["apps", "pods", "", "get"], "get", "pods", "a");
    }

    #[test]
    fn paths_match_whole_or_by_prefix() {
        let rule = PolicyRule {
            verbs: vec!["get".into()],
            non_resource_urls: vec!["/healthz".into(), "/api/*".into()],
            ..PolicyRule::default()
        };
        let check = |allowed: bool, path: &str| {
            let attributes = Attributes { verb: "get".into(), path: path.into(), ..Attributes::default() };
            assert_eq!(rule.allows(&attributes), allowed, "{path}");
        };
        check(true, "/healthz");
        check(false, "/healthz/x");
        check(true, "/api/v1");
        check(false, "/api");
    }
}
