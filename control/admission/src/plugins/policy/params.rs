//! The parameters of a binding.

use parking_lot::Mutex;
use sampan_api::field::Path;
use sampan_api::{GroupVersionKind, LabelSelector};
use sampan_client::{ApiResource, Client, ListParams};
use serde_json::Value as Json;
use std::collections::HashMap;

/// Reads parameters, and remembers which resources their kinds are.
pub(super) struct ParamSource {
    client: Client,
    resources: Mutex<HashMap<GroupVersionKind, ApiResource>>,
}

impl ParamSource {
    pub(super) fn new(client: Client) -> Self {
        Self { client, resources: Mutex::default() }
    }

    /// The resource of a kind of parameters.
    ///
    /// # Errors
    /// There is none.
    pub(super) async fn resource(&self, gvk: &GroupVersionKind) -> Result<ApiResource, String> {
        if let Some(known) = self.resources.lock().get(gvk) {
            return Ok(known.clone());
        }
        let found = self.client.discover().await.map_err(|error| error.to_string())?;
        let found = found.by_kind(gvk).cloned();
        let found = found.ok_or_else(|| {
            format!(
                "failed to find resource referenced by paramKind: '{}/{}, Kind={}'",
                gvk.group, gvk.version, gvk.kind
            )
        })?;
        let mut known = self.resources.lock();
        // Kinds of definitions that are gone are forgotten with the rest.
        if known.len() >= crate::limits::PARAM_KINDS_MAX {
            known.clear();
        }
        known.insert(gvk.clone(), found.clone());
        Ok(found)
    }

    /// The parameters that a binding names for a request in `namespace`; one null where it has none to name.
    ///
    /// # Errors
    /// Why there are none, where that denies.
    pub(super) async fn collect(
        &self,
        kind: Option<&GroupVersionKind>,
        reference: &Json,
        namespace: &str,
    ) -> Result<Vec<Json>, String> {
        let (Some(kind), true) = (kind, reference.is_object()) else { return Ok(vec![Json::Null]) };
        let resource = self.resource(kind).await?;
        let own = reference["namespace"].as_str().unwrap_or_default();
        let place = match (resource.namespaced, own, namespace) {
            (false, "", _) => None,
            (false, ..) => {
                return Err("paramRef.namespace must not be provided for a cluster-scoped `paramKind`".into());
            }
            (true, "", "") => {
                return Err(
                    "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources".into()
                );
            }
            (true, "", namespace) => Some(namespace),
            (true, own, _) => Some(own),
        };
        let api = self.client.dynamic(&resource.resource, place);
        let found = match reference["name"].as_str().unwrap_or_default() {
            "" => {
                let selector = LabelSelector::from_v1(&reference["selector"], &Path::new("selector"))
                    .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))?;
                let params = ListParams::labels(selector.to_string());
                let list = api.list_all(&params).await.map_err(|error| error.to_string())?;
                list.items.into_iter().map(sampan_api::Object::into_value).collect()
            }
            name => {
                let one = api.get_opt(name).await.map_err(|error| error.to_string())?;
                one.into_iter().map(sampan_api::Object::into_value).collect::<Vec<_>>()
            }
        };
        if found.is_empty() && reference["parameterNotFoundAction"] == "Deny" {
            return Err("no params found for policy binding with `Deny` parameterNotFoundAction".into());
        }
        Ok(found)
    }
}
