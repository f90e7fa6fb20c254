//! The hosts behind Services, for those who call them from outside of the pods' network.

use crate::Client;
use sampan_api::k8s::api::core::v1::Service;

/// The host that a Service stands for.
///
/// # Errors
/// There is no such Service, or none that is reached.
pub(crate) async fn host(client: &Client, namespace: &str, name: &str) -> Result<String, String> {
    let found = client.namespaced::<Service>(namespace).get_opt(name).await.map_err(|error| error.to_string())?;
    let spec = found.ok_or_else(|| format!("service {name:?} not found"))?.spec.unwrap_or_default();
    match spec.type_.as_deref() {
        Some("ExternalName") => Ok(spec.external_name.unwrap_or_default()),
        _ => Err(format!("service {name:?}: only Services of type ExternalName are reached yet")),
    }
}
