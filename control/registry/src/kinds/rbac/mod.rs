//! `rbac.authorization.k8s.io`: who may do what.

mod cluster_role;
mod cluster_role_binding;
mod role;
mod role_binding;

use super::columns::Cell;
use crate::resource::Resource;
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
