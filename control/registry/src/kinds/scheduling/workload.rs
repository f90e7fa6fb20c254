//! Workloads: groups of pods that are scheduled together.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use super::super::validation::checks::{IMMUTABLE, named_if_set, positive, required_named};
use super::super::validation::{At, FieldErrors};
use crate::resource::Resource;
use sampan_api::names;
use std::collections::HashSet;

pub(super) fn row() -> Resource {
    Resource::new("scheduling.k8s.io", "v1alpha1", "workloads", "Workload")
        .gated("GenericWorkload")
        .strategy(RULES)
        .table(&[])
}

const RULES: Rules = Rules {
    validate: Some(|_, workload| {
        let mut errors = FieldErrors::default();
        spec(At::object(workload).get("spec"), &mut errors);
        errors
    }),
    validate_update: Some(|_, workload, old| {
        let mut errors = FieldErrors::default();
        let (at, old) = (At::object(workload), At::object(old));
        let (at_spec, before) = (at.get("spec"), old.get("spec"));
        spec(at_spec, &mut errors);
        // Kubernetes tells of these two without the spec.
        for (field, fixed) in [("controllerRef", before.get("controllerRef").is_set()), ("podGroups", true)] {
            if fixed && at_spec.get(field).value() != before.get(field).value() {
                At::within(at_spec.get(field).value(), &at, field).invalid(&mut errors, IMMUTABLE);
            }
        }
        errors
    }),
    ..Rules::NONE
};

/// Groups of a workload.
const GROUPS_MAX: usize = 8;

fn spec(at: At<'_>, errors: &mut FieldErrors) {
    let controller = at.get("controllerRef");
    if controller.is_set() {
        named_if_set(controller.get("apiGroup"), errors, names::dns1123_subdomain);
        required_named(controller.get("kind"), errors, names::path_segment);
        required_named(controller.get("name"), errors, names::path_segment);
    }
    let groups = at.get("podGroups");
    if groups.is_empty() {
        return groups.required(errors, "must have at least one item");
    }
    if groups.len() > GROUPS_MAX {
        return groups.too_many(errors, GROUPS_MAX);
    }
    let mut seen = HashSet::new();
    for group in groups.items() {
        let name = group.get("name");
        name.invalid_each(errors, names::dns1123_label(name.text()));
        if !seen.insert(name.text().to_owned()) {
            name.duplicate(errors);
        }
        policy(group.get("policy"), errors);
    }
}

fn policy(at: At<'_>, errors: &mut FieldErrors) {
    match (at.get("basic").is_set(), at.get("gang").is_set()) {
        (false, false) => at.required(errors, "exactly one of `basic`, `gang` is required"),
        (true, true) => at.invalid_as(
            errors,
            "{`basic`, `gang`}",
            "exactly one of `basic`, `gang` is required, but multiple fields are set",
        ),
        (true, false) => {}
        (false, true) => positive(at.get("gang").get("minCount"), errors),
    }
}
