//! Mirrors Endpoints that somebody wrote for a Service without a selector into EndpointSlices, which all else reads.

mod plan;
#[cfg(test)]
mod tests;

pub use plan::{MANAGER, Skipped, is_mirrored, plan};

use crate::endpointslice::{Changes, Slices};
use crate::{Context, Error, limits, service};
use sampan_api::k8s::api::core::v1::{Endpoints, Service};
use sampan_api::{RecordKey, UserInfo};
use sampan_client::{EventRecorder, EventType, Lister, reference};
use sampan_reconcile::{Reconcile, Requeue, Runtime};

struct Mirror {
    services: Lister<Service>,
    endpoints: Lister<Endpoints>,
    slices: Slices,
    events: EventRecorder,
}

pub(crate) fn start(context: &Context) -> Result<(), Error> {
    let component = "endpoint-slice-mirroring-controller";
    let client = context.client(UserInfo::controller("endpointslicemirroring"), component)?;
    let (services, endpoints) = (context.informers.of::<Service>()?, context.informers.of::<Endpoints>()?);
    let mut runtime: Runtime = Runtime::new(component, &context.config.env, &context.config.tasks);
    runtime.watch(&endpoints);
    runtime.watch(&services);
    let slices = Slices::new(context, client.clone(), &mut runtime, MANAGER)?;
    let reconciler = Mirror {
        services: services.lister(),
        endpoints: endpoints.lister(),
        slices,
        events: context.recorder(&client, component),
    };
    runtime.start(reconciler, limits::WORKERS);
    Ok(())
}

impl Reconcile for Mirror {
    async fn reconcile(&self, key: &RecordKey) -> Result<Requeue, Error> {
        let Some(slices) = self.slices.of(key) else { return Ok(Requeue::Never) };
        let service = self.services.get(&key.namespace, &key.name).filter(|one| !service::has_selector(one));
        let endpoints = self.endpoints.get(&key.namespace, &key.name).filter(|one| is_mirrored(one));
        let Some(endpoints) = endpoints.filter(|_| service.is_some()) else {
            if slices.is_empty() {
                return Ok(Requeue::Never);
            }
            let changes = Changes { delete: slices, ..Changes::default() };
            return self.slices.apply(key, changes, None).await.map(|()| Requeue::Never);
        };
        let (changes, skipped) = plan(&endpoints, &slices);
        let tell = |reason: &str, message: String| {
            self.events.event(reference(&*endpoints), EventType::Warning, reason, message);
        };
        if skipped.invalid > 0 {
            let count = skipped.invalid;
            tell("InvalidIPAddress", format!("Skipped {count} invalid IP addresses when mirroring to EndpointSlices"));
        }
        if skipped.all > skipped.invalid {
            let (most, count) = (limits::MIRRORED_ADDRESSES_MAX, skipped.all);
            let text = format!(
                "A max of {most} addresses can be mirrored to EndpointSlices per Endpoints subset. {count} addresses were \
                 skipped"
            );
            tell("TooManyAddressesToMirror", text);
        }
        self.slices.apply(key, changes, None).await.map(|()| Requeue::Never)
    }
}
