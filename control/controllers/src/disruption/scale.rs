//! The numbers of pods that the owners of a budget's pods want.

use super::Scale;
use crate::served::Served;
use crate::{Context, Error, owner};
use sampan_api::GroupVersionKind;
use sampan_api::k8s::Metadata;
use sampan_api::k8s::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use sampan_api::k8s::api::autoscaling::v1::Scale as ScaleObject;
use sampan_api::k8s::api::core::v1::{Pod, ReplicationController};
use sampan_api::k8s::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use sampan_client::{Client, Lister};
use sampan_reconcile::Runtime;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Those who keep pods: read from copies where they are kinds of Kubernetes, asked for their scale where they are not.
pub(super) struct Owners {
    sets: Lister<ReplicaSet>,
    deployments: Lister<Deployment>,
    stateful_sets: Lister<StatefulSet>,
    controllers: Lister<ReplicationController>,
    client: Client,
    served: Served,
}

impl Owners {
    pub(super) fn new(context: &Context, runtime: &mut Runtime, client: Client) -> Result<Self, Error> {
        let informers = &context.informers;
        let (sets, deployments) = (informers.of::<ReplicaSet>()?, informers.of::<Deployment>()?);
        let (stateful, controllers) = (informers.of::<StatefulSet>()?, informers.of::<ReplicationController>()?);
        for informer in [&sets, &deployments, &stateful, &controllers] {
            runtime.read(informer);
        }
        Ok(Self {
            sets: sets.lister(),
            deployments: deployments.lister(),
            stateful_sets: stateful.lister(),
            controllers: controllers.lister(),
            served: Served::new(client.clone()),
            client,
        })
    }

    /// The scales of the pods' owners, each counted once.
    ///
    /// # Errors
    /// An owner that is not there or has no scale.
    pub(super) async fn scale(&self, pods: &[Arc<Pod>]) -> Result<Scale, Error> {
        let (mut scales, mut asked, mut unmanaged) = (HashMap::new(), HashSet::new(), Vec::new());
        for one in pods {
            let name = owner::name(&one.metadata);
            let Some(reference) = owner::controller(&one.metadata) else {
                unmanaged.push(name.to_owned());
                continue;
            };
            if !asked.insert(reference.uid.clone()) {
                continue;
            }
            let found = self.of(reference, owner::namespace(&one.metadata)).await?;
            let (uid, scale) = found.ok_or_else(|| Error::Invalid(format!("found no controllers for pod {name:?}")))?;
            scales.insert(uid, scale);
        }
        let expected = scales.into_values().fold(0i32, i32::saturating_add);
        Ok(Scale { expected, unmanaged })
    }

    /// UID and scale of the owner; of a Deployment's ReplicaSet, the Deployment's.
    async fn of(&self, reference: &OwnerReference, namespace: &str) -> Result<Option<(String, i32)>, Error> {
        let group = reference.api_version.split_once('/').map_or("", |(group, _)| group);
        let known = match (group, reference.kind.as_str()) {
            ("apps" | "extensions", "ReplicaSet") => {
                let set = is(self.sets.get(namespace, &reference.name), &reference.uid);
                let above = set.as_ref().and_then(|set| owner::controller(&set.metadata));
                let above = above.filter(|above| above.kind == "Deployment");
                let deployment = above.and_then(|above| is(self.deployments.get(namespace, &above.name), &above.uid));
                match deployment {
                    Some(one) => found(&one.metadata, one.spec.as_ref().and_then(|spec| spec.replicas)),
                    None => set.and_then(|one| found(&one.metadata, one.spec.as_ref().and_then(|spec| spec.replicas))),
                }
            }
            ("apps", "StatefulSet") => is(self.stateful_sets.get(namespace, &reference.name), &reference.uid)
                .and_then(|one| found(&one.metadata, one.spec.as_ref().and_then(|spec| spec.replicas))),
            ("", "ReplicationController") => is(self.controllers.get(namespace, &reference.name), &reference.uid)
                .and_then(|one| found(&one.metadata, one.spec.as_ref().and_then(|spec| spec.replicas))),
            _ => None,
        };
        match known {
            Some(known) => Ok(Some(known)),
            None => self.ask(reference, namespace).await,
        }
    }

    async fn ask(&self, reference: &OwnerReference, namespace: &str) -> Result<Option<(String, i32)>, Error> {
        let served = self.served.get().await?;
        let gvk = GroupVersionKind::parse(&reference.api_version, &reference.kind);
        let Some(resource) = gvk.and_then(|gvk| served.by_kind(&gvk)) else {
            let (kind, version) = (&reference.kind, &reference.api_version);
            return Err(Error::Invalid(format!("no matches for kind {kind:?} in version {version:?}")));
        };
        if !resource.subresources.iter().any(|one| one == "scale") {
            let of = resource.resource.group_resource();
            return Err(Error::Invalid(format!("{of} does not implement the scale subresource")));
        }
        let api = self.client.dynamic(&resource.resource, Some(namespace));
        match api.get_subresource::<ScaleObject>(&reference.name, "scale").await {
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(Error::of(format!("scale of {} {}", reference.kind, reference.name))(error)),
            Ok(scale) if owner::uid(&scale.metadata) != reference.uid => Ok(None),
            Ok(scale) => {
                Ok(Some((reference.uid.clone(), scale.spec.and_then(|spec| spec.replicas).unwrap_or_default())))
            }
        }
    }
}

/// The object, if it is the one of that UID and no successor of its name.
fn is<K: Metadata<Ty = ObjectMeta>>(one: Option<Arc<K>>, uid: &str) -> Option<Arc<K>> {
    one.filter(|one| owner::uid(one.metadata()) == uid)
}

fn found(meta: &ObjectMeta, replicas: Option<i32>) -> Option<(String, i32)> {
    Some((owner::uid(meta).to_owned(), replicas.unwrap_or(1)))
}
