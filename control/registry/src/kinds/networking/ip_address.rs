//! IPAddresses: allotted addresses of Services.

use super::super::columns::{Cell, Tabled};
use super::super::rules::Rules;
use super::super::validation::checks::parse_ip;
use crate::resource::Resource;
use sampan_api::object::Object;

pub(super) fn row() -> Resource {
    Resource::new("networking.k8s.io", "v1", "ipaddresses", "IPAddress")
        .cluster_scoped()
        .short_names(["ip"])
        .strategy(RULES)
        .table(CELLS)
}

const RULES: Rules = Rules { name: address_name, ..Rules::NONE };

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
