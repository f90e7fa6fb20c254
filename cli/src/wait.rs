//! Waiting until what was applied is there.

use crate::apply::api_of;
use crate::kstatus::{Progress, progress};
use crate::limits::{EVENTS_EVERY, EVENTS_MAX, WATCH_PAUSE_MAX, WATCH_PAUSE_MIN};
use anyhow::{Context, bail};
use futures::StreamExt;
use sampan_api::Object;
use sampan_api::k8s::api::core::v1::Event;
use sampan_client::{Client, Discovery, ListParams, WatchEvent, WatchParams};
use std::time::Duration;

/// The reason why an object did not become ready, for people.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotReady(pub String);

/// Follows one object until it is Current. `tell` hears what is still missing, each time that it changes. The error is a
/// [`NotReady`] where the object is what did not come to be.
pub async fn until_current(
    client: &Client,
    discovery: &Discovery,
    object: &Object,
    deadline: Duration,
    tell: impl Fn(&str),
) -> anyhow::Result<Object> {
    let (mut last, mut seen) = (String::new(), None::<Object>);
    let what = format!("{} {:?}", object.kind(), object.name());
    let follow = async {
        let api = api_of(client, discovery, object)?;
        let mut pause = WATCH_PAUSE_MIN;
        loop {
            let params = WatchParams {
                field_selector: Some(format!("metadata.name={}", object.name())),
                send_initial_events: true,
                ..WatchParams::default()
            };
            let mut events = api.watch(&params).await.with_context(|| what.clone())?;
            loop {
                let event = tokio::select! {
                    event = events.next() => event,
                    () = client.env().sleep(EVENTS_EVERY) => {
                        let seen = seen.as_ref().map(|seen| progress(seen, client.env().now()));
                        if let Some(Progress::Failed(why)) = seen {
                            bail!(failed(client, object, &why).await);
                        }
                        let told = explanation(client, object).await.filter(|told| !last.ends_with(told.as_str()));
                        if let Some(told) = told.filter(|_| !last.is_empty()) {
                            let missing = last.split(EXPLAINED).next().unwrap_or_default();
                            last = format!("{missing}{EXPLAINED}{told}");
                            tell(&last);
                        }
                        continue;
                    }
                };
                let Some(event) = event else { break };
                let record = match event {
                    Ok(WatchEvent::Added(record) | WatchEvent::Modified(record)) => record,
                    Ok(WatchEvent::Deleted(_)) => bail!(NotReady(format!("{what} was deleted"))),
                    Ok(WatchEvent::Bookmark { .. }) => continue,
                    // The watch ended: begun anew.
                    Err(_) => break,
                };
                pause = WATCH_PAUSE_MIN;
                let now = record.object();
                match progress(&now, client.env().now()) {
                    Progress::Current => return Ok(now),
                    Progress::Failed(why) => bail!(failed(client, object, &why).await),
                    Progress::Terminating => bail!(NotReady(format!("{what} is being deleted"))),
                    Progress::InProgress(missing) => {
                        if last.split(EXPLAINED).next() != Some(&missing) {
                            tell(&missing);
                            last = missing;
                        }
                        seen = Some(now);
                    }
                }
            }
            // A server that ends every watch at once is not asked without a pause.
            client.env().sleep(pause).await;
            pause = (pause * 2).min(WATCH_PAUSE_MAX);
        }
    };
    match tokio::time::timeout(deadline, follow).await {
        Ok(found) => found,
        Err(_) => bail!(NotReady(format!("{what} was not ready after {} s: {last}", deadline.as_secs()))),
    }
}

/// What has failed, with the event that explains it.
async fn failed(client: &Client, object: &Object, why: &str) -> NotReady {
    let told = explanation(client, object).await.filter(|told| !why.contains(told.as_str()));
    let told = told.map(|told| format!("{EXPLAINED}{told}")).unwrap_or_default();
    NotReady(format!("{} {:?} failed: {why}{told}", object.kind(), object.name()))
}

/// Between what is missing and the event that explains it.
const EXPLAINED: &str = " - ";

