//! EndpointSlices: parts of the addresses of a Service.

use super::super::columns::{Cell, Tabled};
use super::super::rules::Rules;
use super::super::validation::addresses::{Legacy, canonical_ip, ip_warning};
use super::super::validation::checks::{Facts, endpoint_ip, facts, named, parse_ip};
use super::super::validation::{At, FieldErrors};
use crate::resource::Resource;
use crate::strategy::{Context, Generation, MetadataOfUpdate, OwnAddresses, Warned};
use sampan_api::names;
use sampan_api::object::Object;
use serde_json::Value;

pub(super) fn row() -> Resource {
    Resource::new("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice").strategy(RULES).table(CELLS)
}

const RULES: Rules = Rules {
    metadata_of_update: Some(MetadataOfUpdate::Creation),
    validate: Some(|ctx, slice| {
        let mut errors = FieldErrors::default();
        check_slice(ctx, At::object(slice), &mut errors);
        errors
    }),
    generation: Generation::By(changed),
    warnings: &[(Warned::Object, |_, slice, old| {
        let mut all = Vec::new();
        if old.is_none() && slice.get_str(&["addressType"]) == Some("FQDN") {
            all.push("spec.addressType: FQDN endpoints are deprecated".to_owned());
        }
        // Ours write what they read in its canonical form.
        if !slice.label(MANAGED_BY).is_some_and(|by| OWN.contains(&by)) {
            for endpoint in At::object(slice).get("endpoints").items() {
                endpoint.get("addresses").items().for_each(|ip| ip_warning(ip, &mut all));
            }
        }
        all
    })],
    ..Rules::NONE
};

/// The label with the name of whoever keeps a slice, and the names of Kubernetes' own controllers there.
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const OWN: [&str; 2] = ["endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io"];

const CELLS: &[(&str, Cell)] = &[
    ("ports", |slice, _| {
        let ports = slice.get(&["ports"]).and_then(Value::as_array);
        let port =
            |port: &Value| match (port.get("port").and_then(Value::as_i64), port.get("name").and_then(Value::as_str)) {
                (Some(number), _) => number.to_string(),
                (None, Some(name)) => name.to_owned(),
                (None, None) => "*".to_owned(),
            };
        first_ones(ports.into_iter().flatten().map(port).collect()).into()
    }),
    ("endpoints", |slice, _| {
        let endpoints = slice.get(&["endpoints"]).and_then(Value::as_array).into_iter().flatten();
        let addresses = endpoints.filter_map(|endpoint| endpoint.get("addresses")?.as_array()).flatten();
        first_ones(addresses.filter_map(Value::as_str).map(str::to_owned).collect()).into()
    }),
];

/// Endpoints that are shown before the rest is only counted.
const SHOWN: usize = 3;

fn first_ones(texts: Vec<String>) -> String {
    match texts.len() {
        0 => "<unset>".to_owned(),
        count if count > SHOWN => format!("{} + {} more...", texts[..SHOWN].join(","), count - SHOWN),
        _ => texts.join(","),
    }
}

/// Whether an observer of a slice must take note of the change: of all but annotations.
fn changed(new: &Object, old: &Object) -> bool {
    ["addressType", "endpoints", "ports"].iter().any(|field| new.get(&[field]) != old.get(&[field]))
        || !new.labels().eq(old.labels())
}

const ADDRESSES_MAX: usize = 100;
const ENDPOINTS_MAX: usize = 1000;

fn check_slice(ctx: &Context<'_>, at: At<'_>, errors: &mut FieldErrors) {
    let type_ = at.get("addressType");
    let by = Addressing { type_: type_.text(), own: ctx.capabilities.own_addresses, legacy: Legacy::new(ctx.gates) };
    let endpoints = at.get("endpoints");
    if endpoints.len() > ENDPOINTS_MAX {
        endpoints.too_many(errors, ENDPOINTS_MAX);
        return;
    }
    for endpoint in endpoints.items() {
        let addresses = endpoint.get("addresses");
        if addresses.is_empty() {
            addresses.required(errors, "must contain at least 1 address");
        } else if addresses.len() > ADDRESSES_MAX {
            addresses.too_many(errors, ADDRESSES_MAX);
        }
        for address in addresses.items() {
            check_address(addresses, address, &by, errors);
        }
        if endpoint.get("nodeName").is_set() {
            named(endpoint.get("nodeName"), errors, names::dns1123_subdomain);
        }
        if endpoint.get("hostname").is_set() {
            named(endpoint.get("hostname"), errors, names::dns1123_label);
        }
        HINTS.check(endpoint.get("hints"), errors);
    }
}

static HINTS: Facts = Facts::new(|| facts("discovery/v1.EndpointHints", "hints"));

/// A domain name of two parts or more; a dot may stand behind it.
fn full_domain_name(at: At<'_>, errors: &mut FieldErrors) {
    let name = at.text().strip_suffix('.').unwrap_or(at.text());
    let problems = names::dns1123_subdomain(name);
    match name {
        "" => at.required(errors, ""),
        _ if !problems.is_empty() => at.invalid_each_as(errors, name, problems),
        _ if !name.contains('.') => {
            at.invalid_as(errors, name, "should be a domain with at least two segments separated by dots");
        }
        _ => {}
    }
}

/// What an address is checked by: its type, and the cluster's own addresses.
struct Addressing<'a> {
    type_: &'a str,
    own: OwnAddresses,
    legacy: Legacy<'a>,
}

fn check_address(list: At<'_>, address: At<'_>, by: &Addressing<'_>, errors: &mut FieldErrors) {
    let found = errors.len();
    match by.type_ {
        "FQDN" => return full_domain_name(address, errors),
        "IPv4" => by.legacy.ip(address, errors),
        "IPv6" => address.invalid_each(errors, canonical_ip(address.text())),
        _ => return,
    }
    let Some(ip) = parse_ip(address.text()).filter(|_| errors.len() == found) else { return };
    let ip = ip.to_canonical();
    // Kubernetes reports the wrong family at the list.
    if ip.is_ipv4() != (by.type_ == "IPv4") {
        list.invalid_as(errors, address.text(), format!("must be an {} address", by.type_));
    }
    endpoint_ip(address, by.own, errors);
}
