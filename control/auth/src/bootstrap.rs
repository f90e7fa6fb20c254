//! The RBAC objects that every cluster has from its first start, out of `data/bootstrap.yaml`.

use sampan_api::Object;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const DATA: &str = include_str!("../data/bootstrap.yaml");

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Data {
    cluster_roles: Vec<RoleData>,
    cluster_role_bindings: Vec<BindingData>,
    roles: Vec<RoleData>,
    role_bindings: Vec<BindingData>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RoleData {
    name: String,
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    aggregates: Option<Vec<String>>,
    #[serde(default)]
    rules: Option<Vec<RuleData>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleData {
    #[serde(default)]
    groups: Option<Vec<String>>,
    #[serde(default)]
    resources: Option<Vec<String>>,
    #[serde(default)]
    names: Option<Vec<String>>,
    #[serde(default)]
    urls: Option<Vec<String>>,
    verbs: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BindingData {
    name: String,
    #[serde(default)]
    namespace: Option<String>,
    role: String,
    #[serde(default)]
    role_kind: Option<String>,
    subjects: Vec<SubjectData>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SubjectData {
    kind: String,
    name: String,
    #[serde(default)]
    namespace: Option<String>,
}

const API_VERSION: &str = "rbac.authorization.k8s.io/v1";
const GROUP: &str = "rbac.authorization.k8s.io";

fn metadata(name: &str, namespace: Option<&String>, labels: &BTreeMap<String, String>) -> Value {
    let mut labels = labels.clone();
    labels.insert("kubernetes.io/bootstrapping".into(), "rbac-defaults".into());
    let mut metadata = json!({
        "name": name,
        "labels": labels,
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
    });
    if let Some(namespace) = namespace {
        metadata["namespace"] = namespace.as_str().into();
    }
    metadata
}

fn rule(rule: &RuleData) -> Value {
    let mut value = json!({"verbs": rule.verbs});
    let parts = [
        ("apiGroups", &rule.groups),
        ("resources", &rule.resources),
        ("resourceNames", &rule.names),
        ("nonResourceURLs", &rule.urls),
    ];
    for (name, list) in parts {
        if let Some(list) = list {
            value[name] = json!(list);
        }
    }
    value
}

fn role(kind: &str, role: &RoleData) -> Value {
    let rules = role.rules.as_ref().map(|rules| rules.iter().map(rule).collect::<Vec<_>>());
    let mut value = json!({
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": metadata(&role.name, role.namespace.as_ref(), &role.labels),
        "rules": rules,
    });
    if let Some(labels) = &role.aggregates {
        let selectors: Vec<Value> = labels.iter().map(|label| json!({"matchLabels": {label: "true"}})).collect();
        value["aggregationRule"] = json!({"clusterRoleSelectors": selectors});
    }
    value
}

fn binding(kind: &str, binding: &BindingData) -> Value {
    let subject = |subject: &SubjectData| {
        let mut value = json!({"kind": subject.kind, "name": subject.name});
        match &subject.namespace {
            Some(namespace) => value["namespace"] = namespace.as_str().into(),
            None => value["apiGroup"] = GROUP.into(),
        }
        value
    };
    json!({
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": metadata(&binding.name, binding.namespace.as_ref(), &BTreeMap::new()),
        "roleRef": {
            "apiGroup": GROUP,
            "kind": binding.role_kind.as_deref().unwrap_or("ClusterRole"),
            "name": binding.role,
        },
        "subjects": binding.subjects.iter().map(subject).collect::<Vec<_>>(),
    })
}

/// ClusterRoles, ClusterRoleBindings, then Roles and RoleBindings (whose namespaces must exist).
///
/// # Panics
/// Never for the data that is built in: a test reads it.
pub fn rbac_objects() -> Vec<Object> {
    let data: Data = serde_saphyr::from_str(DATA).expect("the built-in data is valid");
    let values = data
        .cluster_roles
        .iter()
        .map(|one| role("ClusterRole", one))
        .chain(data.cluster_role_bindings.iter().map(|one| binding("ClusterRoleBinding", one)))
        .chain(data.roles.iter().map(|one| role("Role", one)))
        .chain(data.role_bindings.iter().map(|one| binding("RoleBinding", one)));
    values.filter_map(Object::from_value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rbac::{Binding, Index, PolicyRule, Role, RoleRef, Subject};
    use sampan_api::user::{Attributes, UserInfo};
    use sampan_api::{LabelSelector, Path};

    fn index() -> Index {
        let (mut roles, mut bindings) = (Vec::new(), Vec::new());
        for object in rbac_objects() {
            let text = |path: &[&str]| object.get_str(path).unwrap_or_default().to_owned();
            if object.kind().ends_with("Binding") {
                let subject = |s: &Value| match s["kind"].as_str() {
                    Some("User") => Subject::User(s["name"].as_str().unwrap_or_default().into()),
                    Some("Group") => Subject::Group(s["name"].as_str().unwrap_or_default().into()),
                    _ => Subject::ServiceAccount {
                        namespace: s["namespace"].as_str().unwrap_or_default().into(),
                        name: s["name"].as_str().unwrap_or_default().into(),
                    },
                };
                let name = text(&["roleRef", "name"]);
                let cluster = text(&["roleRef", "kind"]) == "ClusterRole";
                bindings.push(Binding {
                    namespace: object.namespace().into(),
                    name: object.name().into(),
                    role: if cluster { RoleRef::ClusterRole(name) } else { RoleRef::Role(name) },
                    subjects: object
                        .get(&["subjects"])
                        .and_then(Value::as_array)
                        .expect("a list")
                        .iter()
                        .map(subject)
                        .collect(),
                });
            } else {
                let rules = object.get(&["rules"]).cloned().filter(|rules| !rules.is_null()).unwrap_or(json!([]));
                let selectors = object.get(&["aggregationRule", "clusterRoleSelectors"]).and_then(Value::as_array);
                roles.push(Role {
                    namespace: object.namespace().into(),
                    name: object.name().into(),
                    labels: object.labels().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
                    aggregates: selectors.map(|list| {
                        list.iter().map(|s| LabelSelector::from_v1(s, &Path::root()).expect("valid")).collect()
                    }),
                    rules: serde_json::from_value::<Vec<PolicyRule>>(rules).expect("rules"),
                });
            }
        }
        Index::new(&roles, &bindings)
    }

    #[test]
    fn the_parts_of_the_control_plane_have_their_rights_and_no_more() {
        let index = index();
        let check = |allowed: bool, user: UserInfo, verb: &str, resource: &str, namespace: &str| {
            let (group, resource) = resource.split_once(':').unwrap_or(("", resource));
            let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
            let attributes = Attributes {
                user,
                verb: verb.into(),
                namespace: namespace.into(),
                group: group.into(),
                resource: resource.into(),
                subresource: subresource.into(),
                resource_request: true,
                ..Attributes::default()
            };
            let decision = index.authorize(&attributes);
            assert_eq!(decision.allowed(), allowed, "{attributes:?}: {}", decision.reason);
        };
        let scheduler = UserInfo::scheduler;
        check(true, scheduler(), "create", "pods/binding", "default");
        check(true, scheduler(), "patch", "pods/status", "default");
        check(true, scheduler(), "update", "scheduling.sampan.dev:schedulingpolicies/status", "");
        check(false, scheduler(), "get", "secrets", "default");
        check(false, scheduler(), "create", "pods", "default");
        let deployment = || UserInfo::controller("deployment");
        check(true, deployment(), "create", "apps:replicasets", "default");
        check(false, deployment(), "create", "pods", "default");
        check(true, UserInfo::controller("replicaset"), "create", "pods", "default");
        check(true, UserInfo::new("root", ["system:masters"]), "delete", "nodes", "");
        check(false, UserInfo::new("alice", ["dev"]), "list", "pods", "default");
        check(true, UserInfo::new("alice", ["dev"]), "create", "authorization.k8s.io:selfsubjectaccessreviews", "");
    }

    #[test]
    fn aggregated_roles_gather_what_their_labels_select() {
        let mut roles: Vec<Role> = Vec::new();
        for object in rbac_objects().iter().filter(|object| object.kind() == "ClusterRole") {
            roles.push(Role { name: object.name().into(), ..Role::default() });
        }
        assert!(roles.iter().any(|role| role.name == "view") && roles.len() > 60);
        let names: std::collections::BTreeSet<&str> = roles.iter().map(|role| role.name.as_str()).collect();
        assert_eq!(names.len(), roles.len(), "each name once");
    }
}
