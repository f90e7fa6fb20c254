//! CSINodes: the storage drivers of a node.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use super::super::validation::checks::IMMUTABLE;
use super::super::validation::{At, FieldErrors};
use crate::resource::Resource;
use crate::strategy::MetadataOfUpdate;
use sampan_api::names;
use serde_json::Value;
use std::collections::{HashMap, HashSet};

pub(super) fn row() -> Resource {
    Resource::new("storage.k8s.io", "v1", "csinodes", "CSINode").cluster_scoped().strategy(RULES).table(&[])
}

const RULES: Rules = Rules {
    metadata_of_update: Some(MetadataOfUpdate::Both),
    returns_deleted_object: true,
    unconditional_update: false,
    validate: Some(|_, node| {
        let mut errors = FieldErrors::default();
        let at = At::object(node);
        check(at.get("spec").get("drivers"), &mut errors);
        errors
    }),
    validate_update: Some(|_, node, old| {
        let mut errors = FieldErrors::default();
        let (at, old) = (At::object(node), At::object(old));
        let spec = at.get("spec");
        let drivers = spec.get("drivers");
        check(drivers, &mut errors);
        let (old_spec, fixed) = (old.get("spec"), |driver: &Value| {
            let mut driver = driver.clone();
            // How many volumes a driver takes may change.
            driver.as_object_mut().map(|driver| driver.remove("allocatable"));
            driver
        });
        let old_drivers = old_spec.get("drivers");
        let before: HashMap<&str, Value> = old_drivers
            .value()
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|driver| Some((driver.get("name")?.as_str()?, fixed(driver))))
            .collect();
        for driver in drivers.items() {
            if before.get(driver.get("name").text()).is_some_and(|before| *before != fixed(driver.value())) {
                drivers.invalid_as(&mut errors, fixed(driver.value()), IMMUTABLE);
            }
        }
        errors
    }),
    ..Rules::NONE
};

fn check(drivers: At<'_>, errors: &mut FieldErrors) {
    let mut seen = HashSet::new();
    for driver in drivers.items() {
        let name = driver.get("name");
        if !seen.insert(name.text().to_owned()) {
            name.duplicate_as(errors, name.text());
        }
        topology_keys(driver, errors);
    }
}

/// Keys by which a driver tells where a node is: what is wrong with one is told at its driver.
fn topology_keys(driver: At<'_>, errors: &mut FieldErrors) {
    let mut seen = HashSet::new();
    for key in driver.get("topologyKeys").items() {
        if key.is_empty() {
            driver.required(errors, "");
        }
        if !seen.insert(key.text()) {
            driver.duplicate_as(errors, key.text());
        }
        driver.invalid_each_as(errors, key.text(), names::qualified_name(key.text()));
    }
}
