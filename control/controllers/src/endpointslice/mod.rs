//! Keeps the EndpointSlices of each Service that has a selector.

mod plan;
#[cfg(test)]
mod tests;
mod writer;

pub use plan::{
    Changes, EndpointKey, Endpoints, MANAGED_BY, MANAGER, PortsKey, SERVICE_NAME, endpoint_key, new_metadata, plan,
    ports_key, same_endpoint,
};
pub(crate) use writer::Slices;

use crate::trigger::Triggers;
use crate::{Context, Error, limits, service};
use sampan_api::k8s::api::core::v1::{Node, Pod, Service};
use sampan_api::{RecordKey, UserInfo};
use sampan_client::{EventRecorder, EventType, Lister, reference};
use sampan_reconcile::{Reconcile, Requeue, Runtime};

struct SlicesOfServices {
    services: Lister<Service>,
    pods: Lister<Pod>,
    nodes: Lister<Node>,
    slices: Slices,
    triggers: Triggers,
    events: EventRecorder,
}

pub(crate) fn start(context: &Context) -> Result<(), Error> {
    let component = "endpoint-slice-controller";
    let client = context.client(UserInfo::controller("endpointslice"), component)?;
    let informers = &context.informers;
    let (services, pods, nodes) = (informers.of::<Service>()?, informers.of::<Pod>()?, informers.of::<Node>()?);
    let mut runtime: Runtime = Runtime::new(component, &context.config.env, &context.config.tasks);
    runtime.watch(&services);
    let (queue, all) = (runtime.queue().clone(), services.lister::<Service>());
    runtime.watch_with(&pods, move |record, _| {
        service::selecting(&all, record).into_iter().for_each(|key| queue.add(key));
    });
    runtime.read(&nodes);
    let slices = Slices::new(context, client.clone(), &mut runtime, MANAGER)?;
    let reconciler = SlicesOfServices {
        services: services.lister(),
        pods: pods.lister(),
        nodes: nodes.lister(),
        slices,
        triggers: Triggers::default(),
        events: context.recorder(&client, component),
    };
    runtime.start(reconciler, limits::WORKERS);
    Ok(())
}

impl Reconcile for SlicesOfServices {
    async fn reconcile(&self, key: &RecordKey) -> Result<Requeue, Error> {
        let Some(service) = self.services.get(&key.namespace, &key.name) else {
            // The garbage collector takes its slices.
            self.triggers.forget(key);
            self.slices.forget(key);
            return Ok(Requeue::Never);
        };
        if service::selector(&service).is_none() {
            return Ok(Requeue::Never);
        }
        let Some(slices) = self.slices.of(key) else { return Ok(Requeue::Never) };
        let pods = service::pods_of(&service, &self.pods);
        let changed = self.triggers.next(key, &service, &pods);
        let (changes, left_out) = plan(&service, &pods, |name| self.nodes.get("", name), &slices);
        let outcome = self.slices.apply(key, changes, Some(changed.as_ref())).await;
        let outcome = match outcome {
            Ok(()) if !left_out.is_empty() => Err(Error::Invalid(left_out.join("; "))),
            other => other,
        };
        match outcome {
            Ok(()) => Ok(Requeue::Never),
            Err(error) => {
                if !error.is_conflict() {
                    let (namespace, name) = (&key.namespace, &key.name);
                    let message = format!("Error updating Endpoint Slices for Service {namespace}/{name}: {error}");
                    self.events.event(
                        reference(&*service),
                        EventType::Warning,
                        "FailedToUpdateEndpointSlices",
                        message,
                    );
                }
                Err(error)
            }
        }
    }
}
