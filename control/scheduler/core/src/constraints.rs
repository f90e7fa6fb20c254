//! Demands of a pod on its node: the fields that express them, and the policy that acts on each.
//!
//! A demand that nothing acts on is never ignored: the pod waits, and is told what for. Whoever builds a policy that
//! serves a field writes its name into the field's line.

use sampan_api::k8s::api::core::v1::{Pod, PodSpec, Volume};
use std::fmt;

/// A field of `spec` whose meaning is a demand on the node.
struct Constraint {
    /// The part of kube-scheduler that acts on it.
    plugin: &'static str,
    /// The policy, or the part of Sampan, that does; `None`: nothing does yet.
    served_by: Option<&'static str>,
    /// The paths below the pod at which it makes the demand.
    demanded: fn(&PodSpec) -> Vec<String>,
}

/// A demand of a pod that nothing acts on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unserved {
    /// Path of the field.
    pub field: String,
    /// The plugin of kube-scheduler that acts on it.
    pub plugin: &'static str,
}

impl fmt::Display for Unserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.field, self.plugin)
    }
}

/// Every demand that v1.35's default plugins act on.
const CONSTRAINTS: &[Constraint] = &[
    Constraint {
        plugin: "NodeName",
        served_by: Some("NodeName"),
        demanded: |spec| named("spec.nodeName", spec.node_name.as_ref().is_some_and(|name| !name.is_empty())),
    },
    Constraint {
        plugin: "SchedulingGates",
        served_by: Some("the queue"),
        demanded: |spec| named("spec.schedulingGates", has(&spec.scheduling_gates)),
    },
    Constraint {
        plugin: "NodeAffinity",
        served_by: Some("NodeAffinity"),
        demanded: |spec| named("spec.nodeSelector", spec.node_selector.as_ref().is_some_and(|map| !map.is_empty())),
    },
    Constraint {
        plugin: "NodeAffinity",
        served_by: Some("NodeAffinity"),
        demanded: |spec| {
            let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
            let required = affinity.is_some_and(|a| a.required_during_scheduling_ignored_during_execution.is_some());
            named("spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution", required)
        },
    },
    Constraint {
        plugin: "NodePorts",
        served_by: Some("NodePorts"),
        demanded: |spec| {
            let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
            let mut ports = containers.flat_map(|container| container.ports.iter().flatten());
            named("spec.containers[*].ports[*].hostPort", ports.any(|port| port.host_port.is_some_and(|port| port > 0)))
        },
    },
    Constraint {
        plugin: "NodeResourcesFit",
        served_by: Some("NodeResourcesFit"),
        demanded: |spec| {
            let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
            let mut own = containers.filter_map(|container| container.resources.as_ref()).chain(&spec.resources);
            let requests = own.any(|own| own.requests.as_ref().is_some_and(|map| !map.is_empty()));
            named("spec.containers[*].resources.requests", requests || spec.overhead.is_some())
        },
    },
    Constraint {
        plugin: "InterPodAffinity",
        served_by: None,
        demanded: |spec| {
            let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.pod_affinity.as_ref());
            let required = affinity.is_some_and(|a| has(&a.required_during_scheduling_ignored_during_execution));
            named("spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution", required)
        },
    },
    Constraint {
        plugin: "InterPodAffinity",
        served_by: None,
        demanded: |spec| {
            let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.pod_anti_affinity.as_ref());
            let required = affinity.is_some_and(|a| has(&a.required_during_scheduling_ignored_during_execution));
            named("spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution", required)
        },
    },
    Constraint {
        plugin: "PodTopologySpread",
        served_by: None,
        demanded: |spec| {
            let all = spec.topology_spread_constraints.iter().flatten().enumerate();
            let hard = all.filter(|(_, constraint)| constraint.when_unsatisfiable == "DoNotSchedule");
            hard.map(|(at, _)| format!("spec.topologySpreadConstraints[{at}] whenUnsatisfiable=DoNotSchedule"))
                .collect()
        },
    },
    Constraint {
        plugin: "VolumeBinding",
        served_by: None,
        demanded: |spec| {
            let claims = volumes(spec).filter_map(|(at, volume)| {
                let claim = &volume.persistent_volume_claim.as_ref()?.claim_name;
                Some(format!("spec.volumes[{at}].persistentVolumeClaim {claim:?}"))
            });
            claims.collect()
        },
    },
    Constraint {
        plugin: "VolumeBinding",
        served_by: None,
        demanded: |spec| volumes_of(spec, "ephemeral", |volume| volume.ephemeral.is_some()),
    },
    Constraint {
        plugin: "NodeVolumeLimits",
        served_by: None,
        demanded: |spec| volumes_of(spec, "csi", |volume| volume.csi.is_some()),
    },
    Constraint {
        plugin: "VolumeRestrictions",
        served_by: None,
        demanded: |spec| volumes_of(spec, "gcePersistentDisk", |volume| volume.gce_persistent_disk.is_some()),
    },
    Constraint {
        plugin: "VolumeRestrictions",
        served_by: None,
        demanded: |spec| volumes_of(spec, "awsElasticBlockStore", |volume| volume.aws_elastic_block_store.is_some()),
    },
    Constraint {
        plugin: "VolumeRestrictions",
        served_by: None,
        demanded: |spec| volumes_of(spec, "iscsi", |volume| volume.iscsi.is_some()),
    },
    Constraint {
        plugin: "VolumeRestrictions",
        served_by: None,
        demanded: |spec| volumes_of(spec, "rbd", |volume| volume.rbd.is_some()),
    },
    Constraint {
        plugin: "NodeVolumeLimits",
        served_by: None,
        demanded: |spec| volumes_of(spec, "azureDisk", |volume| volume.azure_disk.is_some()),
    },
    Constraint {
        plugin: "NodeVolumeLimits",
        served_by: None,
        demanded: |spec| volumes_of(spec, "cinder", |volume| volume.cinder.is_some()),
    },
    Constraint {
        plugin: "NodeVolumeLimits",
        served_by: None,
        demanded: |spec| volumes_of(spec, "vsphereVolume", |volume| volume.vsphere_volume.is_some()),
    },
    Constraint {
        plugin: "NodeVolumeLimits",
        served_by: None,
        demanded: |spec| volumes_of(spec, "portworxVolume", |volume| volume.portworx_volume.is_some()),
    },
    Constraint {
        plugin: "DynamicResources",
        served_by: None,
        demanded: |spec| {
            let claims = spec.resource_claims.iter().flatten();
            claims.map(|claim| format!("spec.resourceClaims {:?}", claim.name)).collect()
        },
    },
];

fn has<T>(list: &Option<Vec<T>>) -> bool {
    list.as_ref().is_some_and(|list| !list.is_empty())
}

fn named(field: &str, demanded: bool) -> Vec<String> {
    if demanded { vec![field.to_owned()] } else { Vec::new() }
}

fn volumes(spec: &PodSpec) -> impl Iterator<Item = (usize, &Volume)> {
    spec.volumes.iter().flatten().enumerate()
}

fn volumes_of(spec: &PodSpec, source: &str, is: fn(&Volume) -> bool) -> Vec<String> {
    volumes(spec).filter(|(_, volume)| is(volume)).map(|(at, _)| format!("spec.volumes[{at}].{source}")).collect()
}

/// The pod's demands that nothing acts on, in the order of the table.
pub fn unserved(pod: &Pod) -> Vec<Unserved> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let not_served = CONSTRAINTS.iter().filter(|constraint| constraint.served_by.is_none());
    let demands = not_served.flat_map(|constraint| {
        let fields = (constraint.demanded)(spec).into_iter();
        fields.map(|field| Unserved { field, plugin: constraint.plugin })
    });
    demands.collect()
}
