//! Plugins about pods that a configuration may turn on.

use super::tolerations;
use crate::chain::Plugin;
use async_trait::async_trait;
use sampan_api::admission::{Attributes, Mutated, Operation};
use sampan_api::names::qualified_name;
use sampan_api::{Object, Status};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn is_written(attributes: &Attributes<'_>) -> bool {
    attributes.is("", "pods") && matches!(attributes.operation, Operation::Create | Operation::Update)
}

const CONTAINERS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

/// A list of the spec; none where there is none.
fn list<'a>(pod: &'a Object, name: &str) -> &'a [Value] {
    pod.get(&["spec", name]).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Refuses required anti-affinity over anything but nodes (plugin/pkg/admission/antiaffinity).
#[derive(Clone, Copy, Debug, Default)]
pub struct LimitPodHardAntiAffinityTopology;

#[async_trait]
impl Plugin for LimitPodHardAntiAffinityTopology {
    fn name(&self) -> &'static str {
        "LimitPodHardAntiAffinityTopology"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        is_written(attributes)
    }

    async fn validate(&self, attributes: &Attributes<'_>, pod: Option<&Object>) -> Result<(), Status> {
        const HOST: &str = "kubernetes.io/hostname";
        let path = ["spec", "affinity", "podAntiAffinity", "requiredDuringSchedulingIgnoredDuringExecution"];
        let Some(pod) = pod else { return Ok(()) };
        let terms = pod.get(&path).and_then(Value::as_array).into_iter().flatten();
        let mut keys = terms.map(|term| term["topologyKey"].as_str().unwrap_or_default());
        match keys.find(|key| *key != HOST) {
            None => Ok(()),
            Some(key) => Err(Status::forbidden(
                &attributes.group_resource(),
                pod.name(),
                &format!(
                    "affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey {key} but only key {HOST} is allowed"
                ),
            )),
        }
    }
}

/// Has every image pulled anew, so that none is run by who could not pull it (plugin/pkg/admission/alwayspullimages).
#[derive(Clone, Copy, Debug, Default)]
pub struct AlwaysPullImages;

/// Whether an update names no image that the pod did not have.
fn keeps_images(attributes: &Attributes<'_>, pod: &Object) -> bool {
    let Some(old) = attributes.old.filter(|_| attributes.operation == Operation::Update) else { return false };
    let images = |pod: &Object| -> BTreeSet<String> {
        let all = CONTAINERS.iter().flat_map(|name| list(pod, name));
        all.filter_map(|container| container["image"].as_str()).map(str::to_owned).collect()
    };
    images(pod).is_subset(&images(old))
}

#[async_trait]
impl Plugin for AlwaysPullImages {
    fn name(&self) -> &'static str {
        "AlwaysPullImages"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        is_written(attributes)
    }

    async fn mutate(&self, attributes: &Attributes<'_>, pod: &mut Object) -> Result<Mutated, Status> {
        if keeps_images(attributes, pod) {
            return Ok(Mutated::No);
        }
        for name in CONTAINERS {
            let containers = pod.get_mut(&["spec", name]).and_then(Value::as_array_mut);
            containers.into_iter().flatten().for_each(|container| container["imagePullPolicy"] = "Always".into());
        }
        let volumes = pod.get_mut(&["spec", "volumes"]).and_then(Value::as_array_mut);
        for volume in volumes.into_iter().flatten().filter(|volume| volume["image"].is_object()) {
            volume["image"]["pullPolicy"] = "Always".into();
        }
        Ok(Mutated::Yes)
    }

    async fn validate(&self, attributes: &Attributes<'_>, pod: Option<&Object>) -> Result<(), Status> {
        let Some(pod) = pod.filter(|pod| !keeps_images(attributes, pod)) else { return Ok(()) };
        let containers = CONTAINERS.iter().flat_map(|name| {
            let indexed = list(pod, name).iter().enumerate();
            indexed.map(move |(at, one)| (format!("spec.{name}[{at}].imagePullPolicy"), &one["imagePullPolicy"]))
        });
        let volumes = list(pod, "volumes").iter().enumerate().filter(|(_, volume)| volume["image"].is_object());
        let volumes =
            volumes.map(|(at, one)| (format!("spec.volumes[{at}].image.pullPolicy"), &one["image"]["pullPolicy"]));
        let wrong: Vec<String> = containers
            .chain(volumes)
            .filter(|(_, policy)| *policy != "Always")
            .map(|(path, policy)| {
                let shown = policy.as_str().unwrap_or_default();
                attributes
                    .forbidden(&format!("{path}: Unsupported value: \"{shown}\": supported values: \"Always\""))
                    .message
            })
            .collect();
        match wrong.as_slice() {
            [] => Ok(()),
            // Kubernetes' aggregate of refusals is no status of its own: the API server answers 500 with all of them.
            [one] => Err(Status::internal(one)),
            all => Err(Status::internal(&format!("[{}]", all.join(", ")))),
        }
    }
}

/// Has pods that request extended resources tolerate the taints by which nodes with those are kept for them
/// (plugin/pkg/admission/extendedresourcetoleration).
#[derive(Clone, Copy, Debug, Default)]
pub struct ExtendedResourceToleration;

fn is_extended(name: &str) -> bool {
    let native = !name.contains('/') || name.contains("kubernetes.io/");
    !native && !name.starts_with("requests.") && qualified_name(&format!("requests.{name}")).is_empty()
}

#[async_trait]
impl Plugin for ExtendedResourceToleration {
    fn name(&self) -> &'static str {
        "ExtendedResourceToleration"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        is_written(attributes)
    }

    async fn mutate(&self, _: &Attributes<'_>, pod: &mut Object) -> Result<Mutated, Status> {
        let containers = CONTAINERS[..2].iter().flat_map(|name| list(pod, name));
        let requests = containers.filter_map(|container| container["resources"]["requests"].as_object()).flatten();
        let names: BTreeSet<String> = requests.map(|(name, _)| name.clone()).filter(|name| is_extended(name)).collect();
        let mut all = list(pod, "tolerations").to_vec();
        let mut changed = false;
        for name in names {
            changed |= tolerations::set(&mut all, json!({"key": name, "operator": "Exists", "effect": "NoSchedule"}));
        }
        if !changed {
            return Ok(Mutated::No);
        }
        pod.set(&["spec", "tolerations"], all);
        Ok(Mutated::Yes)
    }
}
