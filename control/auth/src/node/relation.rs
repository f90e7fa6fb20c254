//! Whether an object is a node's business: it names the node, or a pod that is bound to the node refers to it. What
//! Kubernetes' node authorizer keeps in a graph is looked up here when a node asks.

use super::references::{Referred, at, references};
use sampan_api::k8s::api::core::v1::{PersistentVolume, Pod};
use sampan_api::{GroupVersionResource, Object};
use sampan_client::{Client, Error, ListParams};
use serde_json::Value;

/// Marks a pod that a node made itself of a file (kubernetes' `MirrorPodAnnotationKey`).
pub const MIRROR_POD: &str = "kubernetes.io/config.mirror";

/// The relation by which objects of a kind belong to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    /// A field of the object has the node's name.
    Names(Named),
    /// A pod of the object's namespace that is bound to the node refers to it.
    ByPods(Referred),
    /// The volume's claim is one that a pod of the node refers to.
    ByClaim,
}

/// Kinds that name their node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    Pod,
    VolumeAttachment,
    ResourceSlice,
}

impl Named {
    fn resource(self) -> GroupVersionResource {
        match self {
            Self::Pod => GroupVersionResource::new("", "v1", "pods"),
            Self::VolumeAttachment => GroupVersionResource::new("storage.k8s.io", "v1", "volumeattachments"),
            Self::ResourceSlice => GroupVersionResource::new("resource.k8s.io", "v1", "resourceslices"),
        }
    }
}

/// Whether the object of that name is related to the node. One that does not exist is not.
///
/// # Errors
/// Errors of the reads.
pub(super) async fn related(
    client: &Client,
    node: &str,
    relation: Relation,
    namespace: &str,
    name: &str,
) -> Result<bool, Error> {
    match relation {
        Relation::Names(kind) => {
            let object = read(client, &kind.resource(), namespace, name).await?;
            Ok(object.is_some_and(|object| object.get_str(&["spec", "nodeName"]) == Some(node)))
        }
        Relation::ByPods(kind) => by_pods(client, node, kind, namespace, name).await,
        Relation::ByClaim => {
            let volumes = client.all::<PersistentVolume>().resource().clone();
            let Some(volume) = read(client, &volumes, "", name).await? else { return Ok(false) };
            let claim =
                ["namespace", "name"].map(|field| volume.get_str(&["spec", "claimRef", field]).unwrap_or_default());
            let [namespace, name] = claim;
            by_pods(client, node, Referred::PersistentVolumeClaim, namespace, name).await
        }
    }
}

async fn read(
    client: &Client,
    resource: &GroupVersionResource,
    namespace: &str,
    name: &str,
) -> Result<Option<Object>, Error> {
    let namespace = Some(namespace).filter(|namespace| !namespace.is_empty());
    match client.dynamic(resource, namespace).get_record(name).await {
        Ok(record) => Ok(Some(record.object())),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

async fn by_pods(client: &Client, node: &str, kind: Referred, namespace: &str, name: &str) -> Result<bool, Error> {
    if namespace.is_empty() || name.is_empty() {
        return Ok(false);
    }
    let own = ListParams::fields(format!("spec.nodeName={node}"));
    let pods = client.namespaced::<Pod>(namespace).list_all_records(&own).await?;
    Ok(pods.items.iter().any(|record| {
        let pod = record.object();
        // A node makes mirror pods itself: they give it nothing.
        pod.annotation(MIRROR_POD).is_none() && references(&pod.into_value(), kind).iter().any(|one| one == name)
    }))
}

/// Whether the volume `at` the path is an object: `at(volume, &["csi"])`.
pub fn has(value: &Value, fields: &[&str]) -> bool {
    at(value, fields).is_some_and(Value::is_object)
}
