//! Endpoints: all addresses of a Service in one object.

use super::super::columns::{Cell, Tabled};
use super::super::rules::Rules;
use super::super::validation::addresses::ip_warning;
use super::super::validation::checks::{
    endpoint_ip, ip, named, named_if_set, parse_ip, port_number, required_named, required_one_of,
};
use super::super::validation::container::PROTOCOLS;
use super::super::validation::{At, FieldErrors};
use crate::resource::Resource;
use crate::strategy::OwnAddresses;
use sampan_api::names;
use sampan_api::object::Object;
use serde_json::Value;

pub(super) fn row() -> Resource {
    Resource::new("", "v1", "endpoints", "Endpoints")
        .short_names(["ep"])
        .deprecated(DEPRECATED)
        .strategy(RULES)
        .table(CELLS)
}

/// The label by which a controller says that it made an object.
const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const DEPRECATED: &str = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice";

const RULES: Rules = Rules {
    warnings: Some(|_, object| {
        let mut all = Vec::new();
        // The controller mends what it is given.
        if object.label(MANAGED_BY) == Some("endpoint-controller") {
            return all;
        }
        for subset in At::object(object).get("subsets").items() {
            for list in ["addresses", "notReadyAddresses"] {
                subset.get(list).items().for_each(|address| ip_warning(address.get("ip"), &mut all));
            }
        }
        all
    }),
    validate: Some(|ctx, object| {
        let mut errors = FieldErrors::default();
        subsets(At::object(object).get("subsets"), ctx.capabilities.own_addresses, &mut errors);
        errors
    }),
    create_on_update: true,
    ..Rules::NONE
};

const CELLS: &[(&str, Cell)] = &[("endpoints", |object, _| endpoints(object).into())];

/// Addresses that are shown before the rest is only counted.
const SHOWN: usize = 3;

fn endpoints(object: &Object) -> String {
    let Some(subsets) = object.get(&["subsets"]).and_then(Value::as_array).filter(|subsets| !subsets.is_empty()) else {
        return "<none>".to_owned();
    };
    let mut shown = Vec::new();
    let mut count = 0;
    for subset in subsets {
        let list = |name: &str| subset.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let (addresses, ports) = (list("addresses"), list("ports"));
        let ips = || addresses.iter().map(|a| a.get("ip").and_then(Value::as_str).unwrap_or(""));
        // Only what is shown is made: there are as many pairs as addresses times ports.
        let room = SHOWN - shown.len();
        if ports.is_empty() {
            count += addresses.len();
            shown.extend(ips().take(room).map(str::to_owned));
            continue;
        }
        count += addresses.len() * ports.len();
        let pairs = ports.iter().flat_map(|port| {
            let port = port.get("port").and_then(Value::as_i64).unwrap_or(0);
            ips().map(move |ip| if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") })
        });
        shown.extend(pairs.take(room));
    }
    match count.checked_sub(SHOWN) {
        None | Some(0) => shown.join(","),
        Some(more) => format!("{} + {more} more...", shown.join(",")),
    }
}

fn subsets(list: At<'_>, own: OwnAddresses, errors: &mut FieldErrors) {
    for subset in list.items() {
        if subset.get("addresses").is_empty() && subset.get("notReadyAddresses").is_empty() {
            subset.required(errors, "must specify `addresses` or `notReadyAddresses`");
        }
        for field in ["addresses", "notReadyAddresses"] {
            let addresses = subset.get(field);
            for address in addresses.items() {
                let text = address.get("ip");
                ip(text, errors);
                named_if_set(address.get("hostname"), errors, names::dns1123_label);
                if address.get("nodeName").is_set() {
                    named(address.get("nodeName"), errors, names::dns1123_subdomain);
                }
                // Two of Kubernetes' checks refuse it, each in its own words.
                if parse_ip(text.text()).is_none() {
                    text.invalid_as(errors, text.text(), "must be a valid IP address");
                } else {
                    endpoint_ip(text, own, errors);
                }
            }
        }
        let ports = subset.get("ports");
        for port in ports.items() {
            if ports.len() > 1 {
                required_named(port.get("name"), errors, names::dns1123_label);
            } else {
                named_if_set(port.get("name"), errors, names::dns1123_label);
            }
            port_number(port.get("port"), errors);
            required_one_of(port.get("protocol"), errors, &PROTOCOLS);
            if port.get("appProtocol").is_set() {
                named(port.get("appProtocol"), errors, names::qualified_name);
            }
        }
    }
}
