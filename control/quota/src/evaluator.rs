//! The use that an object makes of resources, by its kind.

use crate::amounts::Amounts;
use crate::item::{Item, Read};
use crate::pod::{self, HUGE_PAGES, List, Reading};
use crate::scope;
use sampan_api::admission::Operation;
use sampan_api::k8s::api::core::v1::{
    Container, PersistentVolumeClaim, Pod, ScopedResourceSelectorRequirement, Service,
};
use sampan_api::k8s::api::resource::v1::ResourceClaim;
use sampan_api::{GroupResource, Object, Record, names};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

/// Counts the objects of one resource. Most are only counted; some have more that is limited.
#[derive(Clone, Debug)]
pub struct Evaluator {
    read: Read,
    /// `count/deployments.apps`
    count: String,
    /// The name by which the number was limited before there was `count/`.
    alias: Option<&'static str>,
}

/// Resources of which nothing is stored, and events, which were never limited (`DefaultIgnoredResources`).
const IGNORED: [(&str, &str); 10] = [
    ("", "bindings"),
    ("", "componentstatuses"),
    ("authentication.k8s.io", "tokenreviews"),
    ("authentication.k8s.io", "selfsubjectreviews"),
    ("authorization.k8s.io", "subjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "localsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"),
    ("", "events"),
    ("events.k8s.io", "events"),
];

/// What is read, and the older name of its number.
const KNOWN: [(&str, &str, Read, Option<&str>); 8] = [
    ("", "pods", Read::Pods, None),
    ("", "services", Read::Services, None),
    ("", "persistentvolumeclaims", Read::VolumeClaims, None),
    ("resource.k8s.io", "resourceclaims", Read::DeviceClaims, None),
    ("", "configmaps", Read::Count, Some("configmaps")),
    ("", "resourcequotas", Read::Count, Some("resourcequotas")),
    ("", "replicationcontrollers", Read::Count, Some("replicationcontrollers")),
    ("", "secrets", Read::Count, Some("secrets")),
];

/// Resources of pods that are limited by these names, beside prefixed ones.
const OF_PODS: [&str; 10] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
];
/// Where one of these is limited, every container must say how much it takes.
const MUST_BE_SAID: [&str; 6] = ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];
const OF_SERVICES: [&str; 3] = ["services", "services.nodeports", "services.loadbalancers"];
const OF_CLAIMS: [&str; 2] = ["persistentvolumeclaims", "requests.storage"];
/// Between a storage class and what of it is limited.
const STORAGE_CLASS: &str = ".storageclass.storage.k8s.io/";
/// After a device class.
const DEVICES: &str = ".deviceclass.resource.k8s.io/devices";
const DEVICE_CLASS_PREFIX: &str = "deviceclass.resource.kubernetes.io/";
/// Devices that a request for all of them may get at the most (`AllocationResultsMaxSize`).
const DEVICES_MAX: i64 = 32;
const REQUESTS: &str = "requests.";

/// The name by which the number of a resource's objects is limited.
pub fn count_name(resource: &GroupResource) -> String {
    format!("count/{resource}")
}

impl Evaluator {
    /// `None` for resources that quota leaves alone.
    pub fn of(resource: &GroupResource) -> Option<Self> {
        let named = (resource.group.as_str(), resource.resource.as_str());
        if IGNORED.contains(&named) {
            return None;
        }
        let known = KNOWN.iter().find(|(group, name, ..)| (*group, *name) == named);
        let (read, alias) = known.map_or((Read::Count, None), |(_, _, read, alias)| (*read, *alias));
        Some(Self { read, count: count_name(resource), alias })
    }

