//! PersistentVolumes: storage that exists.

use super::super::columns::{Cell, Tabled};
use super::super::rules::Rules;
use super::super::validation::affinity::node_selector;
use super::super::validation::checks::{IMMUTABLE, named, no_backsteps, one_of, required_text};
use super::super::validation::gated::terms_as_go;
use super::super::validation::resources::{basic_quantity, canonical, quantity};
use super::super::validation::sources::{self, Owner};
use super::super::validation::warnings;
use super::super::validation::{At, FieldErrors};
use crate::resource::Resource;
use crate::shapes;
use crate::strategy::{Context, MetadataOfUpdate, Warned};
use sampan_api::field::BadValue;
use sampan_api::names;
use sampan_api::object::Object;
use serde_json::Value;

pub(super) fn row() -> Resource {
    Resource::new("", "v1", "persistentvolumes", "PersistentVolume")
        .cluster_scoped()
        .short_names(["pv"])
        .view("status")
        .strategy(RULES)
        .table(CELLS)
}

const RULES: Rules = Rules {
    metadata_of_update: Some(MetadataOfUpdate::Both),
    gated: &[(CLASS_FEATURE, &["spec", "volumeAttributesClassName"])],
    returns_deleted_object: true,
    warnings: &[(Warned::Object, |_, volume, _| warned(volume))],
    validate: Some(|_, object| {
        let mut errors = FieldErrors::default();
        let at = At::object(object);
        spec(at.get("spec"), object.name(), &mut errors);
        // Volumes that are mounted by a directory, not by a file system.
        let bound = ["hostPath", "local", "fc"].iter().any(|name| at.get("spec").get(name).is_set());
        if object.annotation(MOUNT_OPTIONS).is_some() && bound {
            let metadata = at.get("metadata");
            metadata
                .get("annotations")
                .get(MOUNT_OPTIONS)
                .forbidden(&mut errors, "may not specify mount options for this volume type");
        }
        errors
    }),
    prepare_for_create: Some(|ctx, object| {
        let since = sampan_api::time::rfc3339(ctx.now);
        object.set(&["status"], serde_json::json!({"phase": "Pending", "lastPhaseTransitionTime": since}));
    }),
    prepare_for_update: Some(keep_time_of_phase),
    validate_update: Some(|ctx, object, old| {
        let mut errors = FieldErrors::default();
        if ctx.subresource.is_empty() {
            let (at, old_at) = (At::object(object), At::object(old));
            spec(at.get("spec"), object.name(), &mut errors);
            changes(ctx, at, old_at, &mut errors);
        }
        errors
    }),
    ..Rules::NONE
};

/// Notes when the phase changed, unless the writer of the status says it.
fn keep_time_of_phase(ctx: &Context<'_>, volume: &mut Object, old: &Object) {
    const SINCE: [&str; 2] = ["status", "lastPhaseTransitionTime"];
    if ctx.subresource != "status" {
        return;
    }
    let phase = |volume: &Object| volume.get_str(&["status", "phase"]).unwrap_or("").to_owned();
    let since = |volume: &Object| volume.get(&SINCE).filter(|since| !since.is_null()).cloned();
    match (phase(volume) == phase(old), since(volume)) {
        (true, None) => shapes::restore(volume, old, &SINCE),
        (false, told) if told.is_none() || told == since(old) => volume.set(&SINCE, sampan_api::time::rfc3339(ctx.now)),
        _ => {}
    }
}

/// What may not change of a volume (ValidatePersistentVolumeUpdate).
fn changes(ctx: &Context<'_>, at: At<'_>, old_at: At<'_>, errors: &mut FieldErrors) {
    let (spec, old) = (at.get("spec"), old_at.get("spec"));
    if SOURCES.iter().any(|source| !same_source(spec, old, source)) {
        spec.get("persistentvolumesource")
            .forbidden(errors, "spec.persistentvolumesource is immutable after creation\n");
    }
    if spec.get("volumeMode").value() != old.get("volumeMode").value() {
        at.get("volumeMode").invalid_as(errors, spec.get("volumeMode").value(), IMMUTABLE);
    }
    let (affinity, before) = (spec.get("nodeAffinity"), old.get("nodeAffinity"));
    let fixed = before.is_set() && !ctx.gates.enabled("MutablePVNodeAffinity");
    if fixed && affinity.value() != &renamed(affinity.value(), before.value()) {
        let shown = if affinity.is_set() { selector_as_go(affinity.value()) } else { "null".to_owned() };
        at.get("nodeAffinity").invalid_as(
            errors,
            BadValue::Raw(shown),
            "field is immutable, except for updating from beta label to GA",
        );
    }
    let (class, before) = (spec.get("volumeAttributesClassName"), old.get("volumeAttributesClassName"));
    if class.value() != before.value() && !ctx.gates.enabled(CLASS_FEATURE) {
        class.forbidden(errors, CLASS_FIXED);
    }
    if before.is_set() && !class.is_set() {
        class.forbidden(errors, "update from non-nil value to nil is forbidden");
    }
}

