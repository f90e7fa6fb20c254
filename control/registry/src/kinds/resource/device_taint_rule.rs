//! DeviceTaintRules: taints that an administrator puts on devices.

use super::super::columns::Tabled;
use super::super::rules::{Rules, facts_alone};
use super::super::validation::checks::conditions;
use super::super::validation::{At, FieldErrors};
use crate::resource::Resource;
use crate::strategy::Generation;
use sampan_api::object::Object;
use sampan_api::time::rfc3339;
use std::time::SystemTime;

pub(super) fn row() -> Resource {
    Resource::new("resource.k8s.io", "v1alpha3", "devicetaintrules", "DeviceTaintRule")
        .cluster_scoped()
        .view("status")
        .resets("status", &[&["metadata"], &["spec"]])
        .strategy(RULES)
        .table(&[])
}

/// Conditions of a status.
const CONDITIONS_MAX: usize = 8;

const RULES: Rules = Rules {
    prepare_for_create: Some(|ctx, rule| added(rule, ctx.now)),
    prepare_for_update: Some(|ctx, rule, _| added(rule, ctx.now)),
    validate_update: Some(facts_alone),
    validate_status: Some(|_, rule, _| {
        let mut errors = FieldErrors::default();
        let at = At::object(rule);
        let status = at.get("status");
        let list = status.get("conditions");
        conditions(list, &mut errors);
        if list.len() > CONDITIONS_MAX {
            list.too_many(&mut errors, CONDITIONS_MAX);
        }
        errors
    }),
    generation: Generation::Spec,
    ..Rules::NONE
};

/// A taint whose time is not given is as old as the write.
fn added(rule: &mut Object, now: SystemTime) {
    if rule.get(&["spec", "taint", "timeAdded"]).is_none() && rule.get(&["spec", "taint"]).is_some() {
        rule.set(&["spec", "taint", "timeAdded"], rfc3339(now));
    }
}
