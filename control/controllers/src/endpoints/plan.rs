//! The Endpoints that a Service wants: a pure function of it and of the pods it selects (pkg/controller/endpoint).

use crate::service::{self, HEADLESS, TRIGGER_TIME};
use crate::{limits, pod};
use sampan_api::k8s::api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Pod, Service};
use sampan_api::k8s::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The label by which this controller's objects are told from others'.
pub const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
/// The value of the label.
pub const MANAGER: &str = "endpoint-controller";
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
const TRUNCATED: &str = "truncated";

/// The addresses of the pods, by what they are reached at.
pub fn subsets(service: &Service, pods: &[Arc<Pod>]) -> Vec<EndpointSubset> {
    let all_ready = service::publishes_not_ready(service);
    let family = service::families(service)[0];
    let mut all = Vec::new();
    for one in pods.iter().filter(|one| service::is_endpoint(one, all_ready)) {
        let Some(ip) = service::addresses(one, family).into_iter().next() else { continue };
        let address = EndpointAddress {
            hostname: service::hostname(one, service),
            ip,
            node_name: Some(pod::node(one).to_owned()).filter(|name| !name.is_empty()),
            target_ref: Some(service::reference(one)),
        };
        let mut add = |ports: Option<Vec<EndpointPort>>| {
            let (addresses, not_ready_addresses) = match all_ready || pod::is_ready(one) {
                true => (Some(vec![address.clone()]), None),
                false => (None, Some(vec![address.clone()])),
            };
            all.push(EndpointSubset { addresses, not_ready_addresses, ports });
        };
        let Some(ports) = service::ports(service) else {
            add(None);
            continue;
        };
        for port in ports {
            let Some(number) = service::target(one, port) else { continue };
            add(Some(vec![EndpointPort {
                app_protocol: port.app_protocol.clone(),
                name: port.name.clone(),
                port: number,
                protocol: port.protocol.clone(),
            }]));
        }
    }
    repack(&all)
}

type AddressKey = (String, Option<String>);

/// The same addresses and ports in the fewest subsets, in a fixed order (pkg/api/v1/endpoints, RepackSubsets). An address
/// that is ready in one and not in another subset with the same port is not.
pub fn repack(subsets: &[EndpointSubset]) -> Vec<EndpointSubset> {
    let mut known: HashMap<AddressKey, EndpointAddress> = HashMap::new();
    let mut by_port: BTreeMap<String, (Option<EndpointPort>, BTreeMap<AddressKey, bool>)> = BTreeMap::new();
    for subset in subsets {
        let ports: Vec<Option<&EndpointPort>> = match subset.ports.as_deref().unwrap_or_default() {
            [] => vec![None],
            ports => ports.iter().map(Some).collect(),
        };
        let ready = subset.addresses.iter().flatten().map(|one| (one, true));
        let all: Vec<_> = ready.chain(subset.not_ready_addresses.iter().flatten().map(|one| (one, false))).collect();
        for port in ports {
            let (_, addresses) = by_port.entry(port_key(port)).or_insert_with(|| (port.cloned(), BTreeMap::new()));
            for (address, ready) in &all {
                let uid = address.target_ref.as_ref().and_then(|reference| reference.uid.clone());
                let key = (address.ip.clone(), uid);
                known.entry(key.clone()).or_insert_with(|| (*address).clone());
                addresses.entry(key).and_modify(|was| *was &= *ready).or_insert(*ready);
            }
        }
    }
    let mut grouped: BTreeMap<Vec<(AddressKey, bool)>, Vec<EndpointPort>> = BTreeMap::new();
    for (port, addresses) in by_port.into_values() {
        grouped.entry(addresses.into_iter().collect()).or_default().extend(port);
    }
    let pick = |addresses: &[(AddressKey, bool)], wanted: bool| {
        let picked =
            addresses.iter().filter(|(_, ready)| *ready == wanted).filter_map(|(key, _)| known.get(key).cloned());
        some(picked.collect())
    };
    let group = |(addresses, ports): (Vec<(AddressKey, bool)>, Vec<EndpointPort>)| EndpointSubset {
        addresses: pick(&addresses, true),
        not_ready_addresses: pick(&addresses, false),
        ports: some(ports),
    };
    grouped.into_iter().map(group).collect()
}

