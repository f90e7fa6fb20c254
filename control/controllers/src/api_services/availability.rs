//! Whether the servers of APIServices answer (kube-aggregator's `remote_available_controller.go`).

use super::api_services;
use super::plan::{self, Outcome};
use crate::{Error, limits};
use sampan_api::k8s::api::core::v1::Service;
use sampan_api::k8s::api::discovery::v1::EndpointSlice;
use sampan_api::{Object, RecordKey};
use sampan_client::{Client, Informer, Informers, Lister, ServicePort, ServiceProxy};
use sampan_env::{Env, Tasks};
use sampan_reconcile::{Reconcile, Requeue, Runtime};
use serde_json::Value;
use std::sync::Arc;

const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Index of an informer: EndpointSlices by their Service.
const BY_SERVICE: &str = "service";

/// The controller.
pub(super) struct Availability {
    client: Client,
    api_services: Informer,
    proxy: Arc<ServiceProxy>,
}

struct Checks {
    of: Availability,
    services: Lister<Service>,
    slices: Lister<EndpointSlice>,
}

impl Availability {
    pub(super) fn new(client: Client, api_services: Informer, proxy: Arc<ServiceProxy>) -> Self {
        Self { client, api_services, proxy }
    }
}

pub(super) fn start(of: Availability, informers: &Informers, env: &Env, tasks: &Tasks) -> Result<(), Error> {
    let (services, slices) = (informers.of::<Service>()?, informers.of::<EndpointSlice>()?);
    slices.add_index(BY_SERVICE, |record| {
        let name = record.labels.get(SERVICE_NAME).map(|name| format!("{}/{name}", record.key.namespace));
        name.into_iter().collect()
    });
    let mut runtime: Runtime = Runtime::new("api-service-availability", env, tasks);
    runtime.watch(&of.api_services);
    for informer in [&services, &slices] {
        let (queue, all) = (runtime.queue().clone(), of.api_services.store().clone());
        runtime.watch_with(informer, move |record, _| {
            let name = record.labels.get(SERVICE_NAME).map_or(&*record.key.name, String::as_str);
            for one in all.list() {
                if service_of(&one.object())
                    .is_some_and(|port| port.name == name && port.namespace == *record.key.namespace)
                {
                    queue.add(one.key.clone());
                }
            }
        });
    }
    let checks = Checks { of, services: services.lister(), slices: slices.lister() };
    runtime.start(checks, limits::WORKERS);
    Ok(())
}

/// The port that an APIService names; `None`: this server has its group version.
fn service_of(object: &Object) -> Option<ServicePort> {
    let service = object.get(&["spec", "service"]).filter(|service| service.is_object())?;
    let text = |name: &str| service[name].as_str().unwrap_or_default().to_owned();
    let port = service["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(443);
    Some(ServicePort { namespace: text("namespace"), name: text("name"), port })
}

impl Reconcile for Checks {
    async fn reconcile(&self, key: &RecordKey) -> Result<Requeue, Error> {
        let Some(record) = self.of.api_services.store().get(key) else { return Ok(Requeue::Never) };
        let mut object = record.object();
        let Some(port) = service_of(&object) else { return Ok(Requeue::Never) };
        let outcome = match self.of_service(&port) {
            Some(outcome) => outcome,
            None => self.of_server(&port, &object).await,
        };
        let now = sampan_api::time::rfc3339(self.of.client.env().now());
        if plan::set(&mut object, &outcome, &now) {
            let api = self.of.client.dynamic(&api_services(), None);
            match api.update_status(&key.name, &object).await {
                Err(error) if error.is_not_found() || error.is_conflict() => return Ok(Requeue::Never),
                other => drop(other?),
            }
        }
        match outcome.reason {
            // It is asked again, later each time.
            "FailedDiscoveryCheck" => Err(Error::Invalid(outcome.message)),
            _ => Ok(Requeue::After(limits::API_SERVICE_PERIOD)),
        }
    }
}

impl Checks {
    /// What is wrong with the Service, if anything.
    fn of_service(&self, port: &ServicePort) -> Option<Outcome> {
        let ServicePort { namespace, name, port } = port;
        let unavailable = |reason: &'static str, message: String| Some(Outcome { status: "False", reason, message });
        let Some(service) = self.services.get(namespace, name) else {
            return unavailable("ServiceNotFound", format!("service/{name} in {namespace:?} is not present"));
        };
        let spec = service.spec.as_ref();
        if spec.and_then(|spec| spec.type_.as_deref()) != Some("ClusterIP") {
            return None;
        }
        let ports = spec.and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
        let Some(found) = ports.iter().find(|one| one.port == i32::from(*port)) else {
            let message = format!("service/{name} in {namespace:?} is not listening on port {port}");
            return unavailable("ServicePortError", message);
        };
        let slices = self.slices.by_index(BY_SERVICE, &format!("{namespace}/{name}"));
        if slices.is_empty() {
            let message = format!("cannot find endpointslices for service/{name} in {namespace:?}");
            return unavailable("EndpointsNotFound", message);
        }
        let called = found.name.as_deref().unwrap_or_default();
        if slices.iter().any(|slice| is_active(slice, called)) {
            return None;
        }
        let message =
            format!("endpointslices for service/{name} in {namespace:?} have no addresses with port name {called:?}");
        unavailable("MissingEndpoints", message)
    }

    /// Asks the server itself, several times at once: one answer is enough.
    async fn of_server(&self, port: &ServicePort, object: &Object) -> Outcome {
        let path = path_of(object);
        let attempts = (0..limits::API_SERVICE_ATTEMPTS).map(|_| Box::pin(self.attempt(port, &path)));
        match futures::future::select_ok(attempts).await {
            Ok(_) => Outcome { status: "True", reason: "Passed", message: "all checks passed".to_owned() },
            Err(message) => Outcome { status: "False", reason: "FailedDiscoveryCheck", message },
        }
    }

    async fn attempt(&self, port: &ServicePort, path: &str) -> Result<(), String> {
        let url = format!("{}{path}", self.of.proxy.address(port).await?);
        let failing = |why: String| format!("failing or missing response from {url}: {why}");
        match tokio::time::timeout(limits::API_SERVICE_TIMEOUT, self.of.proxy.probe(port, path)).await {
            Err(_) => Err(failing(format!(
                "Get {url:?}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
            ))),
            Ok(Err(error)) => Err(failing(format!("Get {url:?}: {error}"))),
            Ok(Ok(200..300)) => Ok(()),
            Ok(Ok(code)) => Err(failing(format!("bad status from {url}: {code}"))),
        }
    }
}

fn is_active(slice: &EndpointSlice, port: &str) -> bool {
    let ready = slice
        .endpoints
        .iter()
        .any(|endpoint| endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).is_none_or(|ready| ready));
    let ports = slice.ports.as_deref().unwrap_or_default();
    ready && ports.iter().any(|one| one.name.as_deref() == Some(port) && one.port.is_some())
}

/// The document that a server of the group version has in any case.
fn path_of(object: &Object) -> String {
    let text = |name: &str| object.get(&["spec", name]).and_then(Value::as_str).unwrap_or_default();
    match text("group") {
        "" => format!("/api/{}", text("version")),
        group => format!("/apis/{group}/{}", text("version")),
    }
}