/// The newest warning about the object or about something of its name, as its pods are. It is a help to people: where it
/// cannot be had, there is none.
async fn explanation(client: &Client, object: &Object) -> Option<String> {
    let namespace = Some(object.namespace()).filter(|namespace| !namespace.is_empty()).unwrap_or("default");
    let warnings = ListParams { limit: Some(EVENTS_MAX), ..ListParams::fields("type=Warning") };
    let found = client.namespaced::<Event>(namespace).list(&warnings).await.ok()?.items;
    newest(found, object.name())
}

fn newest(events: Vec<Event>, name: &str) -> Option<String> {
    let about = |event: &&Event| {
        let told = event.involved_object.name.as_deref().unwrap_or_default();
        told.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    let time = |event: &&Event| {
        let last = event.last_timestamp.as_ref().map(|time| time.0);
        last.or(event.event_time.as_ref().map(|time| time.0)).or(event
            .metadata
            .creation_timestamp
            .as_ref()
            .map(|time| time.0))
    };
    let newest = events.iter().filter(about).max_by_key(time)?;
    let message = newest.message.as_deref().unwrap_or_default();
    Some(format!("{}: {message}", newest.reason.as_deref().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sampan_api::UserInfo;
    use sampan_client::{ApiService, Body, full};
    use sampan_env::Env;
    use serde_json::json;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A server whose watches show `pod`, if there is one, and end; and how often it was asked for one.
    fn server(pod: Option<serde_json::Value>) -> (Client, Arc<AtomicUsize>) {
        let watches = Arc::new(AtomicUsize::new(0));
        let counted = watches.clone();
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let body = match request.uri().path() {
                "/api/v1/namespaces/default/pods" => {
                    counted.fetch_add(1, Ordering::Relaxed);
                    pod.as_ref().map(|pod| json!({"type": "ADDED", "object": pod}).to_string()).unwrap_or_default()
                }
                "/api" => json!({
                    "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "items": [{
                        "metadata": {}, "versions": [{"version": "v1", "resources": [{
                            "resource": "pods", "singularResource": "pod", "scope": "Namespaced", "verbs": ["watch"],
                            "responseKind": {"group": "", "version": "v1", "kind": "Pod"},
                        }]}],
                    }],
                })
                .to_string(),
                _ => json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "items": []})
                    .to_string(),
            };
            let response = http::Response::builder()
                .header("content-type", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
            std::future::ready(Ok(response.body(full(body)).expect("an answer")))
        });
        let service = ApiService::new(tower::util::MapFuture::new(service, |future| {
            let future: futures::future::BoxFuture<'static, _> = Box::pin(future);
            future
        }));
        (Client::in_process(service, UserInfo::apiserver(), "test", &Env::system()), watches)
    }

    #[test]
    fn the_newest_warning_about_an_object_or_its_pods_explains_it() {
        let event = |name: &str, minute: u32, message: &str| -> Event {
            let time = format!("2026-01-01T00:{minute:02}:00Z");
            let value = json!({"metadata": {}, "involvedObject": {"name": name}, "reason": "Failed", "message": message,
                "lastTimestamp": time});
            serde_json::from_value(value).expect("an event")
        };
        let all = vec![event("web-1-a", 1, "old"), event("web-1-b", 3, "new"), event("website", 9, "another's")];
        assert_eq!(newest(all.clone(), "web").as_deref(), Some("Failed: new"));
        assert_eq!(newest(all, "db"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_ends_every_watch_is_not_asked_in_a_hot_loop() {
        let (client, watches) = server(None);
        let discovery = client.discover().await.expect("discovery");
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}});
        let pod = Object::from_value(pod).expect("an object");
        let error = until_current(&client, &discovery, &pod, Duration::from_secs(60), |_| ()).await.expect_err("never");
        assert!(error.is::<NotReady>() && error.to_string().contains("60 s"), "{error}");
        let asked = watches.load(Ordering::Relaxed);
        assert!((10..40).contains(&asked), "{asked}");
    }
}