fn port_key(port: Option<&EndpointPort>) -> String {
    let Some(port) = port else { return String::new() };
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    format!("{}/{}/{}/{}", text(&port.name), text(&port.protocol), port.port, text(&port.app_protocol))
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

/// The object to write; `None`: what is there is right.
pub fn wanted(
    service: &Service,
    current: Option<&Endpoints>,
    subsets: Vec<EndpointSubset>,
    changed: Option<&Time>,
) -> Option<Endpoints> {
    if current.is_some_and(|current| is_right(service, current, &subsets)) {
        return None;
    }
    let mut new = current.cloned().unwrap_or_else(|| Endpoints {
        metadata: ObjectMeta { name: service.metadata.name.clone(), ..ObjectMeta::default() },
        subsets: None,
    });
    let (subsets, truncated) = truncate(subsets);
    new.subsets = some(subsets);
    let annotations = new.metadata.annotations.get_or_insert_default();
    let mut set = |key: &str, value: Option<String>| match value {
        Some(value) => drop(annotations.insert(key.to_owned(), value)),
        None => drop(annotations.remove(key)),
    };
    set(TRIGGER_TIME, changed.map(|time| time.0.to_string()));
    set(OVER_CAPACITY, truncated.then(|| TRUNCATED.to_owned()));
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.remove(HEADLESS);
    if !service::has_address(service) {
        labels.insert(HEADLESS.into(), String::new());
    }
    labels.insert(MANAGED_BY.into(), MANAGER.into());
    new.metadata.labels = Some(labels);
    Some(new)
}

fn is_right(service: &Service, current: &Endpoints, subsets: &[EndpointSubset]) -> bool {
    let now = repack(&current.subsets.clone().unwrap_or_default());
    let told = current.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(OVER_CAPACITY));
    let plain = |labels: &BTreeMap<String, String>| -> BTreeMap<String, String> {
        let kept = labels.iter().filter(|(key, _)| !matches!(key.as_str(), HEADLESS | MANAGED_BY));
        kept.map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    let labels = current.metadata.labels.clone().unwrap_or_default();
    let of_service = service.metadata.labels.as_ref().map(plain).unwrap_or_default();
    same(&now, subsets)
        && !told
        && count(&now) <= limits::ENDPOINTS_ADDRESSES_MAX
        && labels.get(MANAGED_BY).is_some_and(|manager| manager == MANAGER)
        && plain(&labels) == of_service
}

/// Whether the two say the same, whatever versions of the pods they name.
fn same(one: &[EndpointSubset], two: &[EndpointSubset]) -> bool {
    let without_versions = |subsets: &[EndpointSubset]| -> Vec<EndpointSubset> {
        let mut subsets = subsets.to_vec();
        for subset in &mut subsets {
            let all = subset.addresses.iter_mut().flatten().chain(subset.not_ready_addresses.iter_mut().flatten());
            all.filter_map(|one| one.target_ref.as_mut()).for_each(|reference| reference.resource_version = None);
        }
        subsets
    };
    without_versions(one) == without_versions(two)
}

fn len(list: &Option<Vec<EndpointAddress>>) -> usize {
    list.as_ref().map_or(0, Vec::len)
}

fn count(subsets: &[EndpointSubset]) -> usize {
    subsets.iter().map(|one| len(&one.addresses) + len(&one.not_ready_addresses)).sum()
}

/// At most [`limits::ENDPOINTS_ADDRESSES_MAX`] addresses, ready ones first, each subset its share; and whether some were
/// left out.
fn truncate(mut subsets: Vec<EndpointSubset>) -> (Vec<EndpointSubset>, bool) {
    let most = limits::ENDPOINTS_ADDRESSES_MAX;
    if count(&subsets) <= most {
        return (subsets, false);
    }
    let ready: usize = subsets.iter().map(|one| len(&one.addresses)).sum();
    let cut_ready = ready > most;
    let room = if cut_ready { most } else { most - ready };
    let total = if cut_ready { ready } else { count(&subsets) - ready };
    let mut left = room;
    for subset in &mut subsets {
        let list = if cut_ready { &mut subset.addresses } else { &mut subset.not_ready_addresses };
        let share = (len(list) * room).div_ceil(total.max(1)).min(left);
        let mut kept = list.take().unwrap_or_default();
        kept.truncate(share);
        left -= kept.len();
        *list = some(kept);
        if cut_ready {
            subset.not_ready_addresses = None;
        }
    }
    subsets.retain(|one| len(&one.addresses) + len(&one.not_ready_addresses) > 0);
    (subsets, true)
}
