//! Role-based access control: who may do what, and who may give it away, by roles and bindings of all that they may say.

use crate::Compared;
use sampan_api::user::{Attributes, UserInfo};
use sampan_auth::rbac::{Binding, Index, PolicyRule, Role, RoleRef, Subject};
use sampan_testing::Dice;
use serde_json::{Value, json};
use std::sync::Arc;

pub(crate) const AUTHORIZATION: Compared = Compared {
    of: "rbac",
    input: |dice| {
        let mut input = policy(dice);
        let path = dice.one_in(5);
        input["verb"] = one_of(dice, &["get", "list", "create", "bind"]).into();
        input["group"] = one_of(dice, &["", "", "apps"]).into();
        input["resource"] = one_of(dice, &["pods", "nodes", "deployments", "a/b"]).into();
        input["subresource"] = one_of(dice, &["", "", "log", "status"]).into();
        input["name"] = one_of(dice, &["", "x", "y"]).into();
        input["path"] = one_of(dice, &["/healthz", "/api", "/api/v1", "/metrics"]).into();
        input["resourceRequest"] = (!path).into();
        input
    },
    ours: |input| {
        let decision = index(input).authorize(&attributes(input));
        if decision.allowed() { Ok(decision.reason.into()) } else { Err(format!("no opinion. {}", decision.reason)) }
    },
    errors: &[
        "no opinion. RBAC: role.rbac.authorization.k8s.io",
        "no opinion. RBAC: clusterrole.rbac.authorization.k8s.io",
        "no opinion. RBAC: [",
    ],
    ..Compared::NOTHING
};

pub(crate) const ESCALATION: Compared = Compared {
    of: "rbac-escalation",
    input: |dice| {
        let mut input = policy(dice);
        input["rules"] = if dice.one_in(2) {
            // What one of the roles gives, or less: mostly held.
            let roles = input["clusterRoles"].as_array().into_iter().chain(input["roles"].as_array());
            let all: Vec<&Value> = roles.flatten().filter(|role| role["rules"] != json!([])).collect();
            if all.is_empty() { json!([]) } else { all[dice.roll(all.len() as u64) as usize]["rules"].clone() }
        } else {
            rules(dice, 1)
        };
        input
    },
    ours: |input| {
        let rules: Vec<PolicyRule> = serde_json::from_value(input["rules"].clone()).expect("rules");
        match index(input).escalation(&user(input), text(input, "namespace"), &rules) {
            None => Ok("held".into()),
            Some(why) => Err(why),
        }
    },
    errors: &["is attempting to grant RBAC permissions not currently held:", "; resolution errors: ["],
    ..Compared::NOTHING
};

fn one_of<'a>(dice: &mut Dice, words: &[&'a str]) -> &'a str {
    words[dice.roll(words.len() as u64) as usize]
}

/// One to `most` of these, each once or more often.
fn some(dice: &mut Dice, most: u64, words: &[&str]) -> Value {
    (0..1 + dice.roll(most)).map(|_| Value::from(one_of(dice, words))).collect()
}

fn rules(dice: &mut Dice, most: u64) -> Value {
    let one = |dice: &mut Dice| {
        let mut rule = json!({"verbs": some(dice, 2, &["get", "list", "create", "bind", "*", "*"])});
        if dice.one_in(6) {
            rule["nonResourceURLs"] = some(dice, 2, &["/healthz", "/api/*", "/api", "*", "/met*", "/**"]);
        } else {
            rule["apiGroups"] = some(dice, 2, &["", "apps", "*", "*"]);
            let resources =
                ["pods", "nodes", "deployments", "pods/log", "*/log", "*", "*", "pods/*", "*/*", "*/status"];
            rule["resources"] = some(dice, 3, &resources);
            if dice.one_in(6) {
                rule["resourceNames"] = some(dice, 2, &["x", "y", "*", ""]);
            }
        }
        rule
    };
    (0..dice.roll(most + 1)).map(|_| one(dice)).collect()
}

