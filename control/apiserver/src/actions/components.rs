//! ComponentStatuses: how the parts of a control plane are, asked when they are read
//! (k8s.io/kubernetes/pkg/registry/core/componentstatus/rest.go).

use super::Action;
use crate::ask::Ask;
use crate::body::Body;
use crate::health::Check;
use crate::negotiate::Endpoint;
use crate::options;
use async_trait::async_trait;
use http::Response;
use sampan_api::{GroupResource, Object, Status};
use sampan_registry::Resource;
use serde_json::json;
use std::sync::Arc;

/// The action on ComponentStatuses, under the name by which their row has it. Each check is a component by its own name.
pub fn of_components(checks: Vec<Arc<dyn Check>>) -> (String, Arc<dyn Action>) {
    ("componentstatus".to_owned(), Arc::new(Components(checks)))
}

struct Components(Vec<Arc<dyn Check>>);

#[async_trait]
impl Action for Components {
    async fn call(&self, ask: &Ask, _: Body) -> Result<Response<Body>, Status> {
        if ask.name().is_empty() { self.list(ask).await } else { self.get(ask).await }
    }
}

impl Components {
    async fn list(&self, ask: &Ask) -> Result<Response<Body>, Status> {
        let output = ask.output(Endpoint::List)?;
        let options = options::list(&ask.query())?;
        let mut objects = Vec::with_capacity(self.0.len());
        for check in &self.0 {
            objects.push(status(ask.row(), check.as_ref()).await);
        }
        let selection = ask.registry().select_computed(ask.row(), &objects, &options).map_err(Status::from)?;
        ask.page(output, selection).await
    }

    async fn get(&self, ask: &Ask) -> Result<Response<Body>, Status> {
        let output = ask.output(Endpoint::Resource)?;
        let check = self.0.iter().find(|check| check.name() == ask.name());
        let check = check.ok_or_else(|| Status::not_found(&GroupResource::new("", "componentstatus"), ask.name()))?;
        let object = status(ask.row(), check.as_ref()).await;
        let record = ask.registry().computed(ask.row(), &object).map_err(Status::from)?;
        ask.record(200, output, &record).await
    }
}

/// A component's status at this time.
async fn status(row: &Resource, check: &dyn Check) -> Object {
    let condition = match check.check().await {
        Ok(()) => json!({"type": "Healthy", "status": "True", "message": "ok"}),
        Err(error) => json!({"type": "Healthy", "status": "False", "message": error}),
    };
    let mut object = Object::default();
    object.set_gvk(&row.gvk());
    object.set_meta("name", check.name());
    object.fields_mut().insert("conditions".to_owned(), json!([condition]));
    object
}
