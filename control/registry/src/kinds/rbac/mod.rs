//! `rbac.authorization.k8s.io`: roles and their grants.

mod cluster_role;
mod cluster_role_binding;
mod role;
mod role_binding;

use super::columns::Cell;
use super::rules::Rules;
use super::validation::checks::required_named;
use super::validation::{At, FieldErrors};
use crate::resource::Resource;
use crate::strategy::MetadataOfUpdate;
use sampan_api::names;
use sampan_api::object::Object;
use serde_json::Value;

pub(super) fn rows() -> Vec<Resource> {
    vec![cluster_role_binding::row(), cluster_role::row(), role_binding::row(), role::row()]
}

/// The cells of both sorts of bindings.
const SUBJECT_CELLS: &[(&str, Cell)] = &[
    ("role", |binding, _| {
        let field = |name: &str| binding.get_str(&["roleRef", name]).unwrap_or("");
        format!("{}/{}", field("kind"), field("name")).into()
    }),
    ("users", |binding, _| subjects(binding, "User").into()),
    ("groups", |binding, _| subjects(binding, "Group").into()),
    ("service-accounts", |binding, _| subjects(binding, "ServiceAccount").into()),
];

fn subjects(binding: &Object, kind: &str) -> String {
    let list = binding.get(&["subjects"]).and_then(Value::as_array);
    let field = |subject: &Value, name: &str| subject.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
    let of_kind = list.into_iter().flatten().filter(|subject| field(subject, "kind") == kind);
    let names = of_kind.map(|subject| match kind {
        "ServiceAccount" => format!("{}/{}", field(subject, "namespace"), field(subject, "name")),
        _ => field(subject, "name"),
    });
    names.collect::<Vec<_>>().join(", ")
}

const GROUP: &str = "rbac.authorization.k8s.io";

/// Checks the rules, each by itself.
fn rules(at: At<'_>, namespaced: bool, errors: &mut FieldErrors) {
    for rule in at.items() {
        if rule.get("verbs").is_empty() {
            rule.get("verbs").required(errors, "verbs must contain at least one value");
        }
        let (urls, groups, resources) = (rule.get("nonResourceURLs"), rule.get("apiGroups"), rule.get("resources"));
        if urls.is_empty() {
            if groups.is_empty() {
                groups.required(errors, "resource rules must supply at least one api group");
            }
            if resources.is_empty() {
                resources.required(errors, "resource rules must supply at least one resource");
            }
            continue;
        }
        if namespaced {
            urls.invalid(errors, "namespaced rules cannot apply to non-resource URLs");
        }
        if !groups.is_empty() || !resources.is_empty() || !rule.get("resourceNames").is_empty() {
            urls.invalid(errors, "rules cannot apply to both regular resources and non-resource URLs");
        }
    }
}

/// The strategy of both sorts of bindings. Only one in a namespace may refer to a role of that namespace.
const fn binding_rules<const NAMESPACED: bool>() -> Rules {
    Rules {
        metadata_of_update: Some(MetadataOfUpdate::Both),
        validate: Some(|_, object| {
            let mut errors = FieldErrors::default();
            binding(At::object(object), roles(NAMESPACED), &mut errors);
            errors
        }),
        validate_update: Some(|_, object, old| {
            let mut errors = FieldErrors::default();
            binding_update(At::object(object), At::object(old), roles(NAMESPACED), &mut errors);
            errors
        }),
        create_on_update: true,
        name: names::path_segment,
        ..Rules::NONE
    }
}

fn roles(namespaced: bool) -> &'static [&'static str] {
    if namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] }
}

/// A binding of either sort. `roles`: the kinds that it may refer to.
fn binding(at: At<'_>, roles: &[&str], errors: &mut FieldErrors) {
    let role = at.get("roleRef");
    if role.get("apiGroup").text() != GROUP {
        role.get("apiGroup").not_supported(errors, &[GROUP]);
    }
    if !roles.contains(&role.get("kind").text()) {
        role.get("kind").not_supported(errors, roles);
    }
    required_named(role.get("name"), errors, names::path_segment);
    let subjects = at.get("subjects");
    for subject in subjects.items() {
        let (name, group) = (subject.get("name"), subject.get("apiGroup"));
        if name.is_empty() {
            name.required(errors, "");
        }
        match subject.get("kind").text() {
            "ServiceAccount" => {
                if !name.is_empty() {
                    name.invalid_each(errors, names::dns1123_subdomain(name.text()));
                }
                if !group.is_empty() {
                    group.not_supported(errors, &[""]);
                }
                // In a namespace it is that namespace's.
                if roles.len() == 1 && subject.get("namespace").is_empty() {
                    subject.get("namespace").required(errors, "");
                }
            }
            "User" | "Group" => {
                if group.text() != GROUP {
                    group.not_supported(errors, &[GROUP]);
                }
            }
            _ => subject.get("kind").not_supported(errors, &["ServiceAccount", "User", "Group"]),
        }
    }
}

fn binding_update(at: At<'_>, old: At<'_>, roles: &[&str], errors: &mut FieldErrors) {
    binding(at, roles, errors);
    let (role, old) = (at.get("roleRef"), old.get("roleRef"));
    if role.value() != old.value() {
        let shown = serde_json::json!({
            "APIGroup": role.get("apiGroup").text(), "Kind": role.get("kind").text(), "Name": role.get("name").text(),
        });
        role.invalid_as(
            errors,
            super::validation::checks::ordered(&shown, &["APIGroup", "Kind", "Name"]),
            "cannot change roleRef",
        );
    }
}
