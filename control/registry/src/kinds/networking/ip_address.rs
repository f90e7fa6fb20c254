//! IPAddresses: allotted addresses of Services.

use super::super::columns::{Cell, Tabled};
use super::super::rules::Rules;
use super::super::validation::checks::{immutable, parse_ip, required_named};
use super::super::validation::{At, FieldErrors};
use crate::resource::Resource;
use sampan_api::names;
use sampan_api::object::Object;

pub(super) fn row() -> Resource {
    Resource::new("networking.k8s.io", "v1", "ipaddresses", "IPAddress")
        .cluster_scoped()
        .short_names(["ip"])
        .strategy(RULES)
        .table(CELLS)
}

const RULES: Rules = Rules {
    name: address_name,
    validate: Some(|_, object| {
        let mut errors = FieldErrors::default();
        let at = At::object(object);
        let spec = at.get("spec");
        let parent = spec.get("parentRef");
        if !parent.is_set() {
            parent.required(&mut errors, "");
            return errors;
        }
        if !parent.get("group").is_empty() {
            parent.get("group").invalid_each(&mut errors, names::dns1123_subdomain(parent.get("group").text()));
        }
        required_named(parent.get("resource"), &mut errors, names::path_segment);
        required_named(parent.get("name"), &mut errors, names::path_segment);
        parent.get("namespace").invalid_each(&mut errors, names::path_segment(parent.get("namespace").text()));
        errors
    }),
    validate_update: Some(|_, object, old| {
        let mut errors = FieldErrors::default();
        let (at, old) = (At::object(object), At::object(old));
        let (spec, old) = (at.get("spec"), old.get("spec"));
        immutable(spec.get("parentRef"), old.get("parentRef"), &mut errors);
        errors
    }),
    ..Rules::NONE
};

const CELLS: &[(&str, Cell)] = &[("parent", |address, _| parent(address).into())];

fn parent(address: &Object) -> String {
    let field = |name: &str| address.get_str(&["spec", "parentRef", name]).unwrap_or("");
    if address.get(&["spec", "parentRef"]).is_none() {
        return "<none>".to_owned();
    }
    let mut text = field("resource").to_lowercase();
    for (mark, part) in [(".", field("group")), ("/", field("namespace"))] {
        if !part.is_empty() {
            text = format!("{text}{mark}{part}");
        }
    }
    format!("{text}/{}", field("name"))
}

/// An address in its canonical form.
fn address_name(name: &str) -> Vec<String> {
    match (name.parse::<std::net::IpAddr>(), parse_ip(name)) {
        (Ok(ip), _) if ip.to_string() == name => Vec::new(),
        (Ok(ip), _) => vec![format!("must be in canonical form ({:?})", ip.to_string())],
        (Err(_), Some(_)) => vec!["must not have leading 0s".to_owned()],
        (Err(_), None) => vec![super::super::validation::checks::BAD_IP.to_owned()],
    }
}
