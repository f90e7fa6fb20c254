//! A pod's volumes.

use super::At;
use super::checks::{descending_path, file_mode, required_named, required_text, template_metadata, unreserved_path};
use super::container::{ReferenceFrom, VOLUME_FIELDS, field_reference, resource_reference};
use super::resources::quantity;
use super::sources::{self, Owner};
use sampan_api::field::FieldErrors;
use sampan_api::names;
use std::collections::{HashMap, HashSet};

const TOKEN_SECONDS_MIN: i64 = 10 * 60;
const TOKEN_SECONDS_MAX: i64 = 1 << 32;

/// The sources of a volume, in the order in which a second one is found, with the field that is named when it is
/// (Kubernetes' own misspellings included).
const SOURCES: [(&str, &str); 29] = [
    ("emptyDir", "emptyDir"),
    ("hostPath", "hostPath"),
    ("gitRepo", "gitRepo"),
    ("gcePersistentDisk", "gcePersistentDisk"),
    ("awsElasticBlockStore", "awsElasticBlockStore"),
    ("secret", "secret"),
    ("nfs", "nfs"),
    ("iscsi", "iscsi"),
    ("glusterfs", "glusterfs"),
    ("flocker", "flocker"),
    ("persistentVolumeClaim", "persistentVolumeClaim"),
    ("rbd", "rbd"),
    ("cinder", "cinder"),
    ("cephfs", "cephFS"),
    ("quobyte", "quobyte"),
    ("downwardAPI", "downwarAPI"),
    ("fc", "fc"),
    ("flexVolume", "flexVolume"),
    ("configMap", "configMap"),
    ("azureFile", "azureFile"),
    ("vsphereVolume", "vsphereVolume"),
    ("photonPersistentDisk", "photonPersistentDisk"),
    ("portworxVolume", "portworxVolume"),
    ("azureDisk", "azureDisk"),
    ("storageos", "storageos"),
    ("projected", "projected"),
    ("scaleIO", "scaleIO"),
    ("csi", "csi"),
    ("ephemeral", "ephemeral"),
];
/// The newest source: the component or image itself as a volume.
const IMAGE: &str = "image";

/// Volumes that a container may mount: those without errors, by name.
pub(in crate::kinds) type Volumes<'a> = HashMap<&'a str, Volume>;

/// A volume that can be mounted.
pub(in crate::kinds) struct Volume {
    /// A claim, which may be used as a block device.
    pub is_claim: bool,
}

/// Checks all volumes; those that are fine can be mounted.
pub(in crate::kinds) fn volumes<'a>(list: &'a At<'a>, pod_name: &str, errors: &mut FieldErrors) -> Volumes<'a> {
    let mut fine = Volumes::new();
    for (index, value) in list.value().as_array().into_iter().flatten().enumerate() {
        let volume = list.index(index);
        let before = errors.len();
        source(volume, pod_name, errors);
        let name = volume.get("name");
        required_named(name, errors, names::dns1123_label);
        let text = value.get("name").and_then(serde_json::Value::as_str).unwrap_or("");
        if fine.contains_key(text) {
            name.duplicate(errors);
        }
        if errors.len() == before {
            let is_claim = volume.get("persistentVolumeClaim").is_set() || volume.get("ephemeral").is_set();
            fine.entry(text).or_insert(Volume { is_claim });
        }
    }
    fine
}

fn source(volume: At<'_>, pod_name: &str, errors: &mut FieldErrors) {
    let mut found = false;
    for (field, shown) in SOURCES.into_iter().chain([(IMAGE, IMAGE)]) {
        let source = volume.get(field);
        if !source.is_set() {
            continue;
        }
        if found {
            volume.get(shown).forbidden(errors, "may not specify more than 1 volume type");
            continue;
        }
        found = true;
        match field {
            "emptyDir" => {
                let size = source.get("sizeLimit");
                if quantity(size.value()).is_some_and(|size| size.is_negative()) {
                    size.forbidden(errors, "SizeLimit field must be a valid resource quantity");
                }
            }
            "gitRepo" => {
                required_text(source.get("repository"), errors);
                let directory = source.get("directory");
                descending_path(directory, directory.text(), errors);
            }
            "secret" => keyed(source, "secretName", errors),
            "configMap" => keyed(source, "name", errors),
            "persistentVolumeClaim" => required_text(source.get("claimName"), errors),
            "downwardAPI" => {
                file_mode(source.get("defaultMode"), errors);
                let items = source.get("items");
                for item in items.items() {
                    downward_file(source, item, errors);
                }
            }
            "projected" => projected(source, errors),
            "ephemeral" => ephemeral(volume, source, pod_name, errors),
            "image" => image(source, !pod_name.is_empty(), errors),
            _ => sources::source(volume, field, Owner::Pod(volume.get("name").text()), errors),
        }
    }
    if !found {
        volume.required(errors, "must specify a volume type");
    }
}

