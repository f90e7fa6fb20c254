//! The objects of its own namespace that a pod refers to by name (k8s.io/kubernetes/pkg/api/v1/pod's
//! `VisitPodSecretNames` and `VisitPodConfigmapNames`, and the edges of the node authorizer's graph).

use serde_json::Value;

/// Marks a pod that a node made itself of a file (kubernetes' `MirrorPodAnnotationKey`).
pub const MIRROR_POD: &str = "kubernetes.io/config.mirror";

/// A kind of object that a pod's spec names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Referred {
    Secret,
    ConfigMap,
    PersistentVolumeClaim,
    ServiceAccount,
    ResourceClaim,
}

/// Each kind, in the order of its number.
pub(crate) const ALL_REFERRED: [Referred; 5] = [
    Referred::Secret,
    Referred::ConfigMap,
    Referred::PersistentVolumeClaim,
    Referred::ServiceAccount,
    Referred::ResourceClaim,
];

type Fields = &'static [&'static str];

/// Fields of volumes that name a Secret.
const VOLUME_SECRETS: [Fields; 10] = [
    &["azureFile", "secretName"],
    &["cephfs", "secretRef", "name"],
    &["cinder", "secretRef", "name"],
    &["csi", "nodePublishSecretRef", "name"],
    &["flexVolume", "secretRef", "name"],
    &["iscsi", "secretRef", "name"],
    &["rbd", "secretRef", "name"],
    &["scaleIO", "secretRef", "name"],
    &["secret", "secretName"],
    &["storageos", "secretRef", "name"],
];
const CONTAINERS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

/// The value at a path of fields.
pub(crate) fn at<'a>(value: &'a Value, fields: &[&str]) -> Option<&'a Value> {
    fields.iter().try_fold(value, |value, field| value.get(field))
}

fn name(value: &Value, fields: &[&str]) -> Option<String> {
    at(value, fields).and_then(Value::as_str).filter(|name| !name.is_empty()).map(str::to_owned)
}

fn items<'a>(value: &'a Value, fields: &[&str]) -> impl Iterator<Item = &'a Value> {
    at(value, fields).and_then(Value::as_array).into_iter().flatten()
}

/// The names of the objects of that kind that the pod refers to, in its namespace. A name may occur several times.
pub fn references(pod: &Value, kind: Referred) -> Vec<String> {
    match kind {
        Referred::Secret => {
            let mut names: Vec<String> =
                items(pod, &["spec", "imagePullSecrets"]).filter_map(|one| name(one, &["name"])).collect();
            names.extend(of_environment(pod, "secretKeyRef", "secretRef"));
            for volume in items(pod, &["spec", "volumes"]) {
                names.extend(VOLUME_SECRETS.iter().filter_map(|fields| name(volume, fields)));
                names.extend(items(volume, &["projected", "sources"]).filter_map(|one| name(one, &["secret", "name"])));
            }
            names
        }
        Referred::ConfigMap => {
            let mut names = of_environment(pod, "configMapKeyRef", "configMapRef");
            for volume in items(pod, &["spec", "volumes"]) {
                names.extend(name(volume, &["configMap", "name"]));
                names.extend(
                    items(volume, &["projected", "sources"]).filter_map(|one| name(one, &["configMap", "name"])),
                );
            }
            names
        }
        Referred::PersistentVolumeClaim => {
            items(pod, &["spec", "volumes"]).filter_map(|volume| claim_of(pod, volume)).collect()
        }
        Referred::ServiceAccount => name(pod, &["spec", "serviceAccountName"]).into_iter().collect(),
        Referred::ResourceClaim => {
            let mut names: Vec<String> =
                items(pod, &["spec", "resourceClaims"]).filter_map(|one| name(one, &["resourceClaimName"])).collect();
            names.extend(
                items(pod, &["status", "resourceClaimStatuses"]).filter_map(|one| name(one, &["resourceClaimName"])),
            );
            names.extend(name(pod, &["status", "extendedResourceClaimStatus", "resourceClaimName"]));
            names
        }
    }
}

/// The claim behind a volume: the one that it names, or the one that is made for it.
pub fn claim_of(pod: &Value, volume: &Value) -> Option<String> {
    if volume.get("ephemeral").is_some_and(Value::is_object) {
        return Some(format!("{}-{}", name(pod, &["metadata", "name"])?, name(volume, &["name"])?));
    }
    name(volume, &["persistentVolumeClaim", "claimName"])
}

fn of_environment(pod: &Value, of_variable: &str, of_all: &str) -> Vec<String> {
    let mut names = Vec::new();
    for list in CONTAINERS {
        for container in items(pod, &["spec", list]) {
            names.extend(items(container, &["env"]).filter_map(|one| name(one, &["valueFrom", of_variable, "name"])));
            names.extend(items(container, &["envFrom"]).filter_map(|one| name(one, &[of_all, "name"])));
        }
    }
    names
}
