//! Sources of storage: of a pod's volumes and of PersistentVolumes. The drivers of most are gone, and Kubernetes still asks of
//! them what they themselves demanded. What are plain facts of their fields stands in the schema's data.

use super::At;
use super::checks::{Facts, facts, named, no_backsteps, one_of};
use sampan_api::field::FieldErrors;
use sampan_api::names;
use sampan_schema::facts::Named;

/// Most characters of the name of a volume and its portal, where an initiator has a name, of which files are made.
const ISCSI_NAME_MAX: usize = 64;
const LUN_MAX: i64 = 255;
/// Most characters of a tenant.
const TENANT_MAX: usize = 64;

const HOST_PATH_TYPES: [&str; 8] =
    ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];

/// Whether a source is that of a pod's volume or that of a PersistentVolume.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::kinds) enum Owner<'a> {
    /// A pod's volume of that name.
    Pod(&'a str),
    /// The PersistentVolume of that name.
    Volume(&'a str),
}

fn source_of(type_name: &str) -> Named {
    facts(&format!("core/v1.{type_name}"), "source")
}

static OF_PODS: [(&str, Facts); 17] = [
    ("gcePersistentDisk", Facts::new(|| source_of("GCEPersistentDiskVolumeSource"))),
    ("awsElasticBlockStore", Facts::new(|| source_of("AWSElasticBlockStoreVolumeSource"))),
    ("nfs", Facts::new(|| source_of("NFSVolumeSource"))),
    ("glusterfs", Facts::new(|| source_of("GlusterfsVolumeSource"))),
    ("rbd", Facts::new(|| source_of("RBDVolumeSource"))),
    ("cephfs", Facts::new(|| source_of("CephFSVolumeSource"))),
    ("flexVolume", Facts::new(|| source_of("FlexVolumeSource"))),
    ("azureFile", Facts::new(|| source_of("AzureFileVolumeSource"))),
    ("vsphereVolume", Facts::new(|| source_of("VsphereVirtualDiskVolumeSource"))),
    ("photonPersistentDisk", Facts::new(|| source_of("PhotonPersistentDiskVolumeSource"))),
    ("portworxVolume", Facts::new(|| source_of("PortworxVolumeSource"))),
    ("cinder", Facts::new(|| source_of("CinderVolumeSource"))),
    ("storageos", Facts::new(|| source_of("StorageOSVolumeSource"))),
    ("iscsi", Facts::new(|| source_of("ISCSIVolumeSource"))),
    ("azureDisk", Facts::new(|| source_of("AzureDiskVolumeSource"))),
    ("scaleIO", Facts::new(|| source_of("ScaleIOVolumeSource"))),
    ("quobyte", Facts::new(|| source_of("QuobyteVolumeSource"))),
];

static OF_VOLUMES: [(&str, Facts); 18] = [
    ("gcePersistentDisk", Facts::new(|| source_of("GCEPersistentDiskVolumeSource"))),
    ("awsElasticBlockStore", Facts::new(|| source_of("AWSElasticBlockStoreVolumeSource"))),
    ("nfs", Facts::new(|| source_of("NFSVolumeSource"))),
    ("glusterfs", Facts::new(|| source_of("GlusterfsPersistentVolumeSource"))),
    ("rbd", Facts::new(|| source_of("RBDPersistentVolumeSource"))),
    ("cephfs", Facts::new(|| source_of("CephFSPersistentVolumeSource"))),
    ("flexVolume", Facts::new(|| source_of("FlexPersistentVolumeSource"))),
    ("azureFile", Facts::new(|| source_of("AzureFilePersistentVolumeSource"))),
    ("vsphereVolume", Facts::new(|| source_of("VsphereVirtualDiskVolumeSource"))),
    ("photonPersistentDisk", Facts::new(|| source_of("PhotonPersistentDiskVolumeSource"))),
    ("portworxVolume", Facts::new(|| source_of("PortworxVolumeSource"))),
    ("cinder", Facts::new(|| source_of("CinderPersistentVolumeSource"))),
    ("storageos", Facts::new(|| source_of("StorageOSPersistentVolumeSource"))),
    ("iscsi", Facts::new(|| source_of("ISCSIPersistentVolumeSource"))),
    ("azureDisk", Facts::new(|| source_of("AzureDiskVolumeSource"))),
    ("scaleIO", Facts::new(|| source_of("ScaleIOPersistentVolumeSource"))),
    ("csi", Facts::new(|| source_of("CSIPersistentVolumeSource"))),
    ("quobyte", Facts::new(|| source_of("QuobyteVolumeSource"))),
];

/// The facts of all sources.
#[cfg(test)]
pub(in crate::kinds) fn all_facts() -> impl Iterator<Item = &'static Facts> {
    OF_PODS.iter().chain(&OF_VOLUMES).map(|(_, facts)| facts)
}

