//! Readings of Services, and of pods as their endpoints, for the controllers that keep addresses.

use crate::{owner, pod};
use sampan_api::k8s::api::core::v1::{Container, ObjectReference, Pod, Service, ServicePort, ServiceSpec};
use sampan_api::k8s::apimachinery::pkg::util::intstr::IntOrString;
use sampan_api::{Record, RecordKey};
use sampan_client::Lister;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// The label of EndpointSlices and Endpoints of a Service that has no address of its own.
pub(crate) const HEADLESS: &str = "service.kubernetes.io/headless";
/// The annotation with the time of the change that an endpoint object's last write follows.
pub(crate) const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";

fn spec(service: &Service) -> Option<&ServiceSpec> {
    service.spec.as_ref()
}

/// The selector of a Service whose addresses are found by it: of any type but ExternalName.
pub(crate) fn selector(service: &Service) -> Option<&BTreeMap<String, String>> {
    let spec = spec(service).filter(|spec| spec.type_.as_deref() != Some("ExternalName"))?;
    has_selector(service).then_some(spec.selector.as_ref()?)
}

/// Whether the Service has a selector, whatever its type.
pub(crate) fn has_selector(service: &Service) -> bool {
    spec(service).and_then(|spec| spec.selector.as_ref()).is_some_and(|selector| !selector.is_empty())
}

/// Whether the Service has an address of its own.
pub(crate) fn has_address(service: &Service) -> bool {
    let ip = spec(service).and_then(|spec| spec.cluster_ip.as_deref()).unwrap_or_default();
    !ip.is_empty() && ip != "None"
}

/// Whether pods are reached though they are not ready.
pub(crate) fn publishes_not_ready(service: &Service) -> bool {
    spec(service).and_then(|spec| spec.publish_not_ready_addresses) == Some(true)
}

/// The Service's ports; `None`: it is headless and has none, so that its endpoints are addresses alone.
pub(crate) fn ports(service: &Service) -> Option<&[ServicePort]> {
    let ports = spec(service).and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let headless = spec(service).and_then(|spec| spec.cluster_ip.as_deref()) == Some("None");
    (!ports.is_empty() || !headless).then_some(ports)
}

/// The families of the Service's addresses: `IPv4`, `IPv6`.
pub(crate) fn families(service: &Service) -> Vec<&str> {
    let families = spec(service).and_then(|spec| spec.ip_families.as_deref()).unwrap_or_default();
    if !families.is_empty() {
        return families.iter().map(String::as_str).collect();
    }
    match spec(service).and_then(|spec| spec.cluster_ip.as_deref()) {
        Some(ip) if has_address(service) => vec![family(ip).unwrap_or("IPv4")],
        _ => vec!["IPv4", "IPv6"],
    }
}

/// The family of an address; `None`: it is none.
pub(crate) fn family(ip: &str) -> Option<&'static str> {
    ip.parse::<IpAddr>().ok().map(|ip| if ip.is_ipv4() { "IPv4" } else { "IPv6" })
}

/// The pods that the Service selects.
pub(crate) fn pods_of(service: &Service, pods: &Lister<Pod>) -> Vec<Arc<Pod>> {
    let Some(selector) = selector(service) else { return Vec::new() };
    let all = pods.list_namespace(owner::namespace(&service.metadata));
    let label = |pod: &Pod, key: &str| pod.metadata.labels.as_ref().and_then(|labels| labels.get(key)).cloned();
    all.into_iter().filter(|pod| selector.iter().all(|(key, value)| label(pod, key).as_ref() == Some(value))).collect()
}

/// The Services of the record's namespace that select it.
pub(crate) fn selecting(services: &Lister<Service>, record: &Record) -> Vec<RecordKey> {
    let all = services.list_namespace(&record.key.namespace);
    let selects = |service: &Service| {
        let selected = |selector: &BTreeMap<String, String>| {
            selector.iter().all(|(key, value)| record.labels.get(key) == Some(value))
        };
        selector(service).is_some_and(selected)
    };
    let found = all.iter().filter(|service| selects(service));
    found.map(|one| RecordKey::new(record.key.namespace.clone(), owner::name(&one.metadata))).collect()
}

/// Whether a pod is an endpoint of those that select it: it has an address, has not ended, and is not going, unless such
/// pods are asked for.
pub(crate) fn is_endpoint(one: &Pod, with_going: bool) -> bool {
    let status = one.status.as_ref();
    let has_ip = status.and_then(|status| status.pod_ip.as_deref()).is_some_and(|ip| !ip.is_empty());
    let has_ips = status.and_then(|status| status.pod_ips.as_deref()).is_some_and(|ips| !ips.is_empty());
    !pod::is_finished(one) && (has_ip || has_ips) && (with_going || !owner::is_being_deleted(&one.metadata))
}

/// The pod's addresses of a family.
pub(crate) fn addresses(one: &Pod, of: &str) -> Vec<String> {
    let ips = one.status.as_ref().and_then(|status| status.pod_ips.as_deref()).unwrap_or_default();
    let parsed = ips.iter().filter_map(|ip| ip.ip.parse::<IpAddr>().ok());
    parsed.map(|ip| ip.to_string()).filter(|ip| family(ip) == Some(of)).collect()
}

/// The name by which a pod of a headless Service is found.
pub(crate) fn hostname(one: &Pod, service: &Service) -> Option<String> {
    let spec = one.spec.as_ref()?;
    let subdomain = spec.subdomain.as_deref().unwrap_or_default();
    spec.hostname.clone().filter(|name| !name.is_empty() && subdomain == owner::name(&service.metadata))
}

/// The number of the pod's port that a Service's port leads to; `None`: the pod has no port of that name.
pub(crate) fn target(one: &Pod, port: &ServicePort) -> Option<i32> {
    let name = match &port.target_port {
        Some(IntOrString::Int(number)) => return Some(*number),
        Some(IntOrString::String(name)) => name,
        None => return Some(port.port),
    };
    let spec = one.spec.as_ref()?;
    let sidecars = spec.init_containers.iter().flatten().filter(|one| one.restart_policy.as_deref() == Some("Always"));
    let ports = |container: &Container| container.ports.clone().unwrap_or_default();
    let protocol = |text: &Option<String>| text.clone().unwrap_or_else(|| "TCP".into());
    let all = spec.containers.iter().chain(sidecars).flat_map(ports);
    all.into_iter()
        .find(|one| one.name.as_ref() == Some(name) && protocol(&one.protocol) == protocol(&port.protocol))
        .map(|one| one.container_port)
}

/// The reference to a pod in an endpoint.
pub(crate) fn reference(one: &Pod) -> ObjectReference {
    ObjectReference {
        kind: Some("Pod".into()),
        namespace: one.metadata.namespace.clone(),
        name: one.metadata.name.clone(),
        uid: one.metadata.uid.clone(),
        ..ObjectReference::default()
    }
}
