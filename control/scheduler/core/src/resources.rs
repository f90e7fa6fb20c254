//! A pod's requests, by the rules of Kubernetes' component-helpers (`resource.PodRequests`, v1.35): containers add up,
//! init containers count by their largest, sidecars (restartable init containers) by what runs beside them; pod-level
//! requests take the place of the sum; overhead comes on top.

use sampan_api::Quantity;
use sampan_api::k8s::api::core::v1::{Container, Pod};
use sampan_api::k8s::apimachinery::pkg::api::resource::Quantity as Written;
use std::collections::BTreeMap;

/// Amounts by resource: cpu in thousandths, the rest in units, rounded up.
pub type Amounts = BTreeMap<String, i64>;

/// Cpu that scoring assumes of a container that asks for none, in thousandths (kube-scheduler's
/// DefaultMilliCPURequest).
const ASSUMED_CPU: i64 = 100;
/// Memory that scoring assumes of such a container, bytes (DefaultMemoryRequest).
const ASSUMED_MEMORY: i64 = 200 * 1024 * 1024;

/// A list of quantities as amounts. One that does not parse counts as none: the API server lets none in.
pub fn amounts(list: &BTreeMap<String, Written>) -> Amounts {
    list.iter().map(|(name, quantity)| (name.clone(), amount(name, quantity))).collect()
}

fn amount(name: &str, quantity: &Written) -> i64 {
    let Ok(parsed) = quantity.0.parse::<Quantity>() else { return 0 };
    if name == "cpu" { parsed.milli_value() } else { parsed.value() }
}

fn add(to: &mut Amounts, other: &Amounts) {
    for (name, value) in other {
        let sum = to.entry(name.clone()).or_default();
        *sum = sum.saturating_add(*value);
    }
}

fn raise(to: &mut Amounts, other: &Amounts) {
    for (name, value) in other {
        let largest = to.entry(name.clone()).or_insert(*value);
        *largest = (*largest).max(*value);
    }
}

/// A sidecar: an init container that goes on running.
pub(crate) fn restartable(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

fn requests_of(container: &Container, assumed: &[(&str, i64)]) -> Amounts {
    let requests = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    let mut requests = requests.map(amounts).unwrap_or_default();
    for (name, value) in assumed {
        requests.entry((*name).to_owned()).or_insert(*value);
    }
    requests
}

fn sum(pod: &Pod, assumed: &[(&str, i64)]) -> Amounts {
    let Some(spec) = &pod.spec else { return Amounts::new() };
    let mut total = Amounts::new();
    for container in &spec.containers {
        add(&mut total, &requests_of(container, assumed));
    }
    let (mut sidecars, mut init) = (Amounts::new(), Amounts::new());
    for container in spec.init_containers.iter().flatten() {
        let mut own = requests_of(container, assumed);
        if restartable(container) {
            add(&mut total, &own);
            add(&mut sidecars, &own);
            raise(&mut init, &sidecars);
        } else {
            add(&mut own, &sidecars);
            raise(&mut init, &own);
        }
    }
    raise(&mut total, &init);
    for (name, quantity) in spec.resources.iter().flat_map(|resources| resources.requests.iter().flatten()) {
        if matches!(name.as_str(), "cpu" | "memory") || name.starts_with("hugepages-") {
            total.insert(name.clone(), amount(name, quantity));
        }
    }
    if let Some(overhead) = &spec.overhead {
        add(&mut total, &amounts(overhead));
    }
    total
}

/// The pod's requests.
pub fn pod_requests(pod: &Pod) -> Amounts {
    sum(pod, &[])
}

/// cpu in thousandths and memory in bytes, as scoring sees them: with assumptions for containers that ask for none.
pub fn pod_nonzero_requests(pod: &Pod) -> (i64, i64) {
    let total = sum(pod, &[("cpu", ASSUMED_CPU), ("memory", ASSUMED_MEMORY)]);
    let get = |name: &str| total.get(name).copied().unwrap_or(0);
    (get("cpu"), get("memory"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn check(spec: Value, cpu: i64, memory: i64, nonzero: (i64, i64)) {
        let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).expect("a pod");
        let requests = pod_requests(&pod);
        let get = |name: &str| requests.get(name).copied().unwrap_or(0);
        assert_eq!((get("cpu"), get("memory")), (cpu, memory), "{spec}");
        assert_eq!(pod_nonzero_requests(&pod), nonzero, "{spec}");
    }

    fn container(name: &str, requests: Value) -> Value {
        json!({"name": name, "resources": {"requests": requests}})
    }

    #[test]
    fn requests_add_up_as_kubernetes_does() {
        const MI: i64 = 1 << 20;
        let plain = container("a", json!({"cpu": "250m", "memory": "64Mi"}));
        check(json!({"containers": [plain, plain]}), 500, 128 * MI, (500, 128 * MI));
        check(json!({"containers": [{"name": "a"}]}), 0, 0, (100, 200 * MI));
        check(
            json!({"containers": [plain], "initContainers": [container("i", json!({"cpu": "1"}))]}),
            1000,
            64 * MI,
            (1000, 200 * MI),
        );
        let mut sidecar = container("s", json!({"cpu": "100m", "memory": "10Mi"}));
        sidecar["restartPolicy"] = json!("Always");
        check(
            json!({"containers": [plain], "initContainers": [sidecar, container("i", json!({"cpu": "400m"}))]}),
            500,
            74 * MI,
            (500, 210 * MI),
        );
        check(
            json!({"containers": [plain], "overhead": {"cpu": "50m", "memory": "1Mi"}}),
            300,
            65 * MI,
            (300, 65 * MI),
        );
        check(
            json!({"containers": [plain], "resources": {"requests": {"cpu": "2", "memory": "1Gi"}},
                   "overhead": {"cpu": "1"}}),
            3000,
            1024 * MI,
            (3000, 1024 * MI),
        );
        check(json!({"containers": [container("a", json!({"cpu": "0.0001"}))]}), 1, 0, (1, 200 * MI));
    }
}