/// A driver's secret for growing may be named later.
fn same_source(spec: At<'_>, old: At<'_>, source: &str) -> bool {
    const LATER: &str = "controllerExpandSecretRef";
    let (new, old) = (spec.get(source), old.get(source));
    if source != "csi" || old.get(LATER).is_set() || !old.is_set() {
        return new.value() == old.value();
    }
    let mut without = new.value().clone();
    without.as_object_mut().map(|map| map.remove(LATER));
    &without == old.value()
}

/// Labels of nodes that have got other names.
const RENAMED: [(&str, &str); 5] = [
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("beta.kubernetes.io/os", "kubernetes.io/os"),
    ("beta.kubernetes.io/arch", "kubernetes.io/arch"),
    ("beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type"),
];

/// The old affinity, with the keys of labels by the names that the new one has for them.
fn renamed(new: &Value, old: &Value) -> Value {
    match (new, old) {
        (Value::Object(new), Value::Object(old)) => old
            .iter()
            .map(|(field, value)| {
                let other = new.get(field).unwrap_or(&Value::Null);
                let known = |text: &Value| RENAMED.iter().any(|(beta, ga)| value == beta && text == ga);
                let value = if field == "key" && known(other) { other.clone() } else { renamed(other, value) };
                (field.clone(), value)
            })
            .collect(),
        (Value::Array(new), Value::Array(old)) => {
            let pair = |(at, value): (usize, &Value)| renamed(new.get(at).unwrap_or(&Value::Null), value);
            old.iter().enumerate().map(pair).collect()
        }
        (_, old) => old.clone(),
    }
}

/// An affinity as Go shows its own struct.
fn selector_as_go(affinity: &Value) -> String {
    let terms = affinity.get("required").and_then(|required| required.get("nodeSelectorTerms"));
    match affinity.get("required") {
        None => "{\"Required\":null}".to_owned(),
        Some(_) => format!("{{\"Required\":{{\"NodeSelectorTerms\":{}}}}}", terms_as_go(terms)),
    }
}

/// The annotation by which volumes and claims named their class before there was a field.
pub(super) const CLASS: &str = "volume.beta.kubernetes.io/storage-class";
const MOUNT_OPTIONS: &str = "volume.beta.kubernetes.io/mount-options";
const OLD_ANNOTATIONS: [(&str, &str); 2] = [
    (CLASS, "deprecated since v1.8; use \"storageClassName\" attribute instead"),
    (MOUNT_OPTIONS, "deprecated since v1.31; use \"mountOptions\" attribute instead"),
];

/// What a volume is warned of beyond plain facts of its fields.
fn warned(volume: &Object) -> Vec<String> {
    let mut all = Vec::new();
    for (key, text) in OLD_ANNOTATIONS {
        if volume.annotation(key).is_some() {
            all.push(format!("metadata.annotations[{key}]: {text}"));
        }
    }
    let at = At::object(volume);
    let spec = at.get("spec");
    let affinity = spec.get("nodeAffinity");
    let required = affinity.get("required");
    required.get("nodeSelectorTerms").items().for_each(|term| warnings::node_term(term, &mut all));
    all
}

const CELLS: &[(&str, Cell)] = &[
    ("access-modes", |volume, _| super::access_modes(volume.get(&["spec", "accessModes"])).into()),
    ("phase", |volume, _| super::phase(volume).into()),
    ("claim", |volume, _| claim(volume).into()),
    ("storage-class", |volume, _| super::storage_class(volume).into()),
];

fn claim(volume: &Object) -> String {
    let field = |name: &str| volume.get_str(&["spec", "claimRef", name]).unwrap_or("");
    if volume.get(&["spec", "claimRef"]).is_some_and(|claim| claim.is_object()) {
        format!("{}/{}", field("namespace"), field("name"))
    } else {
        String::new()
    }
}

/// In the order in which a second one is found.
const SOURCES: [&str; 22] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
];
const MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

/// `name`: the volume's.
fn spec(at: At<'_>, name: &str, errors: &mut FieldErrors) {
    access_modes(at.get("accessModes"), errors);
    let capacity = at.get("capacity");
    if capacity.is_empty() {
        capacity.required(errors, "");
    }
    if !capacity.key("storage").is_set() || capacity.len() > 1 {
        capacity.not_supported_as(errors, capacity.value(), &["storage"]);
    }
    for (_, amount) in capacity.entries() {
        basic_quantity(amount, errors);
        if quantity(amount.value()).is_some_and(|amount| amount.is_negative() || amount.is_zero()) {
            amount.invalid_as(errors, canonical(amount.value()), "must be greater than zero");
        }
    }
    one_of(at.get("persistentVolumeReclaimPolicy"), errors, &["Delete", "Recycle", "Retain"]);
    let affinity = at.get("nodeAffinity");
    if affinity.is_set() {
        if affinity.get("required").is_set() {
            node_selector(affinity.get("required"), errors);
        } else {
            affinity.get("required").required(errors, "must specify required node constraints");
        }
    }
    source(at, name, errors);
    let root = at.get("hostPath").get("path").text().to_owned();
    let policy = at.get("persistentVolumeReclaimPolicy");
    if is_root(&root) && policy.text() == "Recycle" {
        policy.forbidden(errors, "may not be 'recycle' for a hostPath mount of '/'");
    }
    if !at.get("storageClassName").is_empty() {
        named(at.get("storageClassName"), errors, names::dns1123_subdomain);
    }
    one_of(at.get("volumeMode"), errors, &["Block", "Filesystem"]);
    attributes_class(at, errors);
}

