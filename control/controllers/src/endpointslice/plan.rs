//! The EndpointSlices that a Service wants: a pure function of it, of the pods it selects and of the slices that there are
//! (k8s.io/endpointslice, reconciler.go). Slices are changed as little as can be: who watches them pays for each.

use crate::service::{self, HEADLESS};
use crate::{limits, owner, pod};
use sampan_api::k8s::api::core::v1::{Node, Pod, Service};
use sampan_api::k8s::api::discovery::v1::{
    Endpoint, EndpointConditions, EndpointHints, EndpointPort, EndpointSlice, ForNode, ForZone,
};
use sampan_api::k8s::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// The label that names the Service of a slice.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The label that names who keeps a slice.
pub const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// The value of the label of this controller's slices.
pub const MANAGER: &str = "endpointslice-controller.k8s.io";
const ZONE: &str = "topology.kubernetes.io/zone";
const TOPOLOGY_MODES: [&str; 2] = ["service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"];

/// The writes that bring the slices of one object to what it wants.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// Made; their names are generated.
    pub create: Vec<EndpointSlice>,
    /// Written over what has their name.
    pub update: Vec<EndpointSlice>,
    /// Deleted.
    pub delete: Vec<Arc<EndpointSlice>>,
}

impl Changes {
    /// Gives the names of slices that would be deleted to those that would be made, of the same type of address and of
    /// those that `may_reuse` allows.
    pub fn reuse(&mut self, may_reuse: impl Fn(&EndpointSlice) -> bool) {
        let mut kept = Vec::new();
        for old in std::mem::take(&mut self.delete) {
            let same_type = |new: &EndpointSlice| new.address_type == old.address_type && may_reuse(&old);
            match self.create.iter().rposition(same_type) {
                Some(at) => {
                    let mut new = self.create.remove(at);
                    new.metadata.name = old.metadata.name.clone();
                    self.update.push(new);
                }
                None => kept.push(old),
            }
        }
        self.delete = kept;
    }
}

/// The ports of slices that belong together, in whatever order.
pub type PortsKey = String;

/// The key of a list of ports.
pub fn ports_key(ports: &[EndpointPort]) -> PortsKey {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let number = |port: Option<i32>| port.map(|port| port.to_string()).unwrap_or_default();
    let one = |port: &EndpointPort| {
        format!("{}/{}/{}/{}", text(&port.name), text(&port.protocol), number(port.port), text(&port.app_protocol))
    };
    let mut all: Vec<String> = ports.iter().map(one).collect();
    all.sort();
    all.join(" ")
}

/// What makes two endpoints the same: addresses, name and pod. All else of an endpoint may change.
pub type EndpointKey = (Vec<String>, Option<String>, Option<String>, Option<String>);

/// The key of an endpoint.
pub fn endpoint_key(endpoint: &Endpoint) -> EndpointKey {
    let mut addresses = endpoint.addresses.clone();
    addresses.sort();
    let of = endpoint.target_ref.as_ref();
    let (namespace, name) = (of.and_then(|of| of.namespace.clone()), of.and_then(|of| of.name.clone()));
    (addresses, endpoint.hostname.clone(), namespace, name)
}

/// Whether two endpoints of the same key say the same, whatever version of the pod they name.
pub fn same_endpoint(one: &Endpoint, two: &Endpoint) -> bool {
    let plain = |endpoint: &Endpoint| {
        let mut plain = endpoint.clone();
        plain.addresses.sort();
        if let Some(of) = &mut plain.target_ref {
            of.resource_version = None;
        }
        plain
    };
    plain(one) == plain(two)
}

/// Endpoints by key.
pub type Endpoints = BTreeMap<EndpointKey, Endpoint>;

/// The changes, and pods that are left out because their node is not known: they are looked at again.
pub fn plan(
    service: &Service,
    pods: &[Arc<Pod>],
    node: impl Fn(&str) -> Option<Arc<Node>>,
    slices: &[Arc<EndpointSlice>],
) -> (Changes, Vec<String>) {
    let families = service::families(service);
    let (mut changes, mut left_out) = (Changes::default(), Vec::new());
    for family in &families {
        let existing: Vec<Arc<EndpointSlice>> =
            slices.iter().filter(|slice| slice.address_type == *family).cloned().collect();
        let of_family = plan_family(service, pods, &node, &existing, family, &mut left_out);
        changes.create.extend(of_family.create);
        changes.update.extend(of_family.update);
        changes.delete.extend(of_family.delete);
    }
    let strange = slices.iter().filter(|slice| !families.iter().any(|family| slice.address_type == *family));
    changes.delete.extend(strange.cloned());
    if owner::is_being_deleted(&service.metadata) {
        changes.create.clear();
    }
    left_out.sort();
    left_out.dedup();
    (changes, left_out)
}