static PORTAL: Facts = Facts::new(|| facts("core/v1.ISCSIPersistentVolumeSource", "portal"));

/// Checks the source that stands in that field of a volume; of one that is none of those here nothing is asked.
pub(in crate::kinds) fn source(volume: At<'_>, field: &str, owner: Owner<'_>, errors: &mut FieldErrors) {
    // Kubernetes' own word in the errors of this one.
    let shown = if field == "gcePersistentDisk" { "persistentDisk" } else { field };
    let value = volume.get(field).value();
    let at = At::within(value, &volume, shown);
    let of_volume = matches!(owner, Owner::Volume(_));
    match field {
        "iscsi" if of_volume => {
            PORTAL.check(at, errors);
            portal(volume, at, owner, errors);
        }
        "quobyte" => quobyte(at, errors),
        _ => {}
    }
    let table: &[(&str, Facts)] = if of_volume { &OF_VOLUMES } else { &OF_PODS };
    if let Some((_, facts)) = table.iter().find(|(name, _)| *name == field) {
        facts.check(at, errors);
    }
    match field {
        "hostPath" => host_path(at, errors),
        "nfs" => {
            let path = at.get("path");
            if !path.text().starts_with('/') {
                path.invalid_as(errors, path.text(), "must be an absolute path");
            }
        }
        "fc" => fibre_channel(at, errors),
        "flocker" => flocker(at, errors),
        "flexVolume" => options(at.get("options"), errors),
        "glusterfs" if of_volume => endpoints_namespace(at.get("endpointsNamespace"), errors),
        "iscsi" if !of_volume => portal(volume, at, owner, errors),
        "csi" if !of_volume => inline_csi(at, errors),
        _ => {}
    }
}

/// A driver's volume that lives as long as the pod.
fn inline_csi(at: At<'_>, errors: &mut FieldErrors) {
    driver_name(at.get("driver"), errors);
    let secret = at.get("nodePublishSecretRef");
    let name = secret.get("name");
    if secret.is_set() && name.is_empty() {
        name.required(errors, "");
    } else if secret.is_set() {
        // Told beside the reference, as in Kubernetes.
        at.get("name").invalid_each_as(errors, name.text(), names::dns1123_subdomain(name.text()));
    }
}

fn portal(volume: At<'_>, at: At<'_>, owner: Owner<'_>, errors: &mut FieldErrors) {
    const LONG: &str = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if \
                        iscsi.initiatorName is specified.";
    let portal = at.get("targetPortal").text();
    let (Owner::Pod(name) | Owner::Volume(name)) = owner;
    if !at.get("initiatorName").is_set() || name.len() + 1 + portal.len() <= ISCSI_NAME_MAX {
        return;
    }
    match owner {
        Owner::Pod(name) => volume.get("name").invalid_as(errors, name, LONG),
        Owner::Volume(_) => at.get("targetportal").invalid_as(errors, portal, LONG),
    }
}

