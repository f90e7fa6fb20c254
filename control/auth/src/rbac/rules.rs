use sampan_api::user::Attributes;
use serde::Deserialize;

/// One rule of a role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyRule {
    /// What may be done; `*`: everything.
    pub verbs: Vec<String>,
    /// Groups of resources; `""` is the core group, `*` all.
    pub api_groups: Vec<String>,
    /// Plurals, or `plural/subresource`; `*` stands for each part, and alone for everything.
    pub resources: Vec<String>,
    /// Names of objects; none: all.
    pub resource_names: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    pub non_resource_urls: Vec<String>,
}

/// Stands for everything.
pub(super) const ALL: &str = "*";

/// Quotes and a comma.
const PUNCTUATION_BYTES: usize = 3;
/// The names of a rule's fields.
const RULE_BYTES: usize = 64;

fn lists(values: &[String], wanted: &str) -> bool {
    values.iter().any(|value| value == ALL || value == wanted)
}

impl PolicyRule {
    /// Bytes of its texts, with what JSON puts around each.
    pub(super) fn bytes(&self) -> usize {
        let lists = [&self.verbs, &self.api_groups, &self.resources, &self.resource_names, &self.non_resource_urls];
        let around = PUNCTUATION_BYTES;
        RULE_BYTES + lists.into_iter().flatten().map(|text| text.len() + around).sum::<usize>()
    }

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

/// Whether `rules` together allow all that `wanted` does: each combination that it names is within one of them
/// (k8s.io/component-helpers' `Covers`).
pub(crate) fn cover(rules: &[PolicyRule], wanted: &PolicyRule) -> bool {
    let paths = wanted
        .verbs
        .iter()
        .all(|verb| wanted.non_resource_urls.iter().all(|url| rules.iter().any(|rule| rule.covers_path(verb, url))));
    let names: Vec<Option<&String>> = match wanted.resource_names.as_slice() {
        [] => vec![None],
        names => names.iter().map(Some).collect(),
    };
    let resources = wanted.verbs.iter().all(|verb| {
        wanted.api_groups.iter().all(|group| {
            wanted.resources.iter().all(|resource| {
                names.iter().all(|name| rules.iter().any(|rule| rule.covers_one(verb, group, resource, *name)))
            })
        })
    });
    paths && resources
}

impl PolicyRule {
    /// Texts that it lists.
    pub(super) fn length(&self) -> usize {
        let lists = [&self.verbs, &self.api_groups, &self.resources, &self.resource_names, &self.non_resource_urls];
        lists.into_iter().map(Vec::len).sum()
    }

    /// Whether it is a rule of everything, of resources or of paths as `wanted` is.
    pub(super) fn is_all_of(&self, wanted: &PolicyRule) -> bool {
        let all = |list: &[String]| list.iter().any(|one| one == ALL);
        let paths = wanted.non_resource_urls.is_empty() || all(&self.non_resource_urls);
        let resources = wanted.resources.is_empty()
            || (all(&self.api_groups) && all(&self.resources) && self.resource_names.is_empty());
        all(&self.verbs) && paths && resources
    }

    /// Whether it allows the single right that `single` is: one verb, and one resource or one path.
    pub(super) fn covers(&self, single: &PolicyRule) -> bool {
        let Some(verb) = single.verbs.first() else { return true };
        match (single.non_resource_urls.first(), single.api_groups.first(), single.resources.first()) {
            (Some(url), ..) => self.covers_path(verb, url),
            (None, Some(group), Some(resource)) => {
                self.covers_one(verb, group, resource, single.resource_names.first())
            }
            _ => true,
        }
    }

    fn covers_path(&self, verb: &str, url: &str) -> bool {
        let within = |own: &String| own == url || (own.ends_with('*') && url.starts_with(own.trim_end_matches('*')));
        lists(&self.verbs, verb) && self.non_resource_urls.iter().any(within)
    }

    fn covers_one(&self, verb: &str, group: &str, resource: &str, name: Option<&String>) -> bool {
        let of_any = resource.split_once('/').map(|(_, subresource)| format!("*/{subresource}"));
        let covers_resource =
            lists(&self.resources, resource) || of_any.is_some_and(|one| self.resources.contains(&one));
        lists(&self.verbs, verb)
            && lists(&self.api_groups, group)
            && covers_resource
            && (self.resource_names.is_empty() || name.is_some_and(|name| self.resource_names.contains(name)))
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
