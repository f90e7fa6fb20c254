//! StorageVersionMigrations: that objects of a kind be stored anew in the version in which they are stored now.

use super::super::columns::{Cell, Tabled};
use super::super::core::condition_is;
use super::super::rules::Rules;
use super::super::validation::checks::{IMMUTABLE, conditions, immutable};
use super::super::validation::{At, FieldErrors};
use crate::resource::Resource;
use sampan_api::names;
use sampan_api::object::Object;
use serde_json::Value;

pub(super) fn row() -> Resource {
    Resource::new("storagemigration.k8s.io", "v1beta1", "storageversionmigrations", "StorageVersionMigration")
        .cluster_scoped()
        .gated("StorageVersionMigrator")
        .view("status")
        .resets("status", &[&["metadata"], &["spec"]])
        .strategy(RULES)
        .table(CELLS)
}

const RULES: Rules = Rules {
    validate: Some(|_, migration| {
        let mut errors = FieldErrors::default();
        spec(At::object(migration).get("spec"), &mut errors);
        errors
    }),
    validate_update: Some(|ctx, migration, old| {
        let mut errors = FieldErrors::default();
        if !ctx.subresource.is_empty() {
            status(migration, old, &mut errors);
            return errors;
        }
        let (at, before) = (At::object(migration), At::object(old));
        spec(at.get("spec"), &mut errors);
        immutable(at.get("spec"), before.get("spec"), &mut errors);
        errors
    }),
    unconditional_update: false,
    ..Rules::NONE
};

fn spec(at: At<'_>, errors: &mut FieldErrors) {
    let of = at.get("resource");
    let (group, resource) = (of.get("group"), of.get("resource"));
    let joined = |at: At<'_>, wrong: Vec<String>, errors: &mut FieldErrors| {
        if !wrong.is_empty() {
            at.invalid(errors, wrong.join(","));
        }
    };
    match resource.is_empty() {
        true => resource.required(errors, "resource is required to be set"),
        false => joined(resource, names::dns1035_label(resource.text()), errors),
    }
    if !group.is_empty() {
        joined(group, names::dns1123_subdomain(group.text()), errors);
    }
}

const RUNNING: &str = "Running";
const SUCCEEDED: &str = "Succeeded";
const FAILED: &str = "Failed";

/// Reasons and words of `ValidateStorageVersionMigrationStatusUpdate`.
fn status(migration: &Object, old: &Object, errors: &mut FieldErrors) {
    let (at, before) = (At::object(migration), At::object(old));
    let (at, before) = (at.get("status"), before.get("status"));
    let (version, was) = (at.get("resourceVersion"), before.get("resourceVersion"));
    let digits = version.text().bytes().all(|b| b.is_ascii_digit());
    if version.is_empty() || !digits || version.text().starts_with('0') {
        let why = format!("resource version is not well formed: {}", version.text());
        version.invalid_as(errors, version.text(), why);
    }
    conditions(at.get("conditions"), errors);
    if !was.is_empty() && was.text() != version.text() {
        version.invalid_as(errors, version.text(), IMMUTABLE);
    }
    let is = |type_: &str| condition_is(migration, type_, "True");
    let wrong = [
        (is(SUCCEEDED) && is(FAILED), "Both success and failed conditions cannot be true at the same time"),
        (is(SUCCEEDED) && is(RUNNING), "Running condition cannot be true when success condition is true"),
        (is(FAILED) && is(RUNNING), "Running condition cannot be true when failed condition is true"),
        (
            condition_is(old, SUCCEEDED, "True") && !is(SUCCEEDED),
            "Success condition cannot be set to false once it is true",
        ),
        (condition_is(old, FAILED, "True") && !is(FAILED), "Failed condition cannot be set to false once it is true"),
    ];
    for (_, why) in wrong.into_iter().filter(|(wrong, _)| *wrong) {
        at.get("conditions").invalid(errors, why);
    }
}

const CELLS: &[(&str, Cell)] = &[
    ("resource", |migration, _| {
        let field = |name: &str| migration.get_str(&["spec", "resource", name]).unwrap_or("");
        match field("group") {
            "" => field("resource").into(),
            group => format!("{}.{group}", field("resource")).into(),
        }
    }),
    ("status", |migration, _| {
        let conditions = migration.get(&["status", "conditions"]).and_then(Value::as_array);
        let held = conditions.into_iter().flatten().filter(|condition| condition["status"] == "True");
        let mut types = held.filter_map(|condition| condition["type"].as_str());
        types.rfind(|type_| [RUNNING, SUCCEEDED, FAILED].contains(type_)).unwrap_or("Unknown").into()
    }),
];