fn plan_family(
    service: &Service,
    pods: &[Arc<Pod>],
    node: &impl Fn(&str) -> Option<Arc<Node>>,
    existing: &[Arc<EndpointSlice>],
    family: &str,
    left_out: &mut Vec<String>,
) -> Changes {
    let mut changes = Changes::default();
    let mut by_ports: BTreeMap<PortsKey, Vec<Arc<EndpointSlice>>> = BTreeMap::new();
    for slice in existing {
        match is_owned(slice, service) {
            true => {
                by_ports.entry(ports_key(slice.ports.as_deref().unwrap_or_default())).or_default().push(slice.clone())
            }
            false => changes.delete.push(slice.clone()),
        }
    }
    let mut desired: BTreeMap<PortsKey, (Vec<EndpointPort>, Endpoints)> = BTreeMap::new();
    for one in pods.iter().filter(|one| service::is_endpoint(one, true)) {
        let ports = endpoint_ports(service, one);
        let (_, endpoints) = desired.entry(ports_key(&ports)).or_insert_with(|| (ports, Endpoints::new()));
        let node = node(pod::node(one));
        if node.is_none() && !service::publishes_not_ready(service) {
            let (namespace, name) = (owner::namespace(&service.metadata), owner::name(&service.metadata));
            let (of, on) = (owner::name(&one.metadata), pod::node(one));
            left_out.push(format!("skipping Pod {of} for Service {namespace}/{name}: Node {on} Not Found"));
            continue;
        }
        let endpoint = endpoint(one, node.as_deref(), service, family);
        if !endpoint.addresses.is_empty() {
            endpoints.insert(endpoint_key(&endpoint), endpoint);
        }
    }
    for (key, (ports, endpoints)) in desired {
        let slices = by_ports.remove(&key).unwrap_or_default();
        plan_ports(service, family, ports, &slices, endpoints, &mut changes);
    }
    changes.delete.extend(by_ports.into_values().flatten());
    if changes.create.is_empty() && changes.delete.len() == existing.len() {
        // A Service without endpoints has one empty slice, which says so.
        let placeholder = new_slice(service, Vec::new(), family);
        match changes.delete.as_slice() {
            [only] if is_like(only, &placeholder) => changes.delete.clear(),
            _ => changes.create.push(placeholder),
        }
    }
    changes.reuse(|old| is_owned(old, service));
    changes
}

/// Fits the endpoints into the slices with these ports: those that stay, stay where they are; new ones fill slices that
/// change anyway, then one that has room for all of them, then new slices.
fn plan_ports(
    service: &Service,
    family: &str,
    ports: Vec<EndpointPort>,
    slices: &[Arc<EndpointSlice>],
    mut desired: Endpoints,
    changes: &mut Changes,
) {
    let (mut changed, mut unchanged): (Vec<EndpointSlice>, Vec<Arc<EndpointSlice>>) = (Vec::new(), Vec::new());
    for slice in slices {
        let kept: Vec<(Endpoint, bool)> = slice
            .endpoints
            .iter()
            .filter_map(|old| desired.remove(&endpoint_key(old)).map(|new| (new.clone(), same_endpoint(&new, old))))
            .collect();
        let differs = kept.len() != slice.endpoints.len() || kept.iter().any(|(_, same)| !same);
        let (labels, relabelled) = labels(slice.metadata.labels.as_ref(), service);
        if differs && kept.is_empty() {
            changes.delete.push(slice.clone());
        } else if differs || relabelled {
            let mut new = (**slice).clone();
            new.endpoints = kept.into_iter().map(|(endpoint, _)| endpoint).collect();
            new.metadata.labels = Some(labels);
            changed.push(new);
        } else {
            unchanged.push(slice.clone());
        }
    }
    let most = limits::ENDPOINTS_PER_SLICE;
    let fill = |slice: &mut EndpointSlice, desired: &mut Endpoints| {
        while slice.endpoints.len() < most
            && let Some((_, endpoint)) = desired.pop_first()
        {
            slice.endpoints.push(endpoint);
        }
    };
    changed.sort_by_key(|slice| std::cmp::Reverse(slice.endpoints.len()));
    changed.iter_mut().for_each(|slice| fill(slice, &mut desired));
    while !desired.is_empty() {
        let fits = |slice: &Arc<EndpointSlice>| slice.endpoints.len() + desired.len() <= most;
        let fullest = unchanged
            .iter()
            .enumerate()
            .filter(|(_, slice)| desired.len() < most && fits(slice))
            .max_by_key(|(_, slice)| slice.endpoints.len())
            .map(|(at, _)| at);
        match fullest {
            Some(at) => {
                let mut slice = (*unchanged.remove(at)).clone();
                fill(&mut slice, &mut desired);
                changed.push(slice);
            }
            None => {
                let mut slice = new_slice(service, ports.clone(), family);
                fill(&mut slice, &mut desired);
                changes.create.push(slice);
            }
        }
    }
    changes.update.extend(changed);
}

