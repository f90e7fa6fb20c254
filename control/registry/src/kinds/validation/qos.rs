//! A pod's quality of service.

use super::super::columns::plain;
use sampan_api::object::Object;
use sampan_api::quantity::Quantity;
use serde_json::Value;

/// `qos.ComputePodQOS`: Guaranteed where every container limits cpu and memory to what it requests, BestEffort where none
/// asks for either, else Burstable.
pub(in crate::kinds) fn qos_class(pod: &Object) -> &'static str {
    let mut any = false;
    let mut guaranteed = true;
    let lists = ["containers", "initContainers"].map(|list| pod.get(&["spec", list]).and_then(Value::as_array));
    // Also where they say nothing.
    let pod_level = pod.get(&["spec", "resources"]).filter(|resources| resources.is_object());
    let containers: Vec<Option<&Value>> = match pod_level {
        Some(resources) => vec![Some(resources)],
        None => lists.into_iter().flatten().flatten().map(|container| container.get("resources")).collect(),
    };
    for resources in containers {
        let named = resources.map(quantities).unwrap_or_default();
        any |= !named.is_empty();
        guaranteed &= ["cpu", "memory"].iter().all(|resource| {
            let find = |list: &str| named.iter().find(|(l, r, _)| *l == list && r == resource).map(|(_, _, q)| q);
            matches!((find("limits"), find("requests")), (Some(limit), Some(request)) if limit == request)
        });
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// The cpu and memory that are asked for or limited, as (list, resource, quantity), without the zeros.
fn quantities(resources: &Value) -> Vec<(&'static str, &'static str, Quantity)> {
    let mut found = Vec::new();
    for list in ["limits", "requests"] {
        for resource in ["cpu", "memory"] {
            let text = resources.get(list).and_then(|list| list.get(resource)).map(plain);
            if let Some(quantity) = text.and_then(|text| text.parse::<Quantity>().ok()).filter(|q| q.milli_value() > 0)
            {
                found.push((list, resource, quantity));
            }
        }
    }
    found
}
