//! Endpoints: all addresses of a Service in one object.

use super::super::columns::{Cell, Tabled};
use super::super::rules::Rules;
use super::super::validation::addresses::{Legacy, ip_warning};
use super::super::validation::checks::{
    endpoint_ip, named, named_if_set, port_number, required_named, required_one_of,
};
use super::super::validation::container::PROTOCOLS;
use super::super::validation::{At, FieldErrors};
use crate::resource::Resource;
use crate::strategy::{Context, Warned};
use sampan_api::names;
use sampan_api::object::Object;
use serde_json::Value;

pub(super) fn row() -> Resource {
    Resource::new("", "v1", "endpoints", "Endpoints")
        .kept_at("services/endpoints")
        .short_names(["ep"])
        .deprecated(DEPRECATED)
        .strategy(RULES)
        .table(CELLS)
}

/// The label by which a controller says that it made an object.
const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const DEPRECATED: &str = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice";

const RULES: Rules = Rules {
    warnings: &[(Warned::Object, |_, object, _| {
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
    })],
    validate: Some(|ctx, object| {
        let mut errors = FieldErrors::default();
        subsets(ctx, At::object(object).get("subsets"), &mut errors);
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

fn subsets(ctx: &Context<'_>, list: At<'_>, errors: &mut FieldErrors) {
    let (own, legacy) = (ctx.capabilities.own_addresses, Legacy::new(ctx.gates));
    for subset in list.items() {
        if subset.get("addresses").is_empty() && subset.get("notReadyAddresses").is_empty() {
            subset.required(errors, "must specify `addresses` or `notReadyAddresses`");
        }
        for field in ["addresses", "notReadyAddresses"] {
            let addresses = subset.get(field);
            for address in addresses.items() {
                let text = address.get("ip");
                legacy.ip(text, errors);
                named_if_set(address.get("hostname"), errors, names::dns1123_label);
                if address.get("nodeName").is_set() {
                    named(address.get("nodeName"), errors, names::dns1123_subdomain);
                }
                // One that cannot be read is refused by two of Kubernetes' checks, each in its own words.
                endpoint_ip(text, own, errors);
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
