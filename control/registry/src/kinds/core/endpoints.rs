//! Addresses of a Service, all in one object.

use super::super::columns::{Cell, Tabled};
use super::super::rules::Rules;
use sampan_api::object::Object;
use serde_json::Value;
use crate::resource::{Resource};

pub(super) fn row() -> Resource {
    Resource::new("", "v1", "endpoints", "Endpoints").short_names(["ep"]).strategy(RULES).table(CELLS)
}

const RULES: Rules = Rules { create_on_update: true, ..Rules::NONE };

const CELLS: &[(&str, Cell)] = &[
    ("endpoints", |object, _| endpoints(object).into()),
];

/// How many addresses are shown before the rest is only counted.
const SHOWN: usize = 3;

fn endpoints(object: &Object) -> String {
    let Some(subsets) = object.get(&["subsets"]).and_then(Value::as_array).filter(|subsets| !subsets.is_empty()) else {
        return "<none>".to_owned();
    };
    let mut all = Vec::new();
    for subset in subsets {
        let list = |name: &str| subset.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
        let ips: Vec<String> =
            list("addresses").iter().map(|a| a.get("ip").and_then(Value::as_str).unwrap_or("").to_owned()).collect();
        let ports = list("ports");
        if ports.is_empty() {
            all.extend(ips);
            continue;
        }
        for port in ports {
            let port = port.get("port").and_then(Value::as_i64).unwrap_or(0);
            all.extend(ips.iter().map(|ip| if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }));
        }
    }
    match all.len().checked_sub(SHOWN) {
        None | Some(0) => all.join(","),
        Some(more) => format!("{} + {more} more...", all[..SHOWN].join(",")),
    }
}
