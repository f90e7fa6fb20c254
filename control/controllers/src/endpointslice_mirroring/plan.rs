//! The EndpointSlices that an Endpoints object wants which somebody wrote by hand: a pure function of it and of the slices
//! that there are (pkg/controller/endpointslicemirroring).

use crate::endpointslice::{
    Changes, Endpoints as EndpointSet, MANAGED_BY, PortsKey, SERVICE_NAME, endpoint_key, new_metadata, ports_key,
    same_endpoint,
};
use crate::service::{self, TRIGGER_TIME};
use crate::{endpoints, limits, owner};
use sampan_api::k8s::api::core::v1::{EndpointAddress, EndpointPort as OldPort, Endpoints};
use sampan_api::k8s::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The value of [`MANAGED_BY`] of this controller's slices.
pub const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const FAMILIES: [&str; 2] = ["IPv4", "IPv6"];

/// Addresses that are not mirrored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// They are no addresses.
    pub invalid: usize,
    /// All that are left out, these among them: a subset has too many.
    pub all: usize,
}

/// Whether the object is mirrored, as far as it says itself.
pub fn is_mirrored(endpoints: &Endpoints) -> bool {
    let skip = endpoints.metadata.labels.as_ref().and_then(|labels| labels.get(SKIP));
    let leader = endpoints.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(endpoints::LEADER));
    skip.is_none_or(|skip| skip != "true") && !leader
}

type Key = (&'static str, PortsKey);

/// The changes, and what cannot be mirrored.
pub fn plan(endpoints: &Endpoints, slices: &[Arc<EndpointSlice>]) -> (Changes, Skipped) {
    let mut desired: BTreeMap<Key, (Vec<EndpointPort>, EndpointSet)> = BTreeMap::new();
    let mut skipped = Skipped::default();
    for subset in endpoints::repack(&endpoints.subsets.clone().unwrap_or_default()) {
        let ports: Vec<EndpointPort> = subset.ports.iter().flatten().map(new_port).collect();
        let key = ports_key(&ports);
        for family in FAMILIES {
            desired.entry((family, key.clone())).or_insert_with(|| (ports.clone(), EndpointSet::new()));
        }
        let ready = subset.addresses.iter().flatten().map(|one| (one, true));
        let all: Vec<_> = ready.chain(subset.not_ready_addresses.iter().flatten().map(|one| (one, false))).collect();
        let mut added = 0;
        for (address, ready) in &all {
            if added >= limits::MIRRORED_ADDRESSES_MAX {
                break;
            }
            let Some((family, endpoint)) = endpoint(address, *ready) else {
                skipped.invalid += 1;
                continue;
            };
            if let Some((_, set)) = desired.get_mut(&(family, key.clone())) {
                set.insert(endpoint_key(&endpoint), endpoint);
                added += 1;
            }
        }
        skipped.all += all.len() - added;
    }
    let mut existing: BTreeMap<Key, Vec<Arc<EndpointSlice>>> = BTreeMap::new();
    let mut changes = Changes::default();
    for slice in slices {
        match FAMILIES.into_iter().find(|family| slice.address_type == *family) {
            Some(family) => {
                let key = (family, ports_key(slice.ports.as_deref().unwrap_or_default()));
                existing.entry(key).or_default().push(slice.clone());
            }
            None => changes.delete.push(slice.clone()),
        }
    }
    for (key, (ports, set)) in desired {
        let slices = existing.remove(&key).unwrap_or_default();
        plan_ports(endpoints, key.0, ports, &slices, set, &mut changes);
    }
    changes.delete.extend(existing.into_values().flatten());
    changes.reuse(|_| true);
    if owner::is_being_deleted(&endpoints.metadata) {
        changes.create.clear();
    }
    (changes, skipped)
}

/// One slice for the ports of a family: the first that there is, or a new one.
fn plan_ports(
    endpoints: &Endpoints,
    family: &str,
    ports: Vec<EndpointPort>,
    slices: &[Arc<EndpointSlice>],
    desired: EndpointSet,
    changes: &mut Changes,
) {
    let mut slices = slices.iter().cloned();
    let first = if desired.is_empty() { None } else { slices.next() };
    changes.delete.extend(slices);
    if desired.is_empty() || first.as_ref().is_some_and(|first| is_right(endpoints, first, &desired)) {
        return;
    }
    let mut slice = EndpointSlice {
        address_type: family.to_owned(),
        endpoints: desired.into_values().collect(),
        metadata: new_metadata(&endpoints.metadata, owner::reference(endpoints), labels(endpoints)),
        ports: Some(ports),
    };
    slice.metadata.annotations = Some(annotations(endpoints));
    match first {
        Some(first) => {
            slice.metadata.name = first.metadata.name.clone();
            changes.update.push(slice);
        }
        None => changes.create.push(slice),
    }
}

fn labels(endpoints: &Endpoints) -> BTreeMap<String, String> {
    let mut labels = endpoints.metadata.labels.clone().unwrap_or_default();
    labels.insert(SERVICE_NAME.into(), owner::name(&endpoints.metadata).into());
    labels.insert(MANAGED_BY.into(), MANAGER.into());
    labels
}

fn annotations(endpoints: &Endpoints) -> BTreeMap<String, String> {
    let mut annotations = endpoints.metadata.annotations.clone().unwrap_or_default();
    annotations.retain(|key, _| ![TRIGGER_TIME, LAST_APPLIED].contains(&key.as_str()));
    annotations
}

fn is_right(endpoints: &Endpoints, slice: &EndpointSlice, desired: &EndpointSet) -> bool {
    let found = slice.endpoints.iter().filter(|old| {
        let new = desired.get(&endpoint_key(old));
        new.is_some_and(|new| same_endpoint(new, old))
    });
    let owners = slice.metadata.owner_references.iter().flatten();
    let mut own = owners.filter(|one| one.kind == "Endpoints" && one.name == owner::name(&endpoints.metadata));
    found.count() == desired.len()
        && slice.endpoints.len() == desired.len()
        && slice.metadata.labels.as_ref() == Some(&labels(endpoints))
        && slice.metadata.annotations.clone().unwrap_or_default() == annotations(endpoints)
        && own.all(|one| one.uid == owner::uid(&endpoints.metadata))
}

fn new_port(port: &OldPort) -> EndpointPort {
    EndpointPort {
        app_protocol: port.app_protocol.clone(),
        name: Some(port.name.clone().unwrap_or_default()),
        port: Some(port.port),
        protocol: port.protocol.clone(),
    }
}

fn endpoint(address: &EndpointAddress, ready: bool) -> Option<(&'static str, Endpoint)> {
    let endpoint = Endpoint {
        addresses: vec![address.ip.clone()],
        conditions: Some(EndpointConditions { ready: Some(ready), ..EndpointConditions::default() }),
        hostname: address.hostname.clone().filter(|name| !name.is_empty()),
        node_name: address.node_name.clone(),
        target_ref: address.target_ref.clone(),
        ..Endpoint::default()
    };
    Some((service::family(&address.ip)?, endpoint))
}
