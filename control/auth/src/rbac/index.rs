use super::rules::PolicyRule;
use sampan_api::LabelSelector;
use sampan_api::user::{Attributes, Decision};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// A Role (with a namespace) or a ClusterRole.
#[derive(Clone, Debug, Default)]
pub struct Role {
    pub namespace: String,
    pub name: String,
    pub labels: BTreeMap<String, String>,
    /// Label selectors of an aggregated ClusterRole: its rules are those of the ClusterRoles that one of them selects.
    pub aggregates: Option<Vec<LabelSelector>>,
    pub rules: Vec<PolicyRule>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    User(String),
    Group(String),
    ServiceAccount { namespace: String, name: String },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RoleRef {
    Role(String),
    ClusterRole(String),
}

/// A RoleBinding (with a namespace) or a ClusterRoleBinding.
#[derive(Clone, Debug)]
pub struct Binding {
    pub namespace: String,
    pub name: String,
    pub role: RoleRef,
    pub subjects: Vec<Subject>,
}

/// The bindings that grant something: looked up by the user's name and by each group.
#[derive(Debug)]
struct Grant {
    binding: String,
    role: RoleRef,
    subject: Subject,
    /// `None`: the role does not exist (yet).
    rules: Option<Arc<[PolicyRule]>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum SubjectKey {
    User(String),
    Group(String),
}

type Grants = HashMap<SubjectKey, Vec<Arc<Grant>>>;

/// All roles and bindings of a moment, arranged for the question that every request asks. Immutable.
#[derive(Debug, Default)]
pub struct Index {
    cluster: Grants,
    namespaces: HashMap<String, Grants>,
}

impl Index {
    pub fn new(roles: &[Role], bindings: &[Binding]) -> Self {
        let aggregation = Aggregation::of(roles);
        let mut rules: HashMap<(&str, &str), Arc<[PolicyRule]>> = HashMap::new();
        for role in roles {
            let effective = match &role.aggregates {
                None => role.rules.clone(),
                Some(_) => aggregation.rules_of(&role.name),
            };
            rules.insert((&role.namespace, &role.name), effective.into());
        }
        let mut index = Self::default();
        for binding in bindings {
            let found = match &binding.role {
                RoleRef::ClusterRole(name) => rules.get(&("", name.as_str())),
                RoleRef::Role(name) => rules.get(&(binding.namespace.as_str(), name.as_str())),
            };
            let grants = if binding.namespace.is_empty() {
                &mut index.cluster
            } else {
                index.namespaces.entry(binding.namespace.clone()).or_default()
            };
            for subject in &binding.subjects {
                let key = match subject {
                    Subject::User(name) => SubjectKey::User(name.clone()),
                    Subject::Group(name) => SubjectKey::Group(name.clone()),
                    Subject::ServiceAccount { namespace, name } => {
                        SubjectKey::User(format!("system:serviceaccount:{namespace}:{name}"))
                    }
                };
                grants.entry(key).or_default().push(Arc::new(Grant {
                    binding: binding.name.clone(),
                    role: binding.role.clone(),
                    subject: subject.clone(),
                    rules: found.cloned(),
                }));
            }
        }
        index
    }

    /// Cluster-wide bindings first, then those of the request's namespace.
    pub fn authorize(&self, attributes: &Attributes) -> Decision {
        let mut absent = Vec::new();
        let scopes = [
            Some((&self.cluster, "")),
            self.namespaces.get(&attributes.namespace).map(|g| (g, attributes.namespace.as_str())),
        ];
        for (grants, namespace) in scopes.into_iter().flatten() {
            // A user may not be looked up without making a key; groups are few.
            let user = std::iter::once(SubjectKey::User(attributes.user.name.clone()));
            let groups = attributes.user.groups.iter().cloned().map(SubjectKey::Group);
            for grant in user.chain(groups).filter_map(|key| grants.get(&key)).flatten() {
                match &grant.rules {
                    None => absent.push(grant.role_not_found()),
                    Some(rules) if rules.iter().any(|rule| rule.allows(attributes)) => {
                        return Decision::allow(grant.reason(namespace));
                    }
                    Some(_) => {}
                }
            }
        }
        absent.dedup();
        match absent.as_slice() {
            [] => Decision::no_opinion(""),
            [one] => Decision::no_opinion(format!("RBAC: {one}")),
            many => Decision::no_opinion(format!("RBAC: [{}]", many.join(", "))),
        }
    }

