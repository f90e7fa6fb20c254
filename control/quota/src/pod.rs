//! What a pod as a whole requests and is limited to (k8s.io/component-helpers/resource).

use crate::amounts::Amounts;
use sampan_api::k8s::api::core::v1::{Container, ContainerStatus, Pod, ResourceRequirements};
use sampan_api::k8s::apimachinery::pkg::api::resource::Quantity as Text;
use std::collections::{BTreeMap, HashMap};

/// The two lists of a container's resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    Requests,
    Limits,
}

/// What is read of the pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Its containers and what it says of the pod as a whole; no overhead. LimitRanges are about these.
    Spec,
    /// That and its overhead, and of containers that run what they have, where it is more than what is wanted: a resize
    /// is not done at once.
    Effective,
}

/// The prefix of resources that are huge pages of one size.
pub(crate) const HUGE_PAGES: &str = "hugepages-";

/// The sum over a pod's containers. Init containers run one after another, beside the sidecars before them, so of them
/// the greatest counts; amounts of the pod as a whole stand in place of the sum.
pub fn total(pod: &Pod, list: List, reading: Reading) -> Amounts {
    let mut total = of_containers(pod, list, reading);
    let Some(spec) = &pod.spec else { return total };
    if let Some(whole) = &spec.resources {
        for (name, amount) in Amounts::of(of(whole, list)).iter() {
            let supported = is_of_whole_pods(name, reading);
            if supported {
                total.set(name, amount);
            }
        }
    }
    if reading == Reading::Effective {
        for (name, amount) in Amounts::of(spec.overhead.as_ref()).iter() {
            let limited = total.get(name).is_some_and(|limit| !limit.is_zero());
            if list == List::Requests || limited {
                total.add_one(name, amount);
            }
        }
    }
    total
}

/// Whether a pod has amounts of its own (`IsPodLevelResourcesSet`).
pub(crate) fn has_whole(pod: &Pod) -> bool {
    let whole = pod.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    let lists = whole.into_iter().flat_map(|whole| [&whole.requests, &whole.limits]);
    lists.flatten().flat_map(BTreeMap::keys).any(|name| is_of_whole_pods(name, Reading::Effective))
}

fn is_of_whole_pods(name: &str, reading: Reading) -> bool {
    matches!(name, "cpu" | "memory") || (reading == Reading::Effective && name.starts_with(HUGE_PAGES))
}

fn of(resources: &ResourceRequirements, list: List) -> Option<&BTreeMap<String, Text>> {
    match list {
        List::Requests => resources.requests.as_ref(),
        List::Limits => resources.limits.as_ref(),
    }
}

fn of_containers(pod: &Pod, list: List, reading: Reading) -> Amounts {
    let mut total = Amounts::default();
    let Some(spec) = &pod.spec else { return total };
    let statuses = if reading == Reading::Effective { statuses(pod) } else { HashMap::new() };
    let infeasible = is_resize_infeasible(pod);
    let effective = |container: &Container| match statuses.get(container.name.as_str()) {
        Some(status) if status.resources.is_some() => actual(container, status, list, infeasible),
        _ => wanted(container, list),
    };
    for container in &spec.containers {
        total.add(&effective(container));
    }
    let (mut sidecars, mut initial) = (Amounts::default(), Amounts::default());
    for container in spec.init_containers.iter().flatten() {
        if container.restart_policy.as_deref() == Some("Always") {
            let own = effective(container);
            total.add(&own);
            sidecars.add(&own);
            initial.raise(&sidecars);
        } else {
            let mut during = wanted(container, list);
            during.add(&sidecars);
            initial.raise(&during);
        }
    }
    total.raise(&initial);
    total
}

fn wanted(container: &Container, list: List) -> Amounts {
    Amounts::of(container.resources.as_ref().and_then(|resources| of(resources, list)))
}

/// The greatest of what is wanted, what was allotted and what is in force; without what is wanted, where it cannot be had.
fn actual(container: &Container, status: &ContainerStatus, list: List, infeasible: bool) -> Amounts {
    let mut amounts = if infeasible { Amounts::default() } else { wanted(container, list) };
    amounts.raise(&Amounts::of(status.resources.as_ref().and_then(|resources| of(resources, list))));
    if list == List::Requests {
        amounts.raise(&Amounts::of(status.allocated_resources.as_ref()));
    }
    amounts
}

fn statuses(pod: &Pod) -> HashMap<&str, &ContainerStatus> {
    let Some(status) = &pod.status else { return HashMap::new() };
    let all = status.container_statuses.iter().flatten().chain(status.init_container_statuses.iter().flatten());
    all.map(|one| (one.name.as_str(), one)).collect()
}

fn is_resize_infeasible(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let pending = conditions.into_iter().flatten().find(|one| one.type_ == "PodResizePending");
    pending.is_some_and(|one| one.reason.as_deref() == Some("Infeasible"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn totals() {
        let check = |spec: Value, status: Value, list: List, reading: Reading, expected: &str| {
            let pod = json!({"spec": spec, "status": status});
            let pod: Pod = serde_json::from_value(pod).expect("a pod");
            assert_eq!(total(&pod, list, reading).to_string(), expected);
        };
        let requests = |name: &str, cpu: &str| json!({"name": name, "resources": {"requests": {"cpu": cpu}}});
        let containers = json!([requests("a", "100m"), requests("b", "200m")]);
        check(json!({"containers": containers}), json!({}), List::Requests, Reading::Spec, "cpu=300m");
        let mut sidecar = requests("s", "50m");
        sidecar["restartPolicy"] = "Always".into();
        let initial = json!([sidecar, requests("i", "400m")]);
        let spec =
            json!({"containers": containers, "initContainers": initial, "overhead": {"cpu": "10m", "memory": "1Mi"}});
        check(spec.clone(), json!({}), List::Requests, Reading::Spec, "cpu=450m");
        check(spec.clone(), json!({}), List::Requests, Reading::Effective, "cpu=460m,memory=1Mi");
        check(spec, json!({}), List::Limits, Reading::Effective, "");
        let whole = json!({"containers": containers, "resources": {"requests": {"cpu": "1", "hugepages-2Mi": "2Mi"}}});
        check(whole.clone(), json!({}), List::Requests, Reading::Spec, "cpu=1");
        check(whole, json!({}), List::Requests, Reading::Effective, "cpu=1,hugepages-2Mi=2Mi");
    }

    #[test]
    fn a_resize_counts_as_soon_as_it_is_wanted_and_until_it_is_done() {
        let check = |wanted: &str, allotted: &str, reason: &str, expected: &str| {
            let status = json!({"name": "a", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                "allocatedResources": {"cpu": allotted}, "resources": {"requests": {"cpu": allotted}}});
            let pod = json!({
                "spec": {"containers": [{"name": "a", "resources": {"requests": {"cpu": wanted}}}]},
                "status": {"containerStatuses": [status],
                    "conditions": [{"type": "PodResizePending", "status": "True", "reason": reason}]},
            });
            let pod: Pod = serde_json::from_value(pod).expect("a pod");
            assert_eq!(total(&pod, List::Requests, Reading::Effective).to_string(), expected, "{wanted} {allotted}");
        };
        check("2", "1", "Deferred", "cpu=2");
        check("1", "2", "Deferred", "cpu=2");
        check("2", "1", "Infeasible", "cpu=1");
    }
}