fn fibre_channel(at: At<'_>, errors: &mut FieldErrors) {
    let (targets, ids, lun) = (at.get("targetWWNs"), at.get("wwids"), at.get("lun"));
    if targets.is_empty() && ids.is_empty() {
        targets.required(errors, "must specify either targetWWNs or wwids, but not both");
    }
    if targets.is_empty() {
        return;
    }
    if !ids.is_empty() {
        targets.invalid(errors, "targetWWNs and wwids can not be specified simultaneously");
    }
    if !lun.is_set() {
        lun.required(errors, "lun is required if targetWWNs is specified");
    } else if !(0..=LUN_MAX).contains(&lun.number()) {
        lun.invalid(errors, format!("must be between 0 and {LUN_MAX}, inclusive"));
    }
}

fn flocker(at: At<'_>, errors: &mut FieldErrors) {
    let (name, uuid) = (at.get("datasetName"), at.get("datasetUUID"));
    match (name.is_empty(), uuid.is_empty()) {
        (true, true) => at.required(errors, "one of datasetName and datasetUUID is required"),
        (false, false) => {
            at.invalid_as(errors, "resource", "datasetName and datasetUUID can not be specified simultaneously");
        }
        _ => {}
    }
    if name.text().contains('/') {
        name.invalid(errors, "must not contain '/'");
    }
}

/// Options of a driver's own, none of Kubernetes'.
fn options(at: At<'_>, errors: &mut FieldErrors) {
    for (key, option) in at.entries() {
        let domain = format!(".{}", key.split_once('/').map_or(key, |(domain, _)| domain).to_lowercase());
        if domain.ends_with(".kubernetes.io") || domain.ends_with(".k8s.io") {
            option.invalid_as(errors, key, "kubernetes.io and k8s.io namespaces are reserved");
        }
    }
}

fn quobyte(at: At<'_>, errors: &mut FieldErrors) {
    const PAIRS: &str = "must be a host:port pair or multiple pairs separated by commas";
    let (registry, tenant) = (at.get("registry"), at.get("tenant"));
    if registry.is_empty() {
        registry.required(errors, PAIRS);
    } else if tenant.len() > TENANT_MAX {
        tenant.required(errors, "must be a UUID and may not exceed a length of 64 characters");
    } else {
        let wrong = registry.text().split(',').filter(|pair| !is_host_and_port(pair));
        wrong.for_each(|_| registry.invalid(errors, PAIRS));
    }
}

/// Whether Go's `net.SplitHostPort` reads it.
fn is_host_and_port(pair: &str) -> bool {
    let Some((host, port)) = pair.rsplit_once(':') else { return false };
    let bare = |text: &str| !text.contains(['[', ']']);
    match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').is_some_and(bare) && bare(port),
        None => !host.contains(':') && bare(host) && bare(port),
    }
}

fn endpoints_namespace(at: At<'_>, errors: &mut FieldErrors) {
    if at.is_set() && at.is_empty() {
        at.invalid(errors, "if the endpointnamespace is set, it must be a valid namespace name");
    } else if at.is_set() {
        named(at, errors, names::dns1123_label);
    }
}

fn host_path(source: At<'_>, errors: &mut FieldErrors) {
    let path = source.get("path");
    if path.is_empty() {
        path.required(errors, "");
        return;
    }
    no_backsteps(path, path.text(), errors);
    one_of(source.get("type"), errors, &HOST_PATH_TYPES);
}

const DRIVER_NAME_MAX: usize = 63;

pub(in crate::kinds) fn driver_name(at: At<'_>, errors: &mut FieldErrors) {
    if at.is_empty() {
        return at.required(errors, "");
    }
    if at.len() > DRIVER_NAME_MAX {
        at.too_long(errors, DRIVER_NAME_MAX);
    }
    let lower = at.text().to_lowercase();
    for message in names::dns1123_subdomain(&lower) {
        at.invalid_as(errors, at.text(), message);
    }
}