fn endpoint(one: &Pod, node: Option<&Node>, service: &Service, family: &str) -> Endpoint {
    let (serving, terminating) = (pod::is_ready(one), owner::is_being_deleted(&one.metadata));
    let ready = service::publishes_not_ready(service) || (serving && !terminating);
    let node_name = Some(pod::node(one).to_owned()).filter(|name| !name.is_empty());
    let zone = node.and_then(|node| node.metadata.labels.as_ref()?.get(ZONE).cloned()).filter(|zone| !zone.is_empty());
    Endpoint {
        addresses: service::addresses(one, family),
        conditions: Some(EndpointConditions {
            ready: Some(ready),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        hints: if ready { hints(service, zone.as_deref(), node_name.as_deref()) } else { None },
        hostname: service::hostname(one, service),
        node_name,
        target_ref: Some(service::reference(one)),
        zone,
        ..Endpoint::default()
    }
}

/// Who should take an endpoint: those of its zone, or of its node, where the Service prefers what is near.
fn hints(service: &Service, zone: Option<&str>, node: Option<&str>) -> Option<EndpointHints> {
    let annotations = service.metadata.annotations.as_ref();
    let mode = annotations.and_then(|all| TOPOLOGY_MODES.iter().find_map(|key| all.get(*key)));
    let by_nodes = match service.spec.as_ref()?.traffic_distribution.as_deref()? {
        "PreferClose" | "PreferSameZone" => false,
        "PreferSameNode" => true,
        _ => return None,
    };
    if mode.is_some_and(|mode| mode.eq_ignore_ascii_case("auto")) {
        return None;
    }
    let for_zones = zone.map(|name| vec![ForZone { name: name.to_owned() }]);
    let for_nodes = node.filter(|_| by_nodes).map(|name| vec![ForNode { name: name.to_owned() }]);
    (for_zones.is_some() || for_nodes.is_some()).then_some(EndpointHints { for_nodes, for_zones })
}

fn endpoint_ports(service: &Service, one: &Pod) -> Vec<EndpointPort> {
    let ports = service::ports(service).unwrap_or_default().iter();
    let port = |port: &sampan_api::k8s::api::core::v1::ServicePort| {
        Some(EndpointPort {
            app_protocol: port.app_protocol.clone(),
            name: Some(port.name.clone().unwrap_or_default()),
            port: Some(service::target(one, port)?),
            protocol: port.protocol.clone(),
        })
    };
    ports.filter_map(port).collect()
}

/// A slice without endpoints.
fn new_slice(service: &Service, ports: Vec<EndpointPort>, family: &str) -> EndpointSlice {
    EndpointSlice {
        address_type: family.to_owned(),
        endpoints: Vec::new(),
        metadata: new_metadata(&service.metadata, owner::reference(service), labels(None, service).0),
        ports: Some(ports),
    }
}

/// The metadata of a slice that is made for an object.
pub fn new_metadata(of: &ObjectMeta, owner: OwnerReference, labels: BTreeMap<String, String>) -> ObjectMeta {
    ObjectMeta {
        generate_name: Some(format!("{}-", owner::name(of))),
        labels: Some(labels),
        namespace: of.namespace.clone(),
        owner_references: Some(vec![owner]),
        ..ObjectMeta::default()
    }
}

/// The labels of a Service's slice: the Service's own and the reserved ones; and whether the former differ from what the
/// slice has.
fn labels(old: Option<&BTreeMap<String, String>>, service: &Service) -> (BTreeMap<String, String>, bool) {
    let plain = |labels: Option<&BTreeMap<String, String>>| -> BTreeMap<String, String> {
        let kept = labels.into_iter().flatten();
        let kept = kept.filter(|(key, _)| ![SERVICE_NAME, MANAGED_BY, HEADLESS].contains(&key.as_str()));
        kept.map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    let mut new = plain(service.metadata.labels.as_ref());
    let differs = plain(old) != new;
    if !service::has_address(service) {
        new.insert(HEADLESS.into(), String::new());
    }
    new.insert(SERVICE_NAME.into(), owner::name(&service.metadata).into());
    new.insert(MANAGED_BY.into(), MANAGER.into());
    (new, differs)
}

fn is_owned(slice: &EndpointSlice, service: &Service) -> bool {
    let mut owners = slice.metadata.owner_references.iter().flatten();
    owners.any(|one| one.uid == owner::uid(&service.metadata) && one.kind == "Service" && one.api_version == "v1")
}

/// Whether a slice is the empty one already, but for its name.
fn is_like(slice: &EndpointSlice, placeholder: &EndpointSlice) -> bool {
    let owners = |slice: &EndpointSlice| -> HashSet<String> {
        slice.metadata.owner_references.iter().flatten().map(|one| one.uid.clone()).collect()
    };
    slice.endpoints.is_empty()
        && slice.ports.iter().flatten().next().is_none()
        && slice.metadata.labels == placeholder.metadata.labels
        && owners(slice) == owners(placeholder)
}
