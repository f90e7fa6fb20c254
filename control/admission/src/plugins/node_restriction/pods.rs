//! The pods of a node: it makes mirror pods, ends and reports on those that are bound to it.

use super::{Write, same};
use sampan_api::admission::Operation;
use sampan_api::field::go_quote;
use sampan_api::k8s::api::core::v1::{Node, Pod};
use sampan_api::{Object, Status};
use sampan_auth::node::{MIRROR_POD, Referred, has, references};
use sampan_client::Client;
use serde_json::Value;

fn bound_to(pod: &Object) -> &str {
    pod.get_str(&["spec", "nodeName"]).unwrap_or_default()
}

pub(super) async fn pod(write: &Write<'_>, client: &Client) -> Result<(), Status> {
    match write.operation() {
        Operation::Create => mirror_pod(write, write.sent()?, client).await,
        Operation::Delete if bound_to(write.stored()?) == write.node => Ok(()),
        Operation::Delete => Err(write.node_may_not("can only delete pods with spec.nodeName set to itself")),
        operation => Err(write.forbidden(&format!(
            "unexpected operation {}, node {} can only create and delete mirror pods",
            go_quote(&operation.to_string()),
            go_quote(write.node)
        ))),
    }
}

async fn mirror_pod(write: &Write<'_>, pod: &Object, client: &Client) -> Result<(), Status> {
    if pod.annotation(MIRROR_POD).is_none() {
        return Err(write.forbidden(&format!(
            "pod does not have {} annotation, node {} can only create mirror pods",
            go_quote(MIRROR_POD),
            go_quote(write.node)
        )));
    }
    if bound_to(pod) != write.node {
        return Err(write.node_may_not("can only create pods with spec.nodeName set to itself"));
    }
    owner(write, pod, client).await?;
    match referred(pod) {
        Ok(None) => Ok(()),
        Ok(Some(resource)) => Err(write.node_may_not(&format!("can not create pods that reference {resource}"))),
        Err(unknown) => Err(write.forbidden(&unknown)),
    }
}

/// Sources of volumes and the resources of the objects that they refer to; `""`: of none.
const VOLUMES: [(&str, &str); 30] = [
    ("configMap", "configmaps (via configmap volumes)"),
    ("secret", "secrets (via secret volumes)"),
    ("csi", "csidrivers (via CSI volumes)"),
    ("glusterfs", "endpoints (via glusterFS volumes)"),
    ("persistentVolumeClaim", "persistentvolumeclaims"),
    ("ephemeral", "persistentvolumeclaims (via ephemeral volumes)"),
    ("azureFile", "secrets (via azureFile volumes)"),
    // Its own sources are looked at.
    ("projected", ""),
    ("awsElasticBlockStore", ""),
    ("azureDisk", ""),
    ("cephfs", ""),
    ("cinder", ""),
    ("downwardAPI", ""),
    ("emptyDir", ""),
    ("fc", ""),
    ("flexVolume", ""),
    ("flocker", ""),
    ("gcePersistentDisk", ""),
    ("gitRepo", ""),
    ("hostPath", ""),
    ("image", ""),
    ("iscsi", ""),
    ("nfs", ""),
    ("photonPersistentDisk", ""),
    ("portworxVolume", ""),
    ("quobyte", ""),
    ("rbd", ""),
    ("scaleIO", ""),
    ("storageos", ""),
    ("vsphereVolume", ""),
];
/// The same of a projected volume's sources.
const PROJECTED: [(&str, &str); 6] = [
    ("configMap", "configmaps (via projected volumes)"),
    ("secret", "secrets (via projected volumes)"),
    ("serviceAccountToken", "serviceaccounts (via projected volumes)"),
    ("clusterTrustBundle", "clustertrustbundles"),
    ("podCertificate", "podcertificates"),
    ("downwardAPI", ""),
];

/// The resource of an object that the pod refers to, if it does (podutil.HasAPIObjectReference). Error: it has a volume
/// whose source is not known.
fn referred(pod: &Object) -> Result<Option<&'static str>, String> {
    let value = pod.to_value();
    for (kind, what) in [
        (Referred::ServiceAccount, "serviceaccounts"),
        (Referred::Secret, "secrets"),
        (Referred::ConfigMap, "configmaps"),
    ] {
        if !references(&value, kind).is_empty() {
            return Ok(Some(what));
        }
    }
    let list = |value: &Value, name: &str| value[name].as_array().cloned().unwrap_or_default();
    let of = |sources: &[(&'static str, &'static str)], value: &Value| {
        sources.iter().find(|(field, _)| has(value, &[field])).map(|(_, what)| *what)
    };
    if !list(&value["spec"], "resourceClaims").is_empty() {
        return Ok(Some("resourceclaims"));
    }
    for volume in list(&value["spec"], "volumes") {
        let unknown = |what: &str| format!("unknown {what} {}", go_quote(volume["name"].as_str().unwrap_or_default()));
        let mut found = vec![of(&VOLUMES, &volume).ok_or_else(|| unknown("volume type for volume "))?];
        for source in list(&volume["projected"], "sources") {
            found.push(of(&PROJECTED, &source).ok_or_else(|| unknown("source for projected volume"))?);
        }
        if let Some(what) = found.into_iter().find(|what| !what.is_empty()) {
            return Ok(Some(what));
        }
    }
    Ok(None)
}

