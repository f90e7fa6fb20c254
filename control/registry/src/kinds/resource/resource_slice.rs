//! ResourceSlices: devices that a driver offers.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use super::super::validation::affinity::node_selector;
use super::super::validation::checks::named;
use super::super::validation::{At, FieldErrors};
use crate::resource::Resource;
use crate::strategy::{Generation, Warned};
use sampan_api::field::BadValue;
use sampan_api::names;
use serde_json::Value;
use std::collections::HashSet;

pub(super) fn row() -> Resource {
    Resource::new("resource.k8s.io", "v1", "resourceslices", "ResourceSlice")
        .cluster_scoped()
        .selectable("spec.nodeName")
        .selectable("spec.driver")
        .refuses_labels(|row, label| format!("field label not supported for {}: {label}", row.gvk()))
        .strategy(RULES)
        .table(&[])
}

const RULES: Rules = Rules {
    returns_deleted_object: true,
    generation: Generation::AsSent,
    validate: Some(|_, slice| {
        let mut errors = FieldErrors::default();
        let at = At::object(slice);
        let spec = at.get("spec");
        place(spec, &mut errors);
        devices(spec, &mut errors);
        errors
    }),
    validate_update: Some(|_, slice, _| {
        let mut errors = FieldErrors::default();
        let at = At::object(slice);
        let spec = at.get("spec");
        place(spec, &mut errors);
        devices(spec, &mut errors);
        errors
    }),
    warnings: &[(Warned::Object, |_, slice, _| {
        let driver = slice.get_str(&["spec", "driver"]).unwrap_or("");
        let upper = driver.bytes().any(|b| b.is_ascii_uppercase());
        let text = "spec.driver: driver names should be lowercase;";
        upper.then(|| format!("{text} {driver:?} contains uppercase characters")).into_iter().collect()
    })],
    ..Rules::NONE
};

/// The nodes that can use the devices.
fn place(spec: At<'_>, errors: &mut FieldErrors) {
    const ONE: &str = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    let node = spec.get("nodeName");
    match node.text() {
        "" if node.is_set() => node.invalid(errors, "must be either unset or set to a non-empty string"),
        "" => {}
        _ => named(node, errors, names::dns1123_subdomain),
    }
    let selector = spec.get("nodeSelector");
    let terms = selector.get("nodeSelectorTerms");
    if selector.is_set() {
        node_selector(selector, errors);
    }
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

const DEVICES_MAX: usize = 128;
/// Of devices that have taints or consume counters.
const HEAVY_DEVICES_MAX: usize = 64;
/// Attributes and capacities of one device together.
const PROPERTIES_MAX: usize = 32;

fn devices(spec: At<'_>, errors: &mut FieldErrors) {
    let list = spec.get("devices");
    let heavy = |device: At<'_>| !device.get("taints").is_empty() || !device.get("consumesCounters").is_empty();
    let max = if list.items().any(heavy) { HEAVY_DEVICES_MAX } else { DEVICES_MAX };
    if list.len() > max {
        return list.too_many(errors, max);
    }
    let mut seen = HashSet::new();
    for device in list.items() {
        named(device.get("name"), errors, names::dns1123_label);
        let (attributes, capacity) = (device.get("attributes"), device.get("capacity"));
        let properties = attributes.len() + capacity.len();
        if properties > PROPERTIES_MAX {
            let text = format!("the total number of attributes and capacities must not exceed {PROPERTIES_MAX}");
            device.invalid_as(errors, properties, text);
        }
        for (name, attribute) in attributes.entries() {
            super::qualified(attribute, name, errors);
            one_value(attribute, errors);
        }
        for (name, amount) in capacity.entries() {
            super::qualified(amount, name, errors);
        }
    }
    for device in list.items() {
        let name = device.get("name").text().to_owned();
        if seen.contains(&name) {
            device.duplicate_as(errors, name);
        } else {
            seen.insert(name);
        }
    }
}

/// An attribute has one value, of one of four types.
fn one_value(attribute: At<'_>, errors: &mut FieldErrors) {
    const ONE: &str = "exactly one value must be specified";
    let version = attribute.get("version");
    if version.is_set() && !is_version(version.text()) {
        version.invalid(errors, "must be a string compatible with semver.org spec 2.0.0");
    }
    let set = ["bool", "int", "string", "version"].iter().filter(|name| attribute.get(name).is_set()).count();
    match set {
        0 => attribute.invalid_as(errors, "", ONE),
        1 => {}
        _ => {
            let value = |name: &str| attribute.get(name).value().to_string();
            let shown = format!(
                "{{\"IntValue\":{},\"BoolValue\":{},\"StringValue\":{},\"VersionValue\":{}}}",
                value("int"),
                value("bool"),
                value("string"),
                value("version")
            );
            attribute.invalid_as(errors, BadValue::Raw(shown), ONE);
        }
    }
}

/// A version by semver.org's rules.
fn is_version(text: &str) -> bool {
    let identifier = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let number = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) && (part == "0" || !part.starts_with('0'))
    };
    let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
    let (core, pre) = text.split_once('-').map_or((text, None), |(core, pre)| (core, Some(pre)));
    let sound_pre = |part: &str| identifier(part) && (!part.bytes().all(|b| b.is_ascii_digit()) || number(part));
    core.split('.').count() == 3
        && core.split('.').all(number)
        && pre.is_none_or(|pre| pre.split('.').all(sound_pre))
        && build.is_none_or(|build| build.split('.').all(identifier))
}