fn subjects(dice: &mut Dice) -> Value {
    let one = |dice: &mut Dice| match dice.roll(4) {
        0 => json!({"kind": "User", "name": one_of(dice, &["a", "b", "system:serviceaccount:n1:s"])}),
        1 => json!({"kind": "ServiceAccount", "name": "s", "namespace": one_of(dice, &["n1", "n2"])}),
        _ => json!({"kind": "Group", "name": one_of(dice, &["g", "h", "system:serviceaccounts:n1"])}),
    };
    (0..2 + dice.roll(3)).map(|_| one(dice)).collect()
}

/// Roles, bindings, and who asks in which namespace.
fn policy(dice: &mut Dice) -> Value {
    let role = |dice: &mut Dice, namespace: &str, at: u64| json!({"metadata": {"name": format!("r{at}"), "namespace": namespace}, "rules": rules(dice, 5)});
    let binding = |dice: &mut Dice, namespace: &str, at: u64| {
        let kind = if namespace.is_empty() || dice.one_in(2) { "ClusterRole" } else { "Role" };
        // One of those, or none that is there.
        let name = format!("r{}", dice.roll(6));
        json!({"metadata": {"name": format!("b{at}"), "namespace": namespace}, "subjects": subjects(dice),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}})
    };
    let spaced: Vec<(&str, u64)> =
        ["n1", "n2"].into_iter().flat_map(|space| (0..3).map(move |at| (space, at))).collect();
    let roles: Value = spaced.iter().map(|(space, at)| role(dice, space, *at)).collect();
    let cluster_roles: Value = (0..5).map(|at| role(dice, "", at)).collect();
    let bindings: Value = spaced.iter().map(|(space, at)| binding(dice, space, *at)).collect();
    let cluster_bindings: Value = (0..1 + dice.roll(3)).map(|at| binding(dice, "", at)).collect();
    let user = one_of(dice, &["a", "b", "a", "system:serviceaccount:n1:s"]);
    let groups: Value = (0..dice.roll(4)).map(|_| one_of(dice, &["g", "h", "i"])).collect();
    json!({"roles": roles, "clusterRoles": cluster_roles, "roleBindings": bindings, "clusterRoleBindings": cluster_bindings,
        "user": user, "groups": groups, "namespace": one_of(dice, &["n1", "n1", "n2", "n2", ""])})
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

fn items<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    value[name].as_array().into_iter().flatten()
}

fn user(input: &Value) -> UserInfo {
    let groups = items(input, "groups").filter_map(Value::as_str).map(str::to_owned).collect();
    UserInfo { name: text(input, "user").to_owned(), groups, ..UserInfo::default() }
}

fn attributes(input: &Value) -> Attributes {
    let text = |name: &str| text(input, name).to_owned();
    Attributes {
        user: Arc::new(user(input)),
        verb: text("verb"),
        namespace: text("namespace"),
        group: text("group"),
        version: "v1".to_owned(),
        resource: text("resource"),
        subresource: text("subresource"),
        name: text("name"),
        resource_request: input["resourceRequest"] == true,
        path: text("path"),
        field_selector: String::new(),
        label_selector: String::new(),
    }
}

fn index(input: &Value) -> Index {
    let index = Index::default();
    for role in items(input, "roles").chain(items(input, "clusterRoles")) {
        let metadata = &role["metadata"];
        index.set_role(Role {
            namespace: text(metadata, "namespace").to_owned(),
            name: text(metadata, "name").to_owned(),
            rules: serde_json::from_value(role["rules"].clone()).expect("rules"),
            ..Role::default()
        });
    }
    for binding in items(input, "roleBindings").chain(items(input, "clusterRoleBindings")) {
        let (metadata, role) = (&binding["metadata"], text(&binding["roleRef"], "name").to_owned());
        let subjects = items(binding, "subjects").map(|subject| {
            let name = text(subject, "name").to_owned();
            match text(subject, "kind") {
                "User" => Subject::User(name),
                "Group" => Subject::Group(name),
                _ => Subject::ServiceAccount { namespace: text(subject, "namespace").to_owned(), name },
            }
        });
        let of_cluster = binding["roleRef"]["kind"] == "ClusterRole";
        index.set_binding(Binding {
            namespace: text(metadata, "namespace").to_owned(),
            name: text(metadata, "name").to_owned(),
            role: if of_cluster { RoleRef::ClusterRole(role) } else { RoleRef::Role(role) },
            subjects: subjects.collect(),
        });
    }
    index.settle();
    index
}