/// Whether Go's `path.Clean` makes `/` of it.
fn is_root(path: &str) -> bool {
    let mut depth = 0_usize;
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => depth = depth.saturating_sub(1),
            _ => depth += 1,
        }
    }
    path.starts_with('/') && depth == 0
}

/// The feature of classes of volumes' attributes.
pub(super) const CLASS_FEATURE: &str = "VolumeAttributesClass";
/// What a change of such a class is told where the feature is off.
pub(super) const CLASS_FIXED: &str = "update is forbidden when the VolumeAttributesClass feature gate is disabled";

/// The class of a volume's attributes, which only drivers change.
fn attributes_class(at: At<'_>, errors: &mut FieldErrors) {
    let class = at.get("volumeAttributesClassName");
    if !class.is_set() {
        return;
    }
    if class.is_empty() {
        class.required(errors, "an empty string is disallowed");
    } else {
        named(class, errors, names::dns1123_subdomain);
    }
    if !at.get("csi").is_set() {
        at.get("csi").required(errors, "has to be specified when using volumeAttributesClassName");
    }
}

fn access_modes(modes: At<'_>, errors: &mut FieldErrors) {
    required_text(modes, errors);
    let listed = modes.texts();
    for mode in listed.iter().filter(|mode| !MODES.contains(mode)) {
        modes.not_supported_as(errors, *mode, &MODES);
    }
    let is_other = |mode: &&str| *mode != "ReadWriteOncePod" && MODES.contains(mode);
    if listed.contains(&"ReadWriteOncePod") && listed.iter().any(is_other) {
        modes.forbidden(errors, "may not use ReadWriteOncePod with other access modes");
    }
}

/// The spec of a volume that a VolumeAttachment carries itself: of an old in-tree volume, as its CSI driver sees it.
pub(in crate::kinds) fn inline(at: At<'_>, errors: &mut FieldErrors) {
    const NOT_INLINE: &str = "may not be specified in the context of inline volumes";
    let forbidden = |name: &str, set: bool, errors: &mut FieldErrors| {
        if set {
            at.get(name).forbidden(errors, NOT_INLINE);
        }
    };
    forbidden("claimRef", at.get("claimRef").is_set(), errors);
    forbidden("capacity", !at.get("capacity").is_empty(), errors);
    if !at.get("csi").is_set() {
        at.get("csi").required(errors, "has to be specified in the context of inline volumes");
    }
    access_modes(at.get("accessModes"), errors);
    let policy = at.get("persistentVolumeReclaimPolicy");
    if !matches!(policy.text(), "" | "Retain") {
        policy.forbidden(errors, "may only be Retain in the context of inline volumes");
    }
    forbidden("nodeAffinity", at.get("nodeAffinity").is_set(), errors);
    source(at, "", errors);
    forbidden("storageClassName", !at.get("storageClassName").is_empty(), errors);
    let mode = at.get("volumeMode");
    if !matches!(mode.text(), "" | "Filesystem") {
        mode.forbidden(errors, "may not specify volumeMode other than Filesystem in the context of inline volumes");
    }
}

fn local(at: At<'_>, errors: &mut FieldErrors) {
    let source = at.get("local");
    let path = source.get("path");
    if path.is_empty() {
        path.required(errors, "");
    } else {
        no_backsteps(path, path.text(), errors);
    }
    if !at.get("nodeAffinity").is_set() {
        at.get("nodeAffinity").required(errors, "Local volume requires node affinity");
    }
}

/// `name`: the volume's.
fn source(at: At<'_>, name: &str, errors: &mut FieldErrors) {
    let mut found = false;
    for field in SOURCES {
        if !at.get(field).is_set() {
            continue;
        }
        // Kubernetes checks this one beside another.
        if found && field != "flexVolume" {
            let shown = if field == "cephfs" { "cephFS" } else { field };
            at.get(shown).forbidden(errors, "may not specify more than 1 volume type");
            continue;
        }
        found = true;
        if field == "local" {
            local(at, errors);
        } else {
            sources::source(at, field, Owner::Volume(name), errors);
        }
    }
    if !found {
        at.required(errors, "must specify a volume type");
    }
}
