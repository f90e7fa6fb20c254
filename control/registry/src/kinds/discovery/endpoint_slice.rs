//! Some of the addresses of a Service.

use super::super::columns::{Cell, Tabled};
use super::super::rules::Rules;
use sampan_api::object::Object;
use serde_json::Value;
use crate::resource::{Resource};
use crate::strategy::Generation;

pub(super) fn row() -> Resource {
    Resource::new("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice").strategy(RULES).table(CELLS)
}

const RULES: Rules = Rules { generation: Generation::By(changed), ..Rules::NONE };

const CELLS: &[(&str, Cell)] = &[
    ("ports", |slice, _| {
        let ports = slice.get(&["ports"]).and_then(Value::as_array);
        let port = |port: &Value| match (port.get("port").and_then(Value::as_i64), port.get("name").and_then(Value::as_str)) {
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

/// How many are shown before the rest is only counted.
const SHOWN: usize = 3;

fn first_ones(texts: Vec<String>) -> String {
    match texts.len() {
        0 => "<unset>".to_owned(),
        count if count > SHOWN => format!("{} + {} more...", texts[..SHOWN].join(","), count - SHOWN),
        _ => texts.join(","),
    }
}

/// What an observer of a slice must take note of: all but the annotations.
fn changed(new: &Object, old: &Object) -> bool {
    ["addressType", "endpoints", "ports"].iter().any(|field| new.get(&[field]) != old.get(&[field]))
        || !new.labels().eq(old.labels())
}
