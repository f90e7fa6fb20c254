//! LimitRanges: defaults for containers, and bounds for what pods, their containers and claims may ask for.

mod bounds;

use crate::chain::Plugin;
use async_trait::async_trait;
use bounds::Bounds;
use sampan_api::admission::{Attributes, Mutated, Operation};
use sampan_api::k8s::api::core::v1::{LimitRange, LimitRangeItem, PersistentVolumeClaim, Pod};
use sampan_api::{Object, Status};
use sampan_client::Informer;
use sampan_quota::Amounts;
use sampan_quota::pod::{List, Reading, total};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

const ANNOTATION: &str = "kubernetes.io/limit-ranger";

/// The plugin (plugin/pkg/admission/limitranger).
pub struct LimitRanger {
    ranges: Informer,
}

impl LimitRanger {
    /// `ranges` are the LimitRanges of all namespaces.
    pub fn new(ranges: Informer) -> Self {
        Self { ranges }
    }

    /// Those of the request's namespace, by name; none for what is being deleted.
    fn ranges(&self, attributes: &Attributes<'_>) -> Result<Vec<Arc<LimitRange>>, Status> {
        if attributes.old.is_some_and(|old| old.deletion_timestamp().is_some()) {
            return Ok(Vec::new());
        }
        let records = self.ranges.store().list_namespace(attributes.namespace);
        let typed = records.iter().map(|record| record.typed::<LimitRange>());
        typed.collect::<Result<_, _>>().map_err(|error| Status::internal(&format!("limit ranges: {error}")))
    }
}

fn items(range: &LimitRange) -> impl Iterator<Item = &LimitRangeItem> {
    range.spec.iter().flat_map(|spec| &spec.limits)
}

#[async_trait]
impl Plugin for LimitRanger {
    fn name(&self) -> &'static str {
        "LimitRanger"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        let of = |resource: &str, subresource: &str| {
            attributes.resource.group.is_empty()
                && attributes.resource.resource == resource
                && attributes.subresource == subresource
        };
        // Containers of a pod change by its resizing alone.
        match attributes.operation {
            Operation::Create => of("pods", "") || of("persistentvolumeclaims", ""),
            Operation::Update => of("pods", "resize") || of("persistentvolumeclaims", ""),
            Operation::Delete | Operation::Connect => false,
        }
    }

    async fn mutate(&self, attributes: &Attributes<'_>, object: &mut Object) -> Result<Mutated, Status> {
        if attributes.resource.resource != "pods" {
            return Ok(Mutated::No);
        }
        let mut changed = Mutated::No;
        for range in self.ranges(attributes)? {
            changed = changed.or(fill_in(&range, object));
        }
        Ok(changed)
    }

    async fn validate(&self, attributes: &Attributes<'_>, object: Option<&Object>) -> Result<(), Status> {
        let Some(object) = object else { return Ok(()) };
        let ranges = self.ranges(attributes)?;
        if ranges.is_empty() {
            return Ok(());
        }
        let unreadable = |error: serde_json::Error| Status::internal(&format!("limit ranges: {error}"));
        let pod = attributes.resource.resource == "pods";
        let asked = if pod {
            of_pod(&serde_json::from_value(object.to_value()).map_err(unreadable)?)
        } else {
            of_claim(&serde_json::from_value(object.to_value()).map_err(unreadable)?)
        };
        for range in ranges {
            let mut problems: Vec<String> = Vec::new();
            for item in items(&range) {
                let bounds = Bounds::of(item);
                for (_, requests, limits) in asked.iter().filter(|(kind, ..)| *kind == item.type_) {
                    bounds.check(requests, limits, &mut problems);
                }
            }
            match problems.as_slice() {
                [] => {}
                [problem] => return Err(attributes.forbidden(problem)),
                all => return Err(attributes.forbidden(&format!("[{}]", all.join(", ")))),
            }
        }
        Ok(())
    }
}

