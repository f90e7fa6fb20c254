//! Roles and bindings as authorization reads them, and the words in which it tells of them.

use super::rules::PolicyRule;
use sampan_api::LabelSelector;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A Role (with a namespace) or a ClusterRole.
#[derive(Clone, Debug, Default)]
pub struct Role {
    /// `""`: a ClusterRole.
    pub namespace: String,
    /// The object's name.
    pub name: String,
    /// By which aggregated ClusterRoles select it.
    pub labels: BTreeMap<String, String>,
    /// Label selectors of an aggregated ClusterRole: its rules are those of the ClusterRoles that one of them selects.
    pub aggregates: Option<Vec<LabelSelector>>,
    /// Its own.
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// `""`: a ClusterRoleBinding.
    pub namespace: String,
    /// The object's name.
    pub name: String,
    /// What it gives.
    pub role: RoleRef,
    /// To whom.
    pub subjects: Vec<Subject>,
}

impl Binding {
    /// Whom the binding names: users (`false`) and groups (`true`) by name, each once, with the first subject that is it and
    /// its place among the subjects.
    pub(super) fn holders(&self) -> BTreeMap<(bool, Arc<str>), (u32, Arc<Subject>)> {
        let mut holders = BTreeMap::new();
        for (at, subject) in (0..).zip(&self.subjects) {
            let key = match subject {
                Subject::User(name) => (false, name.as_str().into()),
                Subject::Group(name) => (true, name.as_str().into()),
                Subject::ServiceAccount { namespace, name } => {
                    (false, format!("system:serviceaccount:{namespace}:{name}").into())
                }
            };
            holders.entry(key).or_insert_with(|| (at, Arc::new(subject.clone())));
        }
        holders
    }
}

impl RoleRef {
    pub(super) fn not_found(&self) -> String {
        match self {
            Self::ClusterRole(name) => format!("clusterrole.rbac.authorization.k8s.io \"{name}\" not found"),
            Self::Role(name) => format!("role.rbac.authorization.k8s.io \"{name}\" not found"),
        }
    }
}

/// Why a request is allowed: by the binding in that namespace (empty: for the whole cluster).
pub(super) fn reason(namespace: &str, binding: &str, role: &RoleRef, subject: &Subject) -> String {
    let role = match role {
        RoleRef::ClusterRole(name) => format!("ClusterRole \"{name}\""),
        RoleRef::Role(name) => format!("Role \"{name}\""),
    };
    let subject = match subject {
        Subject::User(name) => format!("User \"{name}\""),
        Subject::Group(name) => format!("Group \"{name}\""),
        Subject::ServiceAccount { namespace, name } => format!("ServiceAccount \"{name}/{namespace}\""),
    };
    if namespace.is_empty() {
        format!("RBAC: allowed by ClusterRoleBinding \"{binding}\" of {role} to {subject}")
    } else {
        format!("RBAC: allowed by RoleBinding \"{binding}/{namespace}\" of {role} to {subject}")
    }
}

/// Several errors as one (k8s.io/apimachinery's Aggregate).
pub(super) fn aggregate(errors: &[String]) -> String {
    match errors {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}