    /// The resources beside counts by `count/` of which these names limit something.
    pub fn named_by<'a>(names: impl Iterator<Item = &'a str>) -> Vec<GroupResource> {
        let mut found = BTreeMap::new();
        let known: Vec<(GroupResource, Self)> = KNOWN
            .iter()
            .map(|(group, name, ..)| GroupResource::new(*group, *name))
            .filter_map(|resource| Self::of(&resource).map(|evaluator| (resource, evaluator)))
            .collect();
        for name in names {
            if let Some(counted) = name.strip_prefix("count/") {
                let (resource, group) = counted.split_once('.').unwrap_or((counted, ""));
                found.insert(name.to_owned(), GroupResource::new(group, resource));
            }
            let limited = known.iter().find(|(_, evaluator)| evaluator.limits(name));
            if let Some((resource, evaluator)) = limited {
                found.insert(evaluator.count.clone(), resource.clone());
            }
        }
        found.into_values().collect()
    }

    /// Whether the name is of something that its objects use (`MatchingResources`).
    pub fn limits(&self, name: &str) -> bool {
        if name == self.count || self.alias == Some(name) {
            return true;
        }
        match self.read {
            Read::Count => false,
            Read::Pods => {
                OF_PODS.contains(&name)
                    || name.strip_prefix(REQUESTS).unwrap_or(name).starts_with(HUGE_PAGES)
                    || is_extended_request(name)
            }
            Read::Services => OF_SERVICES.contains(&name),
            Read::VolumeClaims => {
                let of_class = name.split_once(STORAGE_CLASS).map(|(_, limited)| limited);
                OF_CLAIMS.contains(&of_class.unwrap_or(name))
            }
            Read::DeviceClaims => name.ends_with(DEVICES),
        }
    }

    /// Reads an object of the version that is stored, v1.
    ///
    /// # Errors
    /// When it is none of its kind.
    pub fn read(&self, object: &Object) -> Result<Item, serde_json::Error> {
        self.read.object(object)
    }

    /// Reads a record.
    ///
    /// # Errors
    /// When it is none of its kind.
    pub fn read_record(&self, record: &Record) -> Result<Item, serde_json::Error> {
        self.read.record(record)
    }

    /// Whether such a write can use more of something. `old` and `new` are read by [`Evaluator::read`].
    pub fn concerns(&self, operation: Operation, subresource: &str, new: &Item, old: Option<&Item>) -> bool {
        let update = operation == Operation::Update;
        match (self.read, subresource) {
            (Read::Count, "") => operation == Operation::Create,
            (Read::Pods, "") => {
                let deadline = match (new, old) {
                    (Item::Pod(new), Some(Item::Pod(old))) => scope::is_terminating(new) != scope::is_terminating(old),
                    _ => false,
                };
                operation == Operation::Create || (update && deadline)
            }
            (Read::Pods, "resize") | (Read::VolumeClaims, "status") => update,
            (Read::Services | Read::VolumeClaims | Read::DeviceClaims, "") => {
                matches!(operation, Operation::Create | Operation::Update)
            }
            _ => false,
        }
    }

    /// Whether a write to this part of an object may be a concern at all: asked before objects are read.
    pub fn may_concern(&self, operation: Operation, subresource: &str) -> bool {
        match (operation, subresource) {
            (Operation::Create, "") => true,
            (Operation::Update, "") => self.read != Read::Count,
            (Operation::Update, "resize") => self.read == Read::Pods,
            (Operation::Update, "status") => self.read == Read::VolumeClaims,
            _ => false,
        }
    }

    /// Whether a change of an object may change what of it is counted, or by which quotas.
    pub fn is_counted_anew(&self, old: &Item, new: &Item, now: SystemTime) -> bool {
        scope::differ(old, new) || self.usage(old, now) != self.usage(new, now)
    }

    /// The words for what an item does not say and must, where these names are limited: `must specify cpu for: a,b`.
    pub(crate) fn unsaid<'a>(&self, limited: impl Iterator<Item = &'a str>, item: &Item) -> Option<String> {
        let Item::Pod(pod) = item else { return None };
        let required: BTreeSet<&str> = limited.filter(|name| MUST_BE_SAID.contains(name)).collect();
        if required.is_empty() || pod::has_whole(pod) {
            return None;
        }
        let spec = pod.spec.as_ref()?;
        let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for container in spec.containers.iter().chain(spec.init_containers.iter().flatten()) {
            let said = of_container(container);
            for name in required.iter().filter(|name| said.get(name).is_none()) {
                missing.entry(name).or_default().insert(&container.name);
            }
        }
        let texts = missing
            .into_iter()
            .map(|(name, containers)| format!("{name} for: {}", containers.into_iter().collect::<Vec<_>>().join(",")));
        let texts: Vec<String> = texts.collect();
        (!texts.is_empty()).then(|| format!("must specify {}", texts.join("; ")))
    }

    /// Whether the item is in all of the scopes.
    pub fn is_in(&self, scopes: &[ScopedResourceSelectorRequirement], item: &Item) -> bool {
        scopes.iter().all(|selector| scope::contains(selector, item))
    }

    /// The use that the item makes of resources.
    pub fn usage(&self, item: &Item, now: SystemTime) -> Amounts {
        let mut usage = Amounts::default();
        usage.set_count(self.count.as_str(), 1);
        if let Some(alias) = self.alias {
            usage.set_count(alias, 1);
        }
        match item {
            Item::Pod(pod) if is_charged(pod, now) => usage.add(&of_pod(
                &pod::total(pod, List::Requests, Reading::Effective),
                &pod::total(pod, List::Limits, Reading::Effective),
            )),
            Item::Service(service) => usage.add(&of_service(service)),
            Item::VolumeClaim(claim) => usage.add(&of_claim(claim)),
            Item::DeviceClaim(claim) => usage.add(&of_device_claim(claim)),
            Item::Pod(_) | Item::Counted => {}
        }
        usage
    }
}

fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// Whether a name limits requests of an extended resource: those are never more than their limits.
fn is_extended_request(name: &str) -> bool {
    name.strip_prefix(REQUESTS).is_some_and(|rest| !is_native(name) || rest.starts_with(DEVICE_CLASS_PREFIX))
}

/// Whether it is the name of an extended resource of containers, or of a device class.
fn is_extended(name: &str) -> bool {
    let named = !is_native(name)
        && !name.starts_with(REQUESTS)
        && names::qualified_name(&format!("{REQUESTS}{name}")).is_empty();
    named || name.starts_with(DEVICE_CLASS_PREFIX)
}

/// A pod that is over, or that should have been for as long as it had to end, takes nothing.
fn is_charged(pod: &Pod, now: SystemTime) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    if matches!(phase, Some("Failed" | "Succeeded")) {
        return false;
    }
    let metadata = &pod.metadata;
    match (&metadata.deletion_timestamp, metadata.deletion_grace_period_seconds) {
        (Some(due), Some(grace)) => {
            let grace = Duration::from_secs(grace.unsigned_abs());
            now <= sampan_api::time::later(due.0.into(), grace)
        }
        _ => true,
    }
}

fn of_container(container: &Container) -> Amounts {
    let resources = container.resources.as_ref();
    of_pod(
        &Amounts::of(resources.and_then(|one| one.requests.as_ref())),
        &Amounts::of(resources.and_then(|one| one.limits.as_ref())),
    )
}

/// Requests and limits by the names under which they are limited.
fn of_pod(requests: &Amounts, limits: &Amounts) -> Amounts {
    let mut usage = Amounts::default();
    usage.set_count("pods", 1);
    for (name, amount) in requests.iter() {
        let native = matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with(HUGE_PAGES);
        if native {
            usage.set(name, amount);
        }
        if native || is_extended(name) {
            usage.set(format!("{REQUESTS}{name}"), amount);
        }
    }
    for (name, amount) in limits.iter().filter(|(name, _)| matches!(*name, "cpu" | "memory" | "ephemeral-storage")) {
        usage.set(format!("limits.{name}"), amount);
    }
    usage
}

fn of_service(service: &Service) -> Amounts {
    let spec = service.spec.as_ref();
    let kind = spec.and_then(|spec| spec.type_.as_deref()).unwrap_or_default();
    let ports = spec.and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let asked = || ports.iter().filter(|port| port.node_port.is_some_and(|port| port != 0)).count();
    let allocated = spec.and_then(|spec| spec.allocate_load_balancer_node_ports) != Some(false);
    let node_ports = match kind {
        "NodePort" => ports.len(),
        "LoadBalancer" if allocated => ports.len(),
        "LoadBalancer" => asked(),
        _ => 0,
    };
    let mut usage = Amounts::default();
    usage.set_count("services", 1);
    usage.set_count("services.nodeports", i64::try_from(node_ports).unwrap_or(i64::MAX));
    usage.set_count("services.loadbalancers", i64::from(kind == "LoadBalancer"));
    usage
}

/// The class that a claim names, by the older annotation first.
fn storage_class(claim: &PersistentVolumeClaim) -> &str {
    let annotations = claim.metadata.annotations.as_ref();
    let older = annotations.and_then(|all| all.get("volume.beta.kubernetes.io/storage-class"));
    let own = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_ref());
    older.or(own).map_or("", String::as_str)
}

