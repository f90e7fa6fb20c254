//! The RBAC objects that every cluster has from its first start, out of `data/bootstrap.yaml`.

use crate::rbac::{PolicyRule, cover};
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
    /// The feature without which it is not there.
    #[serde(default)]
    gate: Option<String>,
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
    /// As [`RoleData::gate`].
    #[serde(default)]
    gate: Option<String>,
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
    /// As [`RoleData::gate`].
    #[serde(default)]
    gate: Option<String>,
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
        "annotations": {AUTO_UPDATE: "true"},
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

/// What the data has where `is_on` says which features are on.
fn data(is_on: impl Fn(&str) -> bool) -> Data {
    let mut data: Data = serde_saphyr::from_str(DATA).expect("the built-in data is valid");
    let there = |gate: &Option<String>| gate.as_ref().is_none_or(|gate| is_on(gate));
    for roles in [&mut data.cluster_roles, &mut data.roles] {
        roles.retain(|role| there(&role.gate));
        roles
            .iter_mut()
            .filter_map(|role| role.rules.as_mut())
            .for_each(|rules| rules.retain(|rule| there(&rule.gate)));
    }
    for bindings in [&mut data.cluster_role_bindings, &mut data.role_bindings] {
        bindings.retain(|binding| there(&binding.gate));
    }
    data
}

/// ClusterRoles, ClusterRoleBindings, then Roles and RoleBindings (whose namespaces must exist); `is_on` says which
/// features are on.
///
/// # Panics
/// Never for the data that is built in: a test reads it.
pub fn rbac_objects(is_on: impl Fn(&str) -> bool) -> Vec<Object> {
    let data = data(is_on);
    let values = data
        .cluster_roles
        .iter()
        .map(|one| role("ClusterRole", one))
        .chain(data.cluster_role_bindings.iter().map(|one| binding("ClusterRoleBinding", one)))
        .chain(data.roles.iter().map(|one| role("Role", one)))
        .chain(data.role_bindings.iter().map(|one| binding("RoleBinding", one)));
    values.filter_map(Object::from_value).collect()
}

/// The rules that a built-in ClusterRole has from the first start, whatever the features; none for a name that is not built
/// in.
///
/// # Panics
/// Never for the data that is built in: a test reads it.
pub fn cluster_role_rules(name: &str) -> Vec<PolicyRule> {
    let data = data(|_| false);
    let role = data.cluster_roles.iter().find(|role| role.name == name);
    let rules = role.and_then(|role| role.rules.as_ref()).into_iter().flatten();
    rules.map(|one| serde_json::from_value(rule(one)).expect("the built-in data is valid")).collect()
}

const AUTO_UPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

/// The write that an object of an earlier start needs, so that it grants what this version does.
#[derive(Debug, PartialEq)]
pub enum Reconciled {
    /// Nothing: all is there, or its owner keeps it as it is.
    Kept,
    Update(Object),
    /// A binding cannot change its role: it is deleted and made again.
    Recreate,
}

/// Adds to `live` what it lacks of `wanted`, as kube-apiserver does at each start
/// (k8s.io/kubernetes/pkg/registry/rbac/reconciliation): rules, selectors and subjects are added and never taken away,
/// unless the annotation says that the object is left alone.
pub fn reconcile(live: &Object, wanted: &Object) -> Reconciled {
    if live.annotation(AUTO_UPDATE) == Some("false") {
        return Reconciled::Kept;
    }
    if live.get(&["roleRef"]) != wanted.get(&["roleRef"]) {
        return Reconciled::Recreate;
    }
    let mut mended = live.clone();
    for kind in ["labels", "annotations"] {
        for (key, value) in wanted.get(&["metadata", kind]).and_then(Value::as_object).into_iter().flatten() {
            if live.get(&["metadata", kind, key]).is_none() {
                mended.set(&["metadata", kind, key], value.clone());
            }
        }
    }
    let rule = |value: &Value| serde_json::from_value::<PolicyRule>(value.clone()).ok();
    // A rule that cannot be read grants nothing.
    let granted: Vec<PolicyRule> = list(live, &["rules"]).iter().filter_map(rule).collect();
    add(&mut mended, &["rules"], wanted, |one| !rule(one).is_some_and(|one| cover(&granted, &one)));
    let selectors = ["aggregationRule", "clusterRoleSelectors"];
    add(&mut mended, &selectors, wanted, |one| !list(live, &selectors).contains(one));
    let is = |a: &Value, b: &Value| ["kind", "name", "namespace"].iter().all(|field| a.get(field) == b.get(field));
    add(&mut mended, &["subjects"], wanted, |one| !list(live, &["subjects"]).iter().any(|other| is(one, other)));
    if mended == *live { Reconciled::Kept } else { Reconciled::Update(mended) }
}

