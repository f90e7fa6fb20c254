//! Client-side apply, as `kubectl apply` does it without the server's help: what was applied last stands in an
//! annotation, so that what is taken out of a manifest is taken out of the object.

use crate::limits::APPLY_TRIES;
use anyhow::{Context, bail};
use sampan_api::{GroupVersionKind, Object};
use sampan_client::{Api, Client, Discovery, Patch};
use serde_json::{Map, Value};

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The outcome of an apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    Created,
    Configured,
    Unchanged,
}

impl Applied {
    /// As kubectl says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Unchanged => "unchanged",
        }
    }
}

/// The API of an object's kind, in its namespace (`default` where a namespaced one names none).
pub fn api_of(client: &Client, discovery: &Discovery, object: &Object) -> anyhow::Result<Api<Object>> {
    let gvk: GroupVersionKind =
        object.gvk().with_context(|| format!("apiVersion {:?} is not valid", object.api_version()))?;
    let resource = discovery
        .by_kind(&gvk)
        .with_context(|| format!("no matches for kind {:?} in version {:?}", gvk.kind, object.api_version()))?;
    let namespace = if object.namespace().is_empty() { "default" } else { object.namespace() };
    Ok(client.dynamic(&resource.resource, resource.namespaced.then_some(namespace)))
}

/// Creates the object or changes it to what the manifest says.
pub async fn apply(client: &Client, discovery: &Discovery, manifest: &Object) -> anyhow::Result<(Applied, Object)> {
    let api = api_of(client, discovery, manifest)?;
    let what = || format!("{} {:?}", manifest.kind(), manifest.name());
    let mut wanted = manifest.clone();
    let text = serde_json::to_string(manifest).context("the manifest as JSON")? + "\n";
    wanted.set_annotation(LAST_APPLIED, text);
    for _ in 0..APPLY_TRIES {
        let Some(live) = api.get_opt(manifest.name()).await.with_context(what)? else {
            match api.create(&wanted).await {
                Ok(made) => return Ok((Applied::Created, made)),
                Err(error) if error.is_already_exists() => continue,
                Err(error) => return Err(error).with_context(what),
            }
        };
        let last: Value = live
            .annotation(LAST_APPLIED)
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_else(|| Value::Object(Map::new()));
        let patch = three_way(&last, &wanted.to_value(), &live.to_value());
        if patch.as_object().is_some_and(Map::is_empty) {
            return Ok((Applied::Unchanged, live));
        }
        match api.patch(manifest.name(), &Patch::Merge(patch)).await {
            Ok(made) => return Ok((Applied::Configured, made)),
            Err(error) if error.is_conflict() || error.is_not_found() => {}
            Err(error) => return Err(error).with_context(what),
        }
    }
    bail!("{}: somebody else kept changing it", what())
}

/// A JSON merge patch that brings `live` to `wanted` and takes out what `last` had and `wanted` has no more.
fn three_way(last: &Value, wanted: &Value, live: &Value) -> Value {
    let empty = Map::new();
    let map = |value: &'_ Value| value.as_object().cloned().unwrap_or_default();
    let (last, wanted, live) = (map(last), wanted.as_object().unwrap_or(&empty), map(live));
    let mut patch = Map::new();
    for (key, value) in wanted {
        match (value, live.get(key)) {
            (Value::Object(_), Some(here @ Value::Object(_))) => {
                let inner = three_way(last.get(key).unwrap_or(&Value::Null), value, here);
                if inner.as_object().is_some_and(|inner| !inner.is_empty()) {
                    patch.insert(key.clone(), inner);
                }
            }
            (value, Some(here)) if covers(here, value) => {}
            (value, _) => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    for key in last.keys().filter(|key| !wanted.contains_key(*key) && live.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    Value::Object(patch)
}

/// Whether `live` holds everything that `wanted` says: the server's defaults inside lists are no difference.
fn covers(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => {
            wanted.iter().all(|(key, value)| live.get(key).is_some_and(|here| covers(here, value)))
        }
        (Value::Array(live), Value::Array(wanted)) => {
            live.len() == wanted.len() && live.iter().zip(wanted).all(|(live, wanted)| covers(live, wanted))
        }
        (live, wanted) => live == wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn three_ways() {
        let check = |last: Value, wanted: Value, live: Value, patch: Value| {
            assert_eq!(three_way(&last, &wanted, &live), patch, "{last} {wanted} {live}");
        };
        check(json!({"a": 1}), json!({"a": 1}), json!({"a": 1, "status": 2}), json!({}));
        check(json!({"a": 1, "b": 1}), json!({"a": 2}), json!({"a": 1, "b": 1, "c": 1}), json!({"a": 2, "b": null}));
        check(
            json!({"spec": {"x": 1, "y": 1}}),
            json!({"spec": {"x": 1}}),
            json!({"spec": {"x": 1, "y": 1, "default": true}}),
            json!({"spec": {"y": null}}),
        );
        check(json!({}), json!({"list": [{"name": "a"}]}), json!({"list": [{"name": "a", "defaulted": 1}]}), json!({}));
        check(json!({}), json!({"list": [1]}), json!({"list": [1, 2]}), json!({"list": [1]}));
    }
}