/// A type of LimitRange item, with requests and limits of one thing of that type.
type Asked = (&'static str, Amounts, Amounts);

fn of_pod(pod: &Pod) -> Vec<Asked> {
    let spec = pod.spec.iter();
    let containers = spec.flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()));
    let mut asked: Vec<Asked> = containers
        .map(|container| {
            let resources = container.resources.as_ref();
            let requests = resources.and_then(|resources| resources.requests.as_ref());
            let limits = resources.and_then(|resources| resources.limits.as_ref());
            ("Container", Amounts::of(requests), Amounts::of(limits))
        })
        .collect();
    asked.push(("Pod", total(pod, List::Requests, Reading::Spec), total(pod, List::Limits, Reading::Spec)));
    asked
}

fn of_claim(claim: &PersistentVolumeClaim) -> Vec<Asked> {
    let resources = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    let requests = resources.and_then(|resources| resources.requests.as_ref());
    vec![(bounds::CLAIM, Amounts::of(requests), Amounts::default())]
}

/// Gives containers the requests and limits that they lack, and says so in an annotation.
fn fill_in(range: &LimitRange, pod: &mut Object) -> Mutated {
    let (mut requests, mut limits) = (BTreeMap::new(), BTreeMap::new());
    for item in items(range).filter(|item| item.type_ == "Container") {
        requests.extend(item.default_request.iter().flatten().map(|(name, amount)| (name.clone(), amount.0.clone())));
        limits.extend(item.default.iter().flatten().map(|(name, amount)| (name.clone(), amount.0.clone())));
    }
    if requests.is_empty() && limits.is_empty() {
        return Mutated::No;
    }
    let mut told = Vec::new();
    for (list, what) in [("containers", "container"), ("initContainers", "init container")] {
        let containers = pod.get_mut(&["spec", list]).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
            let name = container.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
            for (field, word, defaults) in [("requests", "request", &requests), ("limits", "limit", &limits)] {
                let set = fill(container, field, defaults);
                if !set.is_empty() {
                    told.push(format!("{} {word} for {what} {name}", set.join(", ")));
                }
            }
        }
    }
    if told.is_empty() {
        return Mutated::No;
    }
    if pod.metadata().get("annotations").is_none_or(Value::is_null) {
        pod.set_meta("annotations", Map::new());
    }
    pod.set_annotation(ANNOTATION, format!("LimitRanger plugin set: {}", told.join("; ")));
    Mutated::Yes
}

/// Sets what the list lacks; the names of that.
fn fill<'a>(container: &mut Map<String, Value>, list: &str, defaults: &'a BTreeMap<String, String>) -> Vec<&'a str> {
    let mut set = Vec::new();
    for (name, amount) in defaults {
        let resources = container.entry("resources").or_insert_with(|| Map::new().into());
        if resources.is_null() {
            *resources = Map::new().into();
        }
        if resources[list].get(name).is_none() {
            resources[list][name] = amount.as_str().into();
            set.push(name.as_str());
        }
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn containers_get_what_they_lack() {
        let check = |resources: Value, filled: Value, annotation: Option<&str>| {
            let range = json!({"spec": {"limits": [{"type": "Pod", "max": {"cpu": "1"}},
                {"type": "Container", "default": {"cpu": "500m", "memory": "128Mi"}, "defaultRequest": {"cpu": "100m"}}]}});
            let range: LimitRange = serde_json::from_value(range).expect("a range");
            let pod = json!({"metadata": {}, "spec": {"containers": [{"name": "c", "resources": resources}]}});
            let mut pod = Object::from_value(pod).expect("a pod");
            fill_in(&range, &mut pod);
            assert_eq!(pod.get(&["spec", "containers"]).map(|all| &all[0]["resources"]), Some(&filled));
            assert_eq!(pod.annotation(ANNOTATION), annotation);
        };
        let whole = json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "500m", "memory": "128Mi"}});
        let both = "LimitRanger plugin set: cpu request for container c; cpu, memory limit for container c";
        check(json!(null), whole.clone(), Some(both));
        check(whole.clone(), whole.clone(), None);
        let own = json!({"requests": {"cpu": "5m"}, "limits": {"cpu": "6m", "memory": "128Mi"}});
        let memory = "LimitRanger plugin set: memory limit for container c";
        check(json!({"requests": {"cpu": "5m"}, "limits": {"cpu": "6m"}}), own, Some(memory));
    }
}
