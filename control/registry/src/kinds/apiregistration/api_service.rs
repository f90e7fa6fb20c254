//! APIServices: the server of a group and version.

use super::super::columns::{Cell, Tabled};
use super::super::core::condition;
use super::super::rules::Rules;
use crate::resource::Resource;
use sampan_api::object::Object;
use serde_json::Value;

pub(super) fn row() -> Resource {
    Resource::new("apiregistration.k8s.io", "v1", "apiservices", "APIService")
        .cluster_scoped()
        .categories(["api-extensions"])
        .view("status")
        .resets("status", &[&["metadata"], &["spec"]])
        .strategy(RULES)
        .table(CELLS)
}

const RULES: Rules = Rules { finalizers_without_domain: true, ..Rules::NONE };

const CELLS: &[(&str, Cell)] = &[
    ("service", |object, _| {
        let field = |name: &str| object.get_str(&["spec", "service", name]).unwrap_or("");
        match object.get(&["spec", "service"]) {
            Some(Value::Object(_)) => format!("{}/{}", field("namespace"), field("name")).into(),
            _ => "Local".into(),
        }
    }),
    ("available", |object, _| available(object).into()),
];

fn available(object: &Object) -> String {
    let condition = condition(object, "Available");
    let field = |name: &str| condition.and_then(|condition| condition.get(name)).and_then(Value::as_str).unwrap_or("");
    match (field("status"), field("reason")) {
        ("", _) => "Unknown".to_owned(),
        ("True", _) => "True".to_owned(),
        (status, reason) => format!("{status} ({reason})"),
    }
}
