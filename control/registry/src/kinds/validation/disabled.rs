//! Parts of pods that go with a feature that is off, unless the pod has them already (pkg/api/pod/util.go). Fields that only
//! have to go are facts of the schema; these leave something else behind.

use super::container::LISTS;
use sampan_api::object::Object;
use sampan_schema::gates::Gates;
use serde_json::{Map, Value};
use std::collections::HashSet;

type Spec = Map<String, Value>;

/// What goes with a feature.
struct Part {
    gate: &'static str,
    in_use: fn(&Spec) -> bool,
    drop: fn(&mut Spec),
}

const PARTS: [Part; 4] = [
    Part { gate: "SELinuxChangePolicy", in_use: relabels, drop: drop_policy },
    Part { gate: "ProcMountType", in_use: unmasked, drop: mask },
    Part { gate: "ContainerRestartRules", in_use: restarted, drop: drop_restarts },
    Part { gate: "ImageVolume", in_use: has_images, drop: drop_images },
];

/// Drops them from the pod at `way` in an object, or from the template there.
pub(in crate::kinds) fn drop_from(gates: &Gates, object: &mut Object, old: Option<&Object>, way: &[&str]) {
    let path: Vec<&str> = way.iter().copied().chain(["spec"]).collect();
    for part in PARTS.iter().filter(|part| !gates.enabled(part.gate)) {
        let before = old.and_then(|old| old.get(&path)).and_then(Value::as_object);
        let spec = object.get_mut(&path).and_then(Value::as_object_mut);
        if let (Some(spec), false) = (spec, before.is_some_and(part.in_use)) {
            (part.drop)(spec);
        }
    }
}

fn list<'a>(spec: &'a Spec, name: &str) -> impl Iterator<Item = &'a Map<String, Value>> {
    spec.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object)
}

fn list_mut<'a>(spec: &'a mut Spec, name: &str) -> impl Iterator<Item = &'a mut Map<String, Value>> {
    spec.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}

fn relabels(spec: &Spec) -> bool {
    spec.get("securityContext").is_some_and(|security| security.get("seLinuxChangePolicy").is_some())
}

/// Removes the policy alone: a security context that had nothing else is left empty.
fn drop_policy(spec: &mut Spec) {
    if let Some(Value::Object(security)) = spec.get_mut("securityContext") {
        security.remove("seLinuxChangePolicy");
    }
}

fn proc_mount(container: &Map<String, Value>) -> Option<&str> {
    container.get("securityContext")?.get("procMount")?.as_str()
}

fn unmasked(spec: &Spec) -> bool {
    LISTS
        .iter()
        .any(|name| list(spec, name).any(|container| proc_mount(container).is_some_and(|mount| mount != "Default")))
}

/// Sets each `procMount` that is set to `Default`; none is removed.
fn mask(spec: &mut Spec) {
    for name in LISTS {
        for container in list_mut(spec, name) {
            if proc_mount(container).is_some() {
                container["securityContext"]["procMount"] = "Default".into();
            }
        }
    }
}

/// Whether a container has a policy of its own, sidecars' aside.
fn restarted(spec: &Spec) -> bool {
    let of_init = |one: &Map<String, Value>| {
        one.get("restartPolicy").is_some_and(|policy| policy != "Always")
            || one.get("restartPolicyRules").and_then(Value::as_array).is_some_and(|rules| !rules.is_empty())
    };
    list(spec, "initContainers").any(of_init) || list(spec, "containers").any(|one| one.contains_key("restartPolicy"))
}

fn drop_restarts(spec: &mut Spec) {
    for name in LISTS {
        for container in list_mut(spec, name) {
            container.remove("restartPolicyRules");
            // A sidecar is one by its policy.
            if name != "initContainers" || container.get("restartPolicy").is_some_and(|policy| policy != "Always") {
                container.remove("restartPolicy");
            }
        }
    }
}

fn has_images(spec: &Spec) -> bool {
    list(spec, "volumes").any(|volume| volume.contains_key("image"))
}

/// The volumes go, and what mounts them.
fn drop_images(spec: &mut Spec) {
    let name = |one: &Value| one.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let is_image = |volume: &Value| volume.get("image").is_some();
    let mut gone = HashSet::new();
    let Some(Value::Array(volumes)) = spec.get_mut("volumes") else { return };
    gone.extend(volumes.iter().filter(|volume| is_image(volume)).map(name));
    volumes.retain(|volume| !is_image(volume));
    if volumes.is_empty() {
        spec.remove("volumes");
    }
    for list in LISTS {
        for container in list_mut(spec, list) {
            let Some(Value::Array(mounts)) = container.get_mut("volumeMounts") else { continue };
            mounts.retain(|mount| !gone.contains(&name(mount)));
            if mounts.is_empty() {
                container.remove("volumeMounts");
            }
        }
    }
}
