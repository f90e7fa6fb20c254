use super::rules::PolicyRule;
use crate::limits::AGGREGATION_LEVELS_MAX;
use sampan_api::LabelSelector;
use sampan_api::user::{Attributes, Decision};
use std::collections::{BTreeMap, HashMap};
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

/// Who is granted something by which binding: looked up by the user's name and by each group.
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
        let cluster_roles: Vec<&Role> = roles.iter().filter(|role| role.namespace.is_empty()).collect();
        let mut rules: HashMap<(&str, &str), Arc<[PolicyRule]>> = HashMap::new();
        for role in roles {
            let effective = match &role.aggregates {
                None => role.rules.clone(),
                Some(selectors) => aggregate(selectors, &cluster_roles, role, AGGREGATION_LEVELS_MAX),
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

/// The rules that an aggregated role gathers. A role that is selected may be aggregated itself (admin selects edit, edit
/// selects view), down to `levels`: a circle of roles ends there.
fn aggregate(selectors: &[LabelSelector], roles: &[&Role], of: &Role, levels: usize) -> Vec<PolicyRule> {
    let mut gathered: Vec<PolicyRule> = Vec::new();
    for role in
        roles.iter().filter(|role| role.name != of.name && selectors.iter().any(|s| s.matches_map(&role.labels)))
    {
        let nested = match &role.aggregates {
            Some(selectors) if levels > 0 => aggregate(selectors, roles, role, levels - 1),
            _ => Vec::new(),
        };
        for rule in nested.iter().chain(&role.rules) {
            if !gathered.contains(rule) {
                gathered.push(rule.clone());
            }
        }
    }
    gathered
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