/// A mirror pod's only owner is its node, as controller.
async fn owner(write: &Write<'_>, pod: &Object, client: &Client) -> Result<(), Status> {
    let owners = pod.get(&["metadata", "ownerReferences"]).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let owner = match owners {
        [] => return Err(write.node_may_not("can only create pods with an owner reference set to itself")),
        [owner] => owner,
        _ => return Err(write.node_may_not("can only create pods with a single owner reference set to itself")),
    };
    if owner["apiVersion"] != "v1" || owner["kind"] != "Node" || owner["name"] != write.node {
        return Err(write.node_may_not("can only create pods with an owner reference set to itself"));
    }
    if owner["controller"] != true {
        return Err(write.node_may_not("can only create pods with a controller owner reference set to itself"));
    }
    if owner["blockOwnerDeletion"] == true {
        return Err(write.node_may_not("must not set blockOwnerDeletion on an owner reference"));
    }
    let node = match client.all::<Node>().get_record(write.node).await {
        Ok(node) => node,
        Err(error) if error.is_not_found() => {
            return Err(Status::not_found(&sampan_api::GroupResource::new("", "nodes"), write.node));
        }
        Err(error) => {
            return Err(write.forbidden(&format!("error looking up node {} to verify uid: {error}", write.node)));
        }
    };
    let claimed = owner["uid"].as_str().unwrap_or_default();
    if claimed != &*node.uid {
        let why = format!("node {} UID mismatch: expected {claimed} got {}", write.node, node.uid);
        return Err(write.forbidden(&why));
    }
    Ok(())
}

pub(super) fn status(write: &Write<'_>) -> Result<(), Status> {
    if write.operation() != Operation::Update {
        return Err(write.unexpected_operation());
    }
    let (old, new) = (write.stored()?, write.sent()?);
    if bound_to(old) != write.node {
        return Err(write.node_may_not("can only update pod status for pods with spec.nodeName set to itself"));
    }
    if !same(old, new, &["metadata", "labels"]) {
        return Err(write.node_may_not("cannot update labels through pod status"));
    }
    // "statues" is Kubernetes' own spelling.
    if claims(old) != claims(new) {
        return Err(write.node_may_not("cannot update resource claim statues"));
    }
    if !same(old, new, &["status", "extendedResourceClaimStatus"]) {
        return Err(write.node_may_not("cannot update extended resource claim status"));
    }
    Ok(())
}

fn claims(pod: &Object) -> Vec<(Option<&str>, Option<&str>)> {
    let all = pod.get(&["status", "resourceClaimStatuses"]).and_then(Value::as_array);
    all.into_iter()
        .flatten()
        .map(|one| (one.get("name").and_then(Value::as_str), one.get("resourceClaimName").and_then(Value::as_str)))
        .collect()
}

pub(super) async fn eviction(write: &Write<'_>, client: &Client) -> Result<(), Status> {
    if write.operation() != Operation::Create {
        return Err(write.forbidden(&format!("unexpected operation {}", write.operation())));
    }
    let name = match write.attributes.name {
        "" => write.sent()?.name(),
        name => name,
    };
    if name.is_empty() {
        return Err(write.forbidden("could not determine pod from request data"));
    }
    if bound_to(&existing(write, client, name).await?) != write.node {
        let why = format!("node {} can only evict pods with spec.nodeName set to itself", write.node);
        return Err(write.forbidden(&why));
    }
    Ok(())
}

/// The pod of that name in the request's namespace.
pub(super) async fn existing(write: &Write<'_>, client: &Client, name: &str) -> Result<Object, Status> {
    match client.namespaced::<Pod>(write.attributes.namespace).get_record(name).await {
        Ok(record) => Ok(record.object()),
        Err(error) if error.is_not_found() => Err(Status::not_found(&sampan_api::GroupResource::new("", "pods"), name)),
        Err(error) => Err(write.forbidden(&error.to_string())),
    }
}