/// An image as a volume. A template may leave open which.
fn image(source: At<'_>, in_pod: bool, errors: &mut FieldErrors) {
    if in_pod {
        required_text(source.get("reference"), errors);
    }
    let policy = source.get("pullPolicy");
    if !matches!(policy.text(), "" | "Always" | "IfNotPresent" | "Never") {
        policy.not_supported(errors, &["Always", "IfNotPresent", "Never"]);
    }
}

/// A Secret or ConfigMap as files.
fn keyed(source: At<'_>, name: &str, errors: &mut FieldErrors) {
    required_text(source.get(name), errors);
    file_mode(source.get("defaultMode"), errors);
    let items = source.get("items");
    for item in items.items() {
        key_to_path(item, errors);
    }
}

fn key_to_path(item: At<'_>, errors: &mut FieldErrors) {
    required_text(item.get("key"), errors);
    let path = item.get("path");
    required_text(path, errors);
    unreserved_path(path, path.text(), errors);
    file_mode(item.get("mode"), errors);
}

/// A file of the downward API. Kubernetes reports some of its errors at the volume: `volume`.
fn downward_file(volume: At<'_>, item: At<'_>, errors: &mut FieldErrors) {
    let path = volume.get("path");
    if item.get("path").is_empty() {
        path.required(errors, "");
    }
    unreserved_path(path, item.get("path").text(), errors);
    let (field, resource) = (item.get("fieldRef"), item.get("resourceFieldRef"));
    match (field.is_set(), resource.is_set()) {
        (true, both) => {
            field_reference(volume.get("fieldRef"), field, &VOLUME_FIELDS, errors);
            if both {
                volume.invalid_as(
                    errors,
                    "resource",
                    "fieldRef and resourceFieldRef can not be specified simultaneously",
                );
            }
        }
        (false, true) => {
            resource_reference(volume.get("resourceFieldRef"), resource, ReferenceFrom::Volume, errors);
        }
        (false, false) => volume.required(errors, "one of fieldRef and resourceFieldRef is required"),
    }
    file_mode(item.get("mode"), errors);
}

fn projected(volume: At<'_>, errors: &mut FieldErrors) {
    file_mode(volume.get("defaultMode"), errors);
    let mut paths: HashSet<String> = HashSet::new();
    let sources = volume.get("sources");
    for source in sources.items() {
        let mut count = 0;
        let mut used = |errors: &mut FieldErrors, path: &str, shown: &str| {
            if path.is_empty() {
                return;
            }
            if !paths.insert(path.to_owned()) {
                volume.invalid_as(errors, shown, "conflicting duplicate paths");
            }
        };
        for field in ["secret", "configMap"] {
            let part = source.get(field);
            if !part.is_set() {
                continue;
            }
            count += 1;
            required_text(part.get("name"), errors);
            let items = part.get("items");
            for item in items.items() {
                key_to_path(item, errors);
                used(errors, item.get("path").text(), part.get("name").text());
            }
        }
        let downward = source.get("downwardAPI");
        if downward.is_set() {
            count += 1;
            let items = downward.get("items");
            for item in items.items() {
                downward_file(downward, item, errors);
                used(errors, item.get("path").text(), item.get("path").text());
            }
        }
        let token = source.get("serviceAccountToken");
        if token.is_set() {
            count += 1;
            let seconds = token.get("expirationSeconds");
            if seconds.number() < TOKEN_SECONDS_MIN {
                seconds.invalid_as(errors, seconds.number(), "may not specify a duration less than 10 minutes");
            }
            if seconds.number() > TOKEN_SECONDS_MAX {
                seconds.invalid(errors, "may not specify a duration larger than 2^32 seconds");
            }
            let path = volume.get("path");
            if token.get("path").is_empty() {
                path.required(errors, "");
            } else {
                unreserved_path(path, token.get("path").text(), errors);
            }
        }
        count += ["clusterTrustBundle", "podCertificate"].iter().filter(|field| source.get(field).is_set()).count();
        if count > 1 {
            source.forbidden(errors, "may not specify more than 1 volume type per source");
        }
    }
}

fn ephemeral(volume: At<'_>, source: At<'_>, pod_name: &str, errors: &mut FieldErrors) {
    let template = source.get("volumeClaimTemplate");
    if template.is_set() {
        template_metadata(template.get("metadata"), errors);
        super::claims::claim_spec(template.get("spec"), errors);
    } else {
        template.required(errors, "");
    }
    let name = volume.get("name");
    if !pod_name.is_empty() && !name.is_empty() {
        let claim = format!("{pod_name}-{}", name.text());
        for message in names::dns1123_subdomain(&claim) {
            name.invalid(errors, format!("PVC name {claim:?}: {message}"));
        }
    }
}