    /// All rules that hold for a user in a namespace, as a SelfSubjectRulesReview lists them.
    pub fn rules_of(&self, user: &sampan_api::UserInfo, namespace: &str) -> Vec<PolicyRule> {
        let keys = || {
            std::iter::once(SubjectKey::User(user.name.clone()))
                .chain(user.groups.iter().cloned().map(SubjectKey::Group))
        };
        [Some(&self.cluster), self.namespaces.get(namespace)]
            .into_iter()
            .flatten()
            .flat_map(|grants| keys().filter_map(|key| grants.get(&key)).flatten().collect::<Vec<_>>())
            .filter_map(|grant| grant.rules.as_deref())
            .flatten()
            .cloned()
            .collect()
    }
}

/// The ClusterRoles that each aggregated one selects. Those may be aggregated themselves (admin selects edit, edit selects
/// view), in circles too.
struct Aggregation<'a> {
    roles: HashMap<&'a str, &'a Role>,
    selected: HashMap<&'a str, Vec<&'a Role>>,
}

impl<'a> Aggregation<'a> {
    fn of(roles: &'a [Role]) -> Self {
        let roles: HashMap<&str, &Role> =
            roles.iter().filter(|role| role.namespace.is_empty()).map(|role| (role.name.as_str(), role)).collect();
        let mut sorted: Vec<&Role> = roles.values().copied().collect();
        sorted.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let selected = sorted
            .iter()
            .filter_map(|role| Some((role.name.as_str(), role.aggregates.as_ref()?)))
            .map(|(name, selectors)| {
                let selects = |one: &&&Role| selectors.iter().any(|selector| selector.matches_map(&one.labels));
                (name, sorted.iter().filter(selects).copied().collect())
            })
            .collect();
        Self { roles, selected }
    }

    /// The rules of all roles that are reached from this one, each role visited once. An aggregated role has no rules of
    /// its own: Kubernetes' controller writes over them.
    fn rules_of(&self, name: &'a str) -> Vec<PolicyRule> {
        let mut gathered: Vec<PolicyRule> = Vec::new();
        let mut visited: HashSet<&str> = HashSet::from([name]);
        let mut left: VecDeque<&str> = VecDeque::from([name]);
        while let Some(name) = left.pop_front() {
            let Some(selected) = self.selected.get(name) else {
                for rule in self.roles.get(name).into_iter().flat_map(|role| &role.rules) {
                    if !gathered.contains(rule) {
                        gathered.push(rule.clone());
                    }
                }
                continue;
            };
            left.extend(selected.iter().map(|role| role.name.as_str()).filter(|name| visited.insert(name)));
        }
        gathered
    }
}

impl Grant {
    fn role_not_found(&self) -> String {
        match &self.role {
            RoleRef::ClusterRole(name) => format!("clusterrole.rbac.authorization.k8s.io \"{name}\" not found"),
            RoleRef::Role(name) => format!("role.rbac.authorization.k8s.io \"{name}\" not found"),
        }
    }

    fn reason(&self, namespace: &str) -> String {
        let role = match &self.role {
            RoleRef::ClusterRole(name) => format!("ClusterRole \"{name}\""),
            RoleRef::Role(name) => format!("Role \"{name}\""),
        };
        let subject = match &self.subject {
            Subject::User(name) => format!("User \"{name}\""),
            Subject::Group(name) => format!("Group \"{name}\""),
            Subject::ServiceAccount { namespace, name } => format!("ServiceAccount \"{name}/{namespace}\""),
        };
        if namespace.is_empty() {
            format!("RBAC: allowed by ClusterRoleBinding \"{}\" of {role} to {subject}", self.binding)
        } else {
            format!("RBAC: allowed by RoleBinding \"{}/{namespace}\" of {role} to {subject}", self.binding)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sampan_api::Path;
    use serde_json::json;

    fn role(name: &str, labels: &[&str], aggregates: &[&str], verbs: &[&str]) -> Role {
        let selector = |label: &&str| {
            LabelSelector::from_v1(&json!({"matchLabels": {*label: "true"}}), &Path::root()).expect("a selector")
        };
        Role {
            name: name.to_owned(),
            labels: labels.iter().map(|label| ((*label).to_owned(), "true".to_owned())).collect(),
            aggregates: (!aggregates.is_empty()).then(|| aggregates.iter().map(selector).collect()),
            rules: verbs
                .iter()
                .map(|verb| PolicyRule { verbs: vec![(*verb).to_owned()], ..Default::default() })
                .collect(),
            ..Role::default()
        }
    }

    #[test]
    fn aggregation_reaches_through_roles_and_circles() {
        let roles = [
            role("view", &["to-edit"], &["to-view"], &["ignored"]),
            role("edit", &["to-admin"], &["to-edit"], &[]),
            role("admin", &["to-view"], &["to-admin"], &[]),
            role("reads", &["to-view"], &[], &["get", "list"]),
            role("writes", &["to-edit"], &[], &["update", "get"]),
        ];
        let aggregation = Aggregation::of(&roles);
        for name in ["view", "edit", "admin"] {
            let mut verbs: Vec<String> = aggregation.rules_of(name).into_iter().flat_map(|rule| rule.verbs).collect();
            verbs.sort();
            assert_eq!(verbs, ["get", "list", "update"], "{name}: they are a circle");
        }
    }

    #[test]
    fn roles_that_all_select_each_other_are_visited_once_each() {
        let roles: Vec<Role> = (0..60)
            .map(|n| role(&format!("r{n}"), &["all"], &["all"], &[]))
            .chain([role("leaf", &["all"], &[], &["get"])])
            .collect();
        // Along every path, this would not end in the life of the sun.
        let aggregation = Aggregation::of(&roles);
        assert!(roles[..60].iter().all(|role| aggregation.rules_of(&role.name).len() == 1));
    }
}