fn of_claim(claim: &PersistentVolumeClaim) -> Amounts {
    let requests = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref()).and_then(|all| all.requests.as_ref());
    let allocated = claim.status.as_ref().and_then(|status| status.allocated_resources.as_ref());
    let mut own = Amounts::default();
    own.set_count("persistentvolumeclaims", 1);
    if let Some(wanted) = Amounts::of(requests).get("storage") {
        // Growing that failed and was taken back is charged for as long as the larger volume is there.
        let allotted = Amounts::of(allocated).get("storage");
        let charged = allotted.filter(|allotted| *allotted > wanted).unwrap_or(wanted);
        own.set("requests.storage", charged.rounded_to_units());
    }
    let class = storage_class(claim);
    let mut usage = own.clone();
    if !class.is_empty() {
        own.iter().for_each(|(name, amount)| usage.set(format!("{class}{STORAGE_CLASS}{name}"), amount));
    }
    usage
}

fn of_device_claim(claim: &ResourceClaim) -> Amounts {
    let count = |mode: Option<&str>, count: Option<i64>| match mode.unwrap_or("ExactCount") {
        "ExactCount" => count.unwrap_or(1),
        "All" => DEVICES_MAX,
        _ => 0,
    };
    let mut usage = Amounts::default();
    for request in claim.spec.devices.iter().flat_map(|devices| devices.requests.iter().flatten()) {
        // Of alternatives the worst case of each class.
        let mut worst = Amounts::default();
        for one in request.first_available.iter().flatten() {
            let mut own = Amounts::default();
            let devices = count(one.allocation_mode.as_deref(), one.count);
            own.set_count(format!("{}{DEVICES}", one.device_class_name), devices);
            worst.raise(&own);
        }
        if let (true, Some(exactly)) = (worst.is_empty(), &request.exactly) {
            let devices = count(exactly.allocation_mode.as_deref(), exactly.count);
            worst.set_count(format!("{}{DEVICES}", exactly.device_class_name), devices);
        }
        usage.add(&worst);
    }
    usage
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn evaluator(resource: &str) -> Evaluator {
        let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
        Evaluator::of(&GroupResource::new(group, resource)).expect("counted")
    }

    fn usage(resource: &str, object: Value) -> String {
        let evaluator = evaluator(resource);
        let item = evaluator.read(&Object::from_value(object).expect("an object")).expect("read");
        let now = sampan_api::time::parse("2026-01-01T00:10:00Z").expect("a time");
        evaluator.usage(&item, now).to_string()
    }

    #[test]
    fn what_objects_use() {
        let check = |resource: &str, object: Value, expected: &str| {
            assert_eq!(usage(resource, object.clone()), expected, "{resource} {object}");
        };
        let resources = json!({"requests": {"cpu": "100m", "x.dev/gpu": "2", "kubernetes.io/x": "1", "hugepages-2Mi": "4Mi"},
            "limits": {"cpu": "1", "x.dev/gpu": "2"}});
        let pod = |status: Value, more: Value| {
            let mut pod = json!({"metadata": {}, "spec": {"containers": [{"name": "a", "resources": resources.clone()}]},
                "status": status});
            pod["metadata"] = more;
            pod
        };
        let running = "count/pods=1,cpu=100m,hugepages-2Mi=4Mi,limits.cpu=1,pods=1,requests.cpu=100m,\
            requests.hugepages-2Mi=4Mi,requests.x.dev/gpu=2";
        check("pods", pod(json!({}), json!({})), running);
        check("pods", pod(json!({"phase": "Succeeded"}), json!({})), "count/pods=1");
        let going = |at: &str| json!({"deletionTimestamp": at, "deletionGracePeriodSeconds": 30});
        check("pods", pod(json!({}), going("2026-01-01T00:09:50Z")), running);
        check("pods", pod(json!({}), going("2026-01-01T00:09:00Z")), "count/pods=1");
        let service = |spec: Value| json!({"spec": spec});
        let ports = json!([{"port": 1}, {"port": 2, "nodePort": 30000}]);
        let none = "count/services=1,services=1,services.loadbalancers=0,services.nodeports=0";
        check("services", service(json!({"type": "ClusterIP", "ports": ports})), none);
        let two = "count/services=1,services=1,services.loadbalancers=0,services.nodeports=2";
        check("services", service(json!({"type": "NodePort", "ports": ports})), two);
        let balanced = "count/services=1,services=1,services.loadbalancers=1,services.nodeports=1";
        let spec = json!({"type": "LoadBalancer", "ports": ports, "allocateLoadBalancerNodePorts": false});
        check("services", service(spec), balanced);
        check("configmaps", json!({}), "configmaps=1,count/configmaps=1");
        check("deployments.apps", json!({}), "count/deployments.apps=1");
        let claim = json!({"spec": {"storageClassName": "gold", "resources": {"requests": {"storage": "1500m"}}}});
        let gold = "count/persistentvolumeclaims=1,gold.storageclass.storage.k8s.io/persistentvolumeclaims=1,\
            gold.storageclass.storage.k8s.io/requests.storage=2,persistentvolumeclaims=1,requests.storage=2";
        check("persistentvolumeclaims", claim, gold);
        let grown = json!({"spec": {"resources": {"requests": {"storage": "1Gi"}}}, "status": {"allocatedResources": {"storage": "2Gi"}}});
        check(
            "persistentvolumeclaims",
            grown,
            "count/persistentvolumeclaims=1,persistentvolumeclaims=1,requests.storage=2Gi",
        );
        let requests = json!([
            {"name": "a", "exactly": {"deviceClassName": "g", "allocationMode": "ExactCount", "count": 2}},
            {"name": "b", "firstAvailable": [
                {"name": "x", "deviceClassName": "g", "allocationMode": "ExactCount", "count": 1},
                {"name": "y", "deviceClassName": "g", "allocationMode": "All"},
                {"name": "z", "deviceClassName": "h", "allocationMode": "ExactCount", "count": 3}]},
        ]);
        let devices = "count/resourceclaims.resource.k8s.io=1,g.deviceclass.resource.k8s.io/devices=34,\
            h.deviceclass.resource.k8s.io/devices=3";
        check("resourceclaims.resource.k8s.io", json!({"spec": {"devices": {"requests": requests}}}), devices);
    }

    #[test]
    fn names_are_of_resources() {
        let check = |name: &str, expected: &[&str]| {
            let found: Vec<String> =
                Evaluator::named_by(std::iter::once(name)).iter().map(GroupResource::to_string).collect();
            assert_eq!(found, expected, "{name}");
        };
        check("pods", &["pods"]);
        check("count/pods", &["pods"]);
        check("requests.hugepages-2Mi", &["pods"]);
        check("requests.x.dev/gpu", &["pods"]);
        check("services.nodeports", &["services"]);
        check("gold.storageclass.storage.k8s.io/requests.storage", &["persistentvolumeclaims"]);
        check("requests.storage", &["persistentvolumeclaims"]);
        check("secrets", &["secrets"]);
        check("count/widgets.example.com", &["widgets.example.com"]);
        check("g.deviceclass.resource.k8s.io/devices", &["resourceclaims.resource.k8s.io"]);
        check("requests.nonsense", &[]);
        assert!(Evaluator::of(&GroupResource::new("", "events")).is_none());
    }

    #[test]
    fn writes_that_use_nothing_are_no_concern() {
        let check = |resource: &str, operation: Operation, subresource: &str, expected: bool| {
            let evaluator = evaluator(resource);
            let object = Object::from_value(json!({"spec": {"containers": []}})).expect("an object");
            let item = evaluator.read(&object).expect("read");
            let concerned = evaluator.concerns(operation, subresource, &item, Some(&item));
            assert_eq!(concerned, expected, "{resource} {operation} {subresource}");
            assert!(!concerned || evaluator.may_concern(operation, subresource));
        };
        check("pods", Operation::Create, "", true);
        check("pods", Operation::Update, "", false);
        check("pods", Operation::Update, "resize", true);
        check("pods", Operation::Update, "status", false);
        check("pods", Operation::Create, "binding", false);
        check("services", Operation::Update, "", true);
        check("services", Operation::Update, "status", false);
        check("persistentvolumeclaims", Operation::Update, "status", true);
        check("configmaps", Operation::Create, "", true);
        check("configmaps", Operation::Update, "", false);
    }
}