/// Checks the paths at which a container sees its volumes.
pub(in crate::kinds) fn mounts(container: At<'_>, volumes: &Volumes<'_>, errors: &mut FieldErrors) {
    let mounts = container.get("volumeMounts");
    let devices = container.get("volumeDevices");
    // As in Kubernetes, the last path of a name counts.
    let mut device_paths: HashMap<String, String> = HashMap::new();
    for device in devices.items() {
        device_paths.insert(device.get("name").text().to_owned(), device.get("devicePath").text().to_owned());
    }
    let taken_by_devices: HashSet<&str> = device_paths.values().map(String::as_str).collect();
    let mut paths = HashSet::new();
    for mount in mounts.items() {
        let name = mount.get("name");
        required_text(name, errors);
        if !volumes.contains_key(name.text()) {
            name.not_found(errors);
        }
        let path = mount.get("mountPath");
        required_text(path, errors);
        if !paths.insert(path.text().to_owned()) {
            path.invalid_as(errors, path.text(), "must be unique");
        }
        if device_paths.contains_key(name.text()) {
            name.invalid(errors, "must not already exist in volumeDevices");
        }
        if taken_by_devices.contains(path.text()) {
            path.invalid(errors, "must not already exist as a path in volumeDevices");
        }
        // Kubernetes reports these at the list.
        let (sub_path, expression) = (mount.get("subPath"), mount.get("subPathExpr"));
        if !sub_path.is_empty() {
            descending_path(mounts.get("subPath"), sub_path.text(), errors);
        }
        if !expression.is_empty() {
            if !sub_path.is_empty() {
                expression.invalid(errors, "subPathExpr and subPath are mutually exclusive");
            }
            descending_path(mounts.get("subPathExpr"), expression.text(), errors);
        }
        propagation(container, mounts, mount, errors);
    }
    block_devices(devices, mounts, volumes, errors);
}

/// Checks the volumes that a container sees as block devices.
fn block_devices(devices: At<'_>, mounts: At<'_>, volumes: &Volumes<'_>, errors: &mut FieldErrors) {
    // As in Kubernetes, the last path of a name counts.
    let mut mounted: HashMap<String, String> = HashMap::new();
    for mount in mounts.items() {
        mounted.insert(mount.get("name").text().to_owned(), mount.get("mountPath").text().to_owned());
    }
    let taken_by_mounts: HashSet<&str> = mounted.values().map(String::as_str).collect();
    let (mut names, mut paths) = (HashSet::new(), HashSet::new());
    for device in devices.items() {
        let (name, path) = (device.get("name"), device.get("devicePath"));
        required_text(name, errors);
        if !name.is_empty() && !names.insert(name.text().to_owned()) {
            name.invalid(errors, "must be unique");
        }
        match volumes.get(name.text()) {
            None => name.not_found(errors),
            Some(volume) if !volume.is_claim => name.invalid(
                errors,
                "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode",
            ),
            Some(_) => {}
        }
        required_text(path, errors);
        let climbs = path.text().split('/').any(|part| part == "..");
        // One that climbs is not noted, and so never met again.
        if !climbs && !paths.insert(path.text().to_owned()) {
            path.invalid_as(errors, path.text(), "must be unique");
        }
        if climbs {
            path.invalid(errors, "can not contain backsteps ('..')");
        }
        if mounted.contains_key(name.text()) {
            name.invalid(errors, "must not already exist in volumeMounts");
        }
        if taken_by_mounts.contains(path.text()) {
            path.invalid_as(errors, path.text(), "must not already exist as a path in volumeMounts");
        }
    }
}

fn propagation(container: At<'_>, mounts: At<'_>, mount: At<'_>, errors: &mut FieldErrors) {
    const MODES: [&str; 3] = ["Bidirectional", "HostToContainer", "None"];
    let mode = mount.get("mountPropagation");
    let shown = mounts.get("mountPropagation");
    if mode.is_set() {
        if !MODES.contains(&mode.text()) {
            shown.not_supported_as(errors, mode.text(), &MODES);
        }
        if mode.text() == "Bidirectional" && !container.get("securityContext").get("privileged").flag() {
            shown.forbidden(errors, "Bidirectional mount propagation is available only to privileged containers");
        }
    }
    let recursive = mount.get("recursiveReadOnly");
    let shown = mounts.get("recursiveReadOnly");
    if !recursive.is_set() || recursive.text() == "Disabled" {
        return;
    }
    if !matches!(recursive.text(), "Enabled" | "IfPossible") {
        shown.not_supported_as(errors, recursive.text(), &["Disabled", "Enabled", "IfPossible"]);
        return;
    }
    if !mount.get("readOnly").flag() {
        shown.forbidden(errors, "may only be specified when readOnly is true");
    }
    if mode.is_set() && mode.text() != "None" {
        shown.forbidden(errors, "may only be specified when mountPropagation is None or not specified");
    }
}
