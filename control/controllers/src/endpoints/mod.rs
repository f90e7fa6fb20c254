//! Keeps the Endpoints of each Service that has a selector.

mod plan;
#[cfg(test)]
mod tests;

pub use plan::{MANAGED_BY, MANAGER, repack, subsets, wanted};

use crate::trigger::Triggers;
use crate::{Context, Error, limits, owner, service};
use sampan_api::k8s::api::core::v1::{Endpoints, Pod, Service};
use sampan_api::{RecordKey, UserInfo};
use sampan_client::{Change, Client, DeleteParams, EventRecorder, EventType, Lister, reference};
use sampan_reconcile::{Reconcile, Requeue, Runtime};

/// The annotation of an Endpoints object that somebody elects a leader with: it is no Service's.
pub(crate) const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";

struct EndpointsOfServices {
    services: Lister<Service>,
    pods: Lister<Pod>,
    endpoints: Lister<Endpoints>,
    triggers: Triggers,
    client: Client,
    events: EventRecorder,
}

pub(crate) fn start(context: &Context) -> Result<(), Error> {
    let component = "endpoint-controller";
    let client = context.client(UserInfo::controller("endpoint"), component)?;
    let informers = &context.informers;
    let (services, pods) = (informers.of::<Service>()?, informers.of::<Pod>()?);
    let endpoints = informers.of::<Endpoints>()?;
    let mut runtime: Runtime = Runtime::new(component, &context.config.env, &context.config.tasks);
    runtime.watch(&services);
    let (queue, all) = (runtime.queue().clone(), services.lister::<Service>());
    runtime.watch_with(&pods, move |record, _| {
        service::selecting(&all, record).into_iter().for_each(|key| queue.add(key));
    });
    // Those that were left by Services that went while nobody looked, once; afterwards what somebody deletes.
    let (queue, all) = (runtime.queue().clone(), endpoints.lister::<Endpoints>());
    endpoints.add_handler(move |change| match change {
        Change::Synced => {
            let leaders =
                |one: &Endpoints| one.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(LEADER));
            for one in all.list().iter().filter(|one| !leaders(one)) {
                queue.add(RecordKey::new(owner::namespace(&one.metadata), owner::name(&one.metadata)));
            }
        }
        Change::Deleted { last } => queue.add(last.key.clone()),
        Change::Applied { .. } | Change::Lost => {}
    });
    runtime.read(&endpoints);
    let reconciler = EndpointsOfServices {
        services: services.lister(),
        pods: pods.lister(),
        endpoints: endpoints.lister(),
        triggers: Triggers::default(),
        events: context.recorder(&client, component),
        client,
    };
    runtime.start(reconciler, limits::WORKERS);
    Ok(())
}

impl Reconcile for EndpointsOfServices {
    async fn reconcile(&self, key: &RecordKey) -> Result<Requeue, Error> {
        let api = self.client.namespaced::<Endpoints>(&key.namespace);
        let Some(service) = self.services.get(&key.namespace, &key.name) else {
            self.triggers.forget(key);
            return match api.delete(&key.name, &DeleteParams::default()).await {
                Err(error) if !error.is_not_found() => Err(Error::of(format!("delete endpoints {key}"))(error)),
                _ => Ok(Requeue::Never),
            };
        };
        if service::selector(&service).is_none() {
            return Ok(Requeue::Never);
        }
        let pods = service::pods_of(&service, &self.pods);
        let changed = self.triggers.next(key, &service, &pods);
        let current = self.endpoints.get(&key.namespace, &key.name);
        let Some(new) = wanted(&service, current.as_deref(), subsets(&service, &pods), changed.as_ref()) else {
            return Ok(Requeue::Never);
        };
        let outcome = match &current {
            Some(_) => api.update(&key.name, &new).await,
            None => api.create(&new).await,
        };
        match outcome {
            Ok(_) => Ok(Requeue::Never),
            Err(error) if current.is_none() && error.is_namespace_terminating() => Ok(Requeue::Never),
            Err(error) => {
                let (namespace, name) = (&key.namespace, &key.name);
                let (reason, message) = match current {
                    None => (
                        "FailedToCreateEndpoint",
                        format!("Failed to create endpoint for service {namespace}/{name}: {error}"),
                    ),
                    Some(_) => {
                        ("FailedToUpdateEndpoint", format!("Failed to update endpoint {namespace}/{name}: {error}"))
                    }
                };
                if !error.is_conflict() {
                    self.events.event(reference(&*service), EventType::Warning, reason, message);
                }
                Err(Error::of(format!("endpoints {key}"))(error))
            }
        }
    }
}
