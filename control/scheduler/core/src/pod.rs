//! A pod as the scheduler sees it.

use crate::resources;
use crate::strings::{Strings, Text};
use sampan_api::k8s::api::core::v1::{Container, Pod};
use std::sync::Arc;

/// A port's protocol, as columns have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// The default.
    Tcp = 0,
    /// `UDP`.
    Udp = 1,
    /// `SCTP`.
    Sctp = 2,
}

/// A port of the host that a pod takes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port {
    /// The address of the host; `0.0.0.0`: all of them.
    pub ip: Text,
    /// Ports of different protocols do not clash.
    pub protocol: Protocol,
    /// `hostPort`.
    pub port: i32,
}

/// A pod's use of its node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Resource and amount: cpu in thousandths, the rest in units; by name.
    pub requests: Vec<(Text, i64)>,
    /// cpu in thousandths and memory in bytes, with kube-scheduler's assumptions for containers that ask for none.
    pub nonzero: (i64, i64),
    /// Ports of the host.
    pub ports: Vec<Port>,
    /// `spec.priority`.
    pub priority: i32,
}

impl Usage {
    /// This pod's use; its texts are those of `strings`.
    pub fn of(pod: &Pod, strings: &mut Strings) -> Self {
        let requests = resources::pod_requests(pod);
        Self {
            requests: requests.iter().map(|(name, amount)| (strings.intern(name), *amount)).collect(),
            nonzero: resources::pod_nonzero_requests(pod),
            ports: ports(pod, strings),
            priority: pod.spec.as_ref().and_then(|spec| spec.priority).unwrap_or(0),
        }
    }
}

fn ports(pod: &Pod, strings: &mut Strings) -> Vec<Port> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let sidecars = spec.init_containers.iter().flatten().filter(|container| resources::restartable(container));
    let containers = spec.containers.iter().chain(sidecars);
    let of = |container: &Container| container.ports.clone().unwrap_or_default();
    let mut ports = Vec::new();
    for written in containers.flat_map(of) {
        let Some(port) = written.host_port.filter(|port| *port > 0) else { continue };
        let ip = written.host_ip.as_deref().filter(|ip| !ip.is_empty()).unwrap_or("0.0.0.0");
        let protocol = match written.protocol.as_deref() {
            Some("UDP") => Protocol::Udp,
            Some("SCTP") => Protocol::Sctp,
            _ => Protocol::Tcp,
        };
        ports.push(Port { ip: strings.intern(ip), protocol, port });
    }
    ports
}

/// A pod that wants a node, or has one.
#[derive(Clone, Debug)]
pub struct PodInfo {
    /// The object.
    pub pod: Arc<Pod>,
    /// `metadata.uid`.
    pub uid: Arc<str>,
    /// Its use of a node.
    pub usage: Arc<Usage>,
}

impl PodInfo {
    /// The pod, with texts of the snapshot that it is to be decided on.
    pub fn new(pod: Arc<Pod>, strings: &mut Strings) -> Self {
        let usage = Arc::new(Usage::of(&pod, strings));
        let uid = pod.metadata.uid.as_deref().unwrap_or_default().into();
        Self { pod, uid, usage }
    }
    /// `metadata.name`.
    pub fn name(&self) -> &str {
        self.pod.metadata.name.as_deref().unwrap_or_default()
    }
    /// `metadata.namespace`.
    pub fn namespace(&self) -> &str {
        self.pod.metadata.namespace.as_deref().unwrap_or_default()
    }
    /// `metadata.resourceVersion`.
    pub fn resource_version(&self) -> &str {
        self.pod.metadata.resource_version.as_deref().unwrap_or_default()
    }
    /// `spec.nodeName`, if it has one.
    pub fn node_name(&self) -> Option<&str> {
        self.pod.spec.as_ref()?.node_name.as_deref().filter(|name| !name.is_empty())
    }
    /// `spec.schedulerName`, or the default's.
    pub fn scheduler_name(&self) -> &str {
        self.pod.spec.as_ref().and_then(|spec| spec.scheduler_name.as_deref()).unwrap_or("default-scheduler")
    }
    /// `spec.priority`; 0 when it has none.
    pub fn priority(&self) -> i32 {
        self.pod.spec.as_ref().and_then(|spec| spec.priority).unwrap_or(0)
    }
    /// Scheduling gates that hold it back.
    pub fn gated(&self) -> bool {
        self.pod.spec.as_ref().is_some_and(|spec| spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty()))
    }
    /// `spec.preemptionPolicy` is Never.
    pub fn never_preempts(&self) -> bool {
        self.pod.spec.as_ref().is_some_and(|spec| spec.preemption_policy.as_deref() == Some("Never"))
    }
    /// Succeeded and failed pods take nothing of their node.
    pub fn finished(&self) -> bool {
        let phase = self.pod.status.as_ref().and_then(|status| status.phase.as_deref());
        matches!(phase, Some("Succeeded" | "Failed"))
    }
    /// It is being deleted.
    pub fn deleting(&self) -> bool {
        self.pod.metadata.deletion_timestamp.is_some()
    }
}
