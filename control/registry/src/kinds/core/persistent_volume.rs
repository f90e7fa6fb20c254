//! PersistentVolumes: storage that exists.

use super::super::columns::{Cell, Tabled};
use super::super::rules::Rules;
use super::super::validation::affinity::node_selector;
use super::super::validation::checks::{named, no_backsteps, one_of, required_text};
use super::super::validation::resources::{canonical, quantity};
use super::super::validation::volumes::{driver_name, host_path};
use super::super::validation::warnings;
use super::super::validation::{At, FieldErrors};
use crate::resource::Resource;
use sampan_api::names;
use sampan_api::object::Object;

pub(super) fn row() -> Resource {
    Resource::new("", "v1", "persistentvolumes", "PersistentVolume")
        .cluster_scoped()
        .short_names(["pv"])
        .view("status")
        .strategy(RULES)
        .table(CELLS)
}

const RULES: Rules = Rules {
    returns_deleted_object: true,
    warnings: Some(|_, volume| warned(volume)),
    validate: Some(|_, object| {
        let mut errors = FieldErrors::default();
        let at = At::object(object);
        spec(at.get("spec"), &mut errors);
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
    validate_update: Some(|ctx, object, old| {
        let mut errors = FieldErrors::default();
        if ctx.subresource.is_empty() {
            let (at, old) = (At::object(object), At::object(old));
            let (new_spec, old_spec) = (at.get("spec"), old.get("spec"));
            spec(new_spec, &mut errors);
            if SOURCES.iter().any(|source| new_spec.get(source).value() != old_spec.get(source).value()) {
                new_spec
                    .get("persistentvolumesource")
                    .forbidden(&mut errors, "spec.persistentvolumesource is immutable after creation\n");
            }
        }
        errors
    }),
    ..Rules::NONE
};

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

fn spec(at: At<'_>, errors: &mut FieldErrors) {
    access_modes(at.get("accessModes"), errors);
    let capacity = at.get("capacity");
    if capacity.is_empty() {
        capacity.required(errors, "");
    }
    if !capacity.key("storage").is_set() || capacity.len() > 1 {
        capacity.not_supported_as(errors, capacity.value(), &["storage"]);
    }
    for (_, amount) in capacity.entries() {
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
    source(at, errors);
    if !at.get("storageClassName").is_empty() {
        named(at.get("storageClassName"), errors, names::dns1123_subdomain);
    }
    one_of(at.get("volumeMode"), errors, &["Block", "Filesystem"]);
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
    source(at, errors);
    forbidden("storageClassName", !at.get("storageClassName").is_empty(), errors);
    let mode = at.get("volumeMode");
    if !matches!(mode.text(), "" | "Filesystem") {
        mode.forbidden(errors, "may not specify volumeMode other than Filesystem in the context of inline volumes");
    }
}

fn source(at: At<'_>, errors: &mut FieldErrors) {
    let mut found = false;
    for field in SOURCES {
        let source = at.get(field);
        if !source.is_set() {
            continue;
        }
        if found {
            source.forbidden(errors, "may not specify more than 1 volume type");
            continue;
        }
        found = true;
        match field {
            "hostPath" => host_path(source, errors),
            "nfs" => {
                required_text(source.get("server"), errors);
                required_text(source.get("path"), errors);
                if !source.get("path").text().starts_with('/') {
                    source.get("path").invalid_as(errors, source.get("path").text(), "must be an absolute path");
                }
            }
            "local" => {
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
            "csi" => {
                driver_name(source.get("driver"), errors);
                required_text(source.get("volumeHandle"), errors);
            }
            _ => {}
        }
    }
    if !found {
        at.required(errors, "must specify a volume type");
    }
}
