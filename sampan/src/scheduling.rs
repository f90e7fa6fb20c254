//! The scheduler's wiring: policies as objects, the driver, and the answer of `pods/NAME/scheduling`.

use async_trait::async_trait;
use http::Response;
use sampan_api::Status;
use sampan_apiserver::{Action, Ask, Body};
use sampan_client::{BlobSource, Client, EventRecorder, Informers};
use sampan_env::{Env, Tasks};
use sampan_policy::{Live, PolicyController, PolicyControllerConfig, ProfileConfig};
use sampan_scheduler_driver::{Driver, DriverConfig, Explainer, Metrics};
use sampan_wasm_runtime::Runtime;
use std::sync::{Arc, OnceLock};

/// The parts of a running scheduler that others need.
pub struct Scheduler {
    pub explainer: Explainer,
    pub metrics: Arc<Metrics>,
}

/// Starts policies and scheduler; they end with `tasks`. `client` speaks as `system:kube-scheduler`.
pub fn start(
    client: Client,
    runtime: &Runtime,
    blobs: Arc<dyn BlobSource>,
    env: &Env,
    tasks: &Tasks,
) -> anyhow::Result<Scheduler> {
    let informers = Informers::new(client.clone(), env, tasks);
    let events = EventRecorder::new(client.clone(), "default-scheduler", None, env, tasks);
    let live = Live::new(env, vec![ProfileConfig::default()]);
    let policies = PolicyControllerConfig {
        client: client.clone(),
        informers: informers.clone(),
        runtime: runtime.clone(),
        blobs,
        events: events.clone(),
        env: env.clone(),
        tasks: tasks.clone(),
    };
    let controller = PolicyController::new(policies, &live)?;
    let driver = Driver::new(DriverConfig {
        client,
        informers,
        events,
        policies: Arc::new(live.clone()),
        env: env.clone(),
        tasks: tasks.clone(),
    })?;
    live.on_change(driver.waker());
    let scheduler = Scheduler { explainer: driver.explainer(), metrics: driver.metrics() };
    controller.start();
    driver.start()?;
    Ok(scheduler)
}

/// The name under which the pods' row asks for [`Explain`].
pub const EXPLAIN_ACTION: &str = "scheduling";

/// `GET pods/NAME/scheduling`. It is bound before there is a scheduler, and answers once [`Explain::set`] was called.
#[derive(Clone, Debug, Default)]
pub struct Explain(Arc<OnceLock<Explainer>>);

impl Explain {
    pub fn set(&self, explainer: Explainer) {
        self.0.get_or_init(|| explainer);
    }
}

#[async_trait]
impl Action for Explain {
    async fn call(&self, ask: &Ask, _: Body) -> Result<Response<Body>, Status> {
        let explainer = self.0.get().ok_or_else(|| Status::service_unavailable("no scheduler runs in this process"))?;
        let explanation = explainer.explain(ask.namespace(), ask.name()).await?;
        let value = serde_json::to_value(explanation).map_err(|error| Status::internal(&error.to_string()))?;
        ask.answer(200, &value)
    }
}
