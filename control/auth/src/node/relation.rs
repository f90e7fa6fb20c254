//! Whether an object is a node's business: it names the node, or a pod that is bound to the node refers to it. What
//! Kubernetes' node authorizer keeps in a graph is looked up here when a node asks.

use super::known::References;
use super::references::{Referred, at};
use super::volumes::{EDGES, claim, edge, edges};
use sampan_api::k8s::api::core::v1::{PersistentVolume, Pod};
use sampan_api::{GroupVersionResource, Record};
use sampan_client::{Client, Error, Informer, Informers, ListParams};
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

/// The relation by which objects of a kind belong to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    /// A field of the object has the node's name.
    Names(Named),
    /// A pod of the object's namespace that is bound to the node refers to it; or, to a secret, a volume of such a pod's
    /// claim does.
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
    PodCertificateRequest,
}

impl Named {
    fn resource(self) -> GroupVersionResource {
        match self {
            Self::Pod => GroupVersionResource::new("", "v1", "pods"),
            Self::VolumeAttachment => GroupVersionResource::new("storage.k8s.io", "v1", "volumeattachments"),
            Self::ResourceSlice => GroupVersionResource::new("resource.k8s.io", "v1", "resourceslices"),
            Self::PodCertificateRequest => {
                GroupVersionResource::new("certificates.k8s.io", "v1beta1", "podcertificaterequests")
            }
        }
    }
}

/// What a node is asked about is looked up in.
#[derive(Clone)]
pub(super) struct Relations {
    client: Client,
    known: Arc<References>,
    volumes: Informer,
}

/// The one field of an object that is read: nothing is kept of the others.
#[derive(Default, Deserialize)]
#[serde(default)]
struct OfNode {
    spec: NodeName,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct NodeName {
    node_name: Option<String>,
}

impl Relations {
    /// `client` and `informers` should read as `system:apiserver`.
    ///
    /// # Errors
    /// `Config` when there are too many informers.
    pub fn new(client: Client, informers: &Informers) -> Result<Self, Error> {
        let volumes = informers.of::<PersistentVolume>()?;
        volumes.add_index(EDGES, edges);
        Ok(Self { client, known: Arc::default(), volumes })
    }

    /// Whether the object of that name is related to the node. One that does not exist is not.
    ///
    /// # Errors
    /// Errors of the reads.
    pub async fn hold(&self, node: &str, relation: Relation, namespace: &str, name: &str) -> Result<bool, Error> {
        match relation {
            Relation::Names(kind) => {
                let Some(record) = self.read(&kind.resource(), namespace, name).await? else { return Ok(false) };
                if let Some(named) = record.field("spec.nodeName") {
                    return Ok(named == node);
                }
                let object: OfNode = serde_json::from_slice(&record.json).map_err(undecoded)?;
                Ok(object.spec.node_name.as_deref() == Some(node))
            }
            Relation::ByPods(Referred::Secret) => Ok(self.by_pods(node, Referred::Secret, namespace, name).await?
                || self.by_volumes(node, [namespace, name]).await?),
            Relation::ByPods(kind) => self.by_pods(node, kind, namespace, name).await,
            Relation::ByClaim => {
                let Some(volume) = self.read(self.volumes_resource(), "", name).await? else { return Ok(false) };
                let [namespace, name] = claim(&volume).map_err(undecoded)?;
                self.by_pods(node, Referred::PersistentVolumeClaim, &namespace, &name).await
            }
        }
    }

    fn volumes_resource(&self) -> &GroupVersionResource {
        &self.volumes.spec().resource
    }

    async fn read(
        &self,
        resource: &GroupVersionResource,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<Record>>, Error> {
        let namespace = Some(namespace).filter(|namespace| !namespace.is_empty());
        match self.client.dynamic(resource, namespace).get_record(name).await {
            Ok(record) => Ok(Some(record)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn by_pods(&self, node: &str, kind: Referred, namespace: &str, name: &str) -> Result<bool, Error> {
        if namespace.is_empty() || name.is_empty() {
            return Ok(false);
        }
        let pods = self.client.namespaced::<Pod>(namespace).list_all_records(&own(node)).await?;
        let names = self.known.of(node, namespace, &pods.items).await;
        Ok(names.iter().any(|names| names.contains(kind, name)))
    }

    /// Whether a volume of a claim that one of the node's pods refers to names the secret. The informer says which volumes
    /// may; whether one does is read.
    async fn by_volumes(&self, node: &str, secret: [&str; 2]) -> Result<bool, Error> {
        let store = self.volumes.store();
        if store.is_empty() {
            return Ok(false);
        }
        let pods = self.client.all::<Pod>().list_all_records(&own(node)).await?.items;
        let names = self.known.of(node, "", &pods).await;
        for (pod, names) in pods.iter().zip(&names) {
            for claim in names.all(Referred::PersistentVolumeClaim) {
                let edge = edge([&pod.key.namespace, claim], secret);
                for volume in store.by_index(EDGES, &edge) {
                    let volume = self.read(self.volumes_resource(), "", &volume.key.name).await?;
                    if volume.is_some_and(|volume| edges(&volume).contains(&edge)) {
                        return Ok(true);
                    }
                }
            }
        }
        Ok(false)
    }

    #[cfg(test)]
    pub fn known(&self) -> &References {
        &self.known
    }
}

fn undecoded(source: serde_json::Error) -> Error {
    Error::Decode { what: "a stored object".into(), source }
}

fn own(node: &str) -> ListParams {
    ListParams::fields(format!("spec.nodeName={node}"))
}

/// Whether the volume `at` the path is an object: `at(volume, &["csi"])`.
pub fn has(value: &Value, fields: &[&str]) -> bool {
    at(value, fields).is_some_and(Value::is_object)
}
