//! `sampan logs`.

use crate::session::{Session, Target, find, targets, write};
use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::BodyExt;
use sampan_api::field::Path;
use sampan_api::{LabelSelector, Object, time};
use sampan_client::ListParams;
use serde_json::Value;
use std::time::Duration;

/// Prints what a pod's container has written. `what`: a pod's name, or `KIND/NAME` of something that has pods.
///
/// # Errors
/// There is no such pod, or the log breaks off.
pub async fn logs(session: &Session, what: &str, query: &str) -> anyhow::Result<()> {
    let pod = match what.contains('/') {
        false => what.to_owned(),
        true => pod_of(session, &targets(&[what.to_owned()])?[0]).await?,
    };
    let path = format!("/api/v1/namespaces/{}/pods/{pod}/log?{query}", session.namespace);
    let mut body = session.client.stream(http::Request::get(path).body(Bytes::new())?).await?;
    let mut out = std::io::stdout();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| anyhow::anyhow!("the log was cut off: {error}"))?;
        if let Some(bytes) = frame.data_ref()
            && !write(&mut out, bytes)?
        {
            return Ok(());
        }
    }
    Ok(())
}

/// An age as kubectl's `--since` has it, `5s`, `2m` or `1h30m`, in seconds.
///
/// # Errors
/// It is none.
pub(crate) fn seconds(text: &str) -> Result<u64, String> {
    let mut parts = text.split_inclusive(|c: char| c.is_ascii_alphabetic());
    let sum = |sum: Duration, part: &str| sum.checked_add(time::ago(part)?);
    match parts.try_fold(Duration::ZERO, sum) {
        Some(age) if !text.is_empty() => Ok(age.as_secs()),
        _ => Err("it is no age like 5s, 2m or 1h30m".into()),
    }
}

/// The pod itself, or one of those that the object selects: one that runs before one that does not, the oldest first.
async fn pod_of(session: &Session, target: &Target) -> anyhow::Result<String> {
    let discovery = session.discover().await?;
    let resource = find(&discovery, &target.resource)?;
    let name = target.names.first().context("a name is missing")?;
    if resource.resource.group.is_empty() && resource.resource.resource == "pods" {
        return Ok(name.clone());
    }
    let namespace = resource.namespaced.then_some(session.namespace.as_str());
    let object = session.client.dynamic(&resource.resource, namespace).get(name).await?;
    let Some(selector) = selector(&object) else {
        bail!("{} {name} selects no pods: name a pod; `sampan get pods` lists them", resource.singular);
    };
    let pods = find(&discovery, "pods")?;
    let list = session.client.dynamic(&pods.resource, Some(&session.namespace));
    let mut found = list.list_all(&ListParams::labels(selector)).await?.items;
    let runs = |one: &Object| one.get_str(&["status", "phase"]) == Some("Running");
    let created = |one: &Object| one.metadata().get("creationTimestamp").and_then(Value::as_str).map(str::to_owned);
    found.sort_by_key(|one| (!runs(one), created(one)));
    let Some(first) = found.first() else {
        bail!("{} {name} has no pods yet; `sampan get events` may say why", resource.singular);
    };
    if found.len() > 1 {
        eprintln!("Found {} pods, using pod/{}", found.len(), first.name());
    }
    Ok(first.name().to_owned())
}

/// The selector of a workload, or of a Service or ReplicationController, whose selectors are labels alone.
fn selector(object: &Object) -> Option<String> {
    let selector = object.get(&["spec", "selector"])?.as_object().filter(|selector| !selector.is_empty())?;
    if selector.values().any(|value| !value.is_string()) {
        let path = Path::new("spec").child("selector");
        return LabelSelector::from_v1(&Value::Object(selector.clone()), &path).ok().map(|all| all.to_string());
    }
    let pairs = selector.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
    Some(pairs.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ages_are_what_kubectl_takes() {
        let check = |text: &str, expected: Option<u64>| assert_eq!(seconds(text).ok(), expected, "{text}");
        check("5s", Some(5));
        check("1h30m", Some(5400));
        check("0s", Some(0));
        for text in ["", "5", "s", "1h30", "-5s", "1w", "99999999999999999999s"] {
            check(text, None);
        }
    }

    #[test]
    fn workloads_and_services_select_pods() {
        let check = |spec: Value, expected: Option<&str>| {
            let object = Object::from_value(json!({"kind": "X", "spec": spec})).expect("an object");
            assert_eq!(selector(&object).as_deref(), expected);
        };
        check(json!({"selector": {"matchLabels": {"app": "a"}}}), Some("app=a"));
        check(json!({"selector": {"app": "a", "tier": "b"}}), Some("app=a,tier=b"));
        check(json!({"selector": {}}), None);
        check(json!({}), None);
    }
}
