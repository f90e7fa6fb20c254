use crate::chain::Plugin;
use async_trait::async_trait;
use sampan_api::admission::{Attributes, Operation};
use sampan_api::{Object, Status};
use serde_json::Value;

/// Lets Services have no external addresses but those that they have (plugin/pkg/admission/network/denyserviceexternalips).
#[derive(Clone, Copy, Debug, Default)]
pub struct DenyServiceExternalIPs;

fn addresses(service: &Object) -> impl Iterator<Item = &Value> {
    service.get(&["spec", "externalIPs"]).and_then(Value::as_array).into_iter().flatten()
}

#[async_trait]
impl Plugin for DenyServiceExternalIPs {
    fn name(&self) -> &'static str {
        "DenyServiceExternalIPs"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        attributes.is("", "services") && matches!(attributes.operation, Operation::Create | Operation::Update)
    }

    async fn validate(&self, attributes: &Attributes<'_>, service: Option<&Object>) -> Result<(), Status> {
        let old: std::collections::HashSet<&str> =
            attributes.old.into_iter().flat_map(addresses).filter_map(Value::as_str).collect();
        let mut new = service.into_iter().flat_map(addresses);
        match new.all(|address| address.as_str().is_some_and(|address| old.contains(address))) {
            true => Ok(()),
            false => Err(attributes.forbidden("Use of external IPs is denied by admission control")),
        }
    }
}
