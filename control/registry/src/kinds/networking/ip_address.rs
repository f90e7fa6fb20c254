//! IPAddresses: allotted addresses of Services.

use super::super::columns::{Cell, Tabled};
use super::super::rules::Rules;
use super::super::validation::addresses::canonical_ip;
use crate::resource::Resource;
use sampan_api::object::Object;

pub(super) fn row() -> Resource {
    Resource::new("networking.k8s.io", "v1", "ipaddresses", "IPAddress")
        .cluster_scoped()
        .short_names(["ip"])
        .strategy(RULES)
        .table(CELLS)
}

const RULES: Rules = Rules { name: canonical_ip, named_by_prefix: true, ..Rules::NONE };

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
