use super::tolerations;
use crate::chain::Plugin;
use async_trait::async_trait;
use sampan_api::admission::{Attributes, Mutated, Operation};
use sampan_api::field::go_quote;
use sampan_api::k8s::api::node::v1::RuntimeClass as Class;
use sampan_api::{Object, Status};
use sampan_client::{Client, Informer};
use sampan_quota::Amounts;
use serde_json::{Map, Value};
use std::sync::Arc;

/// Gives pods what their RuntimeClass says of overhead and scheduling (plugin/pkg/admission/runtimeclass).
pub struct RuntimeClass {
    classes: Informer,
    client: Client,
}

impl RuntimeClass {
    /// `classes` answers nearly always; `client` is asked where it has not heard of a class yet.
    pub fn new(classes: Informer, client: Client) -> Self {
        Self { classes, client }
    }

    /// The pod's class; `None`: it names none.
    async fn class(&self, attributes: &Attributes<'_>, pod: &Object) -> Result<Option<Arc<Class>>, Status> {
        let Some(name) = pod.get_str(&["spec", "runtimeClassName"]) else { return Ok(None) };
        if let Some(class) = self.classes.lister::<Class>().get("", name) {
            return Ok(Some(class));
        }
        // No class has the empty name, and the API would take it for all of them.
        let found = if name.is_empty() { Ok(None) } else { self.client.all::<Class>().get_opt(name).await };
        match found {
            Ok(Some(class)) => Ok(Some(Arc::new(class))),
            Ok(None) => Err(attributes.forbidden(&format!("pod rejected: RuntimeClass {} not found", go_quote(name)))),
            Err(error) => Err(Status::internal(&error.to_string())),
        }
    }
}

const MISMATCH: &str = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";

fn overhead_of(pod: &Object) -> Result<Amounts, Status> {
    let list = pod.get(&["spec", "overhead"]).cloned().unwrap_or_default();
    let list: Option<std::collections::BTreeMap<_, _>> =
        serde_json::from_value(list).map_err(|error| Status::bad_request(error.to_string()))?;
    Ok(Amounts::of(list.as_ref()))
}

fn set_overhead(attributes: &Attributes<'_>, class: &Class, pod: &mut Object) -> Result<Mutated, Status> {
    let Some(overhead) = &class.overhead else { return Ok(Mutated::No) };
    let own = overhead_of(pod)?;
    if !own.is_empty() && own != Amounts::of(overhead.pod_fixed.as_ref()) {
        return Err(attributes.forbidden(MISMATCH));
    }
    let fixed: Map<String, Value> =
        overhead.pod_fixed.iter().flatten().map(|(name, amount)| (name.clone(), amount.0.as_str().into())).collect();
    if fixed.is_empty() {
        pod.remove(&["spec", "overhead"]);
    } else {
        pod.set(&["spec", "overhead"], fixed);
    }
    Ok(Mutated::Yes)
}

fn set_scheduling(attributes: &Attributes<'_>, class: &Class, pod: &mut Object) -> Result<Mutated, Status> {
    let Some(scheduling) = &class.scheduling else { return Ok(Mutated::No) };
    for (key, value) in scheduling.node_selector.iter().flatten() {
        if let Some(own) = pod.get_str(&["spec", "nodeSelector", key]).filter(|own| own != value) {
            return Err(attributes.forbidden(&format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = {own}"
            )));
        }
        pod.set(&["spec", "nodeSelector", key], value.as_str());
    }
    let more = scheduling.tolerations.iter().flatten().map(serde_json::to_value).collect::<Result<Vec<_>, _>>();
    let more = more.map_err(|error| Status::internal(&error.to_string()))?;
    if !more.is_empty() {
        let own = pod.get(&["spec", "tolerations"]).and_then(Value::as_array).cloned().unwrap_or_default();
        pod.set(&["spec", "tolerations"], tolerations::merge(own, more));
    }
    Ok(Mutated::Yes)
}

#[async_trait]
impl Plugin for RuntimeClass {
    fn name(&self) -> &'static str {
        "RuntimeClass"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        attributes.is("", "pods") && attributes.operation == Operation::Create
    }

    async fn mutate(&self, attributes: &Attributes<'_>, pod: &mut Object) -> Result<Mutated, Status> {
        let Some(class) = self.class(attributes, pod).await? else { return Ok(Mutated::No) };
        let overhead = set_overhead(attributes, &class, pod)?;
        Ok(overhead.or(set_scheduling(attributes, &class, pod)?))
    }

    async fn validate(&self, attributes: &Attributes<'_>, pod: Option<&Object>) -> Result<(), Status> {
        let Some(pod) = pod else { return Ok(()) };
        let class = self.class(attributes, pod).await?;
        match class.as_ref().and_then(|class| class.overhead.as_ref()) {
            Some(overhead) if overhead_of(pod)? != Amounts::of(overhead.pod_fixed.as_ref()) => {
                Err(attributes.forbidden(MISMATCH))
            }
            None if pod.get(&["spec", "overhead"]).is_some_and(|overhead| !overhead.is_null()) => {
                let why = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";
                Err(attributes.forbidden(why))
            }
            _ => Ok(()),
        }
    }
}