fn list<'a>(object: &'a Object, path: &[&str]) -> &'a [Value] {
    object.get(path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Appends those of `wanted`'s items at `path` that are missing.
fn add(object: &mut Object, path: &[&str], wanted: &Object, missing: impl Fn(&Value) -> bool) {
    let more: Vec<Value> = list(wanted, path).iter().filter(|one| missing(one)).cloned().collect();
    if !more.is_empty() {
        let all = [list(object, path), &more].concat();
        object.set(path, all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rbac::{Binding, Index, Role, RoleRef, Subject};
    use sampan_api::user::{Attributes, UserInfo};
    use sampan_api::{LabelSelector, Path};

    fn index() -> Index {
        let (mut roles, mut bindings) = (Vec::new(), Vec::new());
        for object in rbac_objects(|_| false) {
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
        Index::of(roles, bindings)
    }

    #[test]
    fn the_parts_of_the_control_plane_have_their_rights_and_no_more() {
        let index = index();
        let check = |allowed: bool, user: UserInfo, verb: &str, resource: &str, namespace: &str| {
            let (group, resource) = resource.split_once(':').unwrap_or(("", resource));
            let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
            let attributes = Attributes {
                user: user.into(),
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
        for object in rbac_objects(|_| false).iter().filter(|object| object.kind() == "ClusterRole") {
            roles.push(Role { name: object.name().into(), ..Role::default() });
        }
        assert!(roles.iter().any(|role| role.name == "view") && roles.len() > 60);
        let names: std::collections::BTreeSet<&str> = roles.iter().map(|role| role.name.as_str()).collect();
        assert_eq!(names.len(), roles.len(), "each name once");
    }

    #[test]
    fn what_an_earlier_start_has_made_gets_what_it_lacks_and_keeps_what_it_has() {
        let all = rbac_objects(|_| false);
        let wanted = |kind: &str, name: &str| {
            all.iter().find(|object| object.kind() == kind && object.name() == name).expect(name).clone()
        };
        for object in &all {
            assert_eq!(reconcile(object, object), Reconciled::Kept, "{} {}", object.kind(), object.name());
        }
        let check =
            |kind: &str, name: &str, change: &dyn Fn(&mut Object), expected: Option<&dyn Fn(&Object) -> bool>| {
                let wanted = wanted(kind, name);
                let mut live = wanted.clone();
                change(&mut live);
                match (reconcile(&live, &wanted), expected) {
                    (Reconciled::Kept, None) => {}
                    (Reconciled::Update(mended), Some(is_mended)) => {
                        assert!(is_mended(&mended), "{kind} {name}: {mended:?}");
                        assert_eq!(reconcile(&mended, &wanted), Reconciled::Kept, "once is enough");
                    }
                    (found, _) => panic!("{kind} {name}: {found:?}"),
                }
            };
        let rules = |object: &Object| list(object, &["rules"]).len();
        let scheduler = "system:kube-scheduler";
        let whole = rules(&wanted("ClusterRole", scheduler));
        let extra = json!({"verbs": ["get"], "apiGroups": ["x.io"], "resources": ["things"]});
        let lost = |object: &mut Object| object.set(&["rules"], json!([extra]));
        // Additions of the owner stay.
        check("ClusterRole", scheduler, &lost, Some(&|mended| rules(mended) == whole + 1));
        let left_alone = |object: &mut Object| {
            lost(object);
            object.set_annotation(AUTO_UPDATE, "false");
        };
        check("ClusterRole", scheduler, &left_alone, None);
        let root = |object: &mut Object| {
            object.set(&["rules"], json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]));
        };
        check("ClusterRole", scheduler, &root, None);
        let relabelled = |object: &mut Object| object.set(&["metadata", "labels"], json!({"mine": "1"}));
        check("ClusterRole", scheduler, &relabelled, Some(&|mended| mended.labels().count() == 2));
        let no_selector = |object: &mut Object| object.set(&["aggregationRule", "clusterRoleSelectors"], json!([]));
        check(
            "ClusterRole",
            "admin",
            &no_selector,
            Some(&|mended| !list(mended, &["aggregationRule", "clusterRoleSelectors"]).is_empty()),
        );
        let other = |object: &mut Object| object.set(&["subjects"], json!([{"kind": "User", "name": "u"}]));
        check("ClusterRoleBinding", scheduler, &other, Some(&|mended| list(mended, &["subjects"]).len() == 2));
        let mut live = wanted("ClusterRoleBinding", scheduler);
        live.set(&["roleRef", "name"], "view");
        assert_eq!(reconcile(&live, &wanted("ClusterRoleBinding", scheduler)), Reconciled::Recreate);
    }
}
