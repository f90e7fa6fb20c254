//! ResourceSlices: devices that a driver offers.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use super::super::validation::checks::immutable;
use super::super::validation::{At, FieldErrors};
use crate::resource::Resource;
use crate::strategy::Generation;
use serde_json::Value;

pub(super) fn row() -> Resource {
    Resource::new("resource.k8s.io", "v1", "resourceslices", "ResourceSlice")
        .cluster_scoped()
        .selectable("spec.nodeName")
        .selectable("spec.driver")
        .strategy(RULES)
        .table(&[])
}

const RULES: Rules = Rules {
    returns_deleted_object: true,
    generation: Generation::Spec,
    validate: Some(|_, slice| {
        let mut errors = FieldErrors::default();
        place(At::object(slice).get("spec"), &mut errors);
        errors
    }),
    validate_update: Some(|_, slice, old| {
        let mut errors = FieldErrors::default();
        let (at, old) = (At::object(slice), At::object(old));
        let (spec, old) = (at.get("spec"), old.get("spec"));
        let (pool, old_pool) = (spec.get("pool"), old.get("pool"));
        immutable(pool.get("name"), old_pool.get("name"), &mut errors);
        // A node may write the slices that are its own: they stay its own.
        for field in ["driver", "nodeName"] {
            immutable(spec.get(field), old.get(field), &mut errors);
        }
        place(spec, &mut errors);
        errors
    }),
    ..Rules::NONE
};

/// The nodes that can use the devices.
fn place(spec: At<'_>, errors: &mut FieldErrors) {
    const ONE: &str = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    let node = spec.get("nodeName");
    if node.is_set() && node.is_empty() {
        node.invalid(errors, "must be either unset or set to a non-empty string");
    }
    let selector = spec.get("nodeSelector");
    let terms = selector.get("nodeSelectorTerms");
    if selector.is_set() && terms.len() != 1 {
        terms.invalid(errors, "must have exactly one node selector term");
    }
    let mut set: Vec<&str> = Vec::new();
    set.extend((!node.is_empty()).then_some("`nodeName`"));
    set.extend(selector.is_set().then_some("`nodeSelector`"));
    for (field, name) in [("allNodes", "`allNodes`"), ("perDeviceNodeSelection", "`perDeviceNodeSelection`")] {
        let flag = spec.get(field);
        match flag.value() {
            Value::Bool(true) => set.push(name),
            Value::Bool(false) => flag.invalid(errors, "must be either unset or set to true"),
            _ => {}
        }
    }
    match set.len() {
        0 => spec.required(errors, ONE),
        1 => {}
        _ => {
            let shown = format!("{{{}}}", set.join(", "));
            spec.invalid_as(errors, shown, format!("{ONE}, but multiple fields are set"));
        }
    }
}
