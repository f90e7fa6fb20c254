//! Waiting until what was applied is there.

use crate::apply::api_of;
use crate::kstatus::{Progress, progress};
use crate::limits::{WATCH_PAUSE_MAX, WATCH_PAUSE_MIN};
use anyhow::{Context, bail};
use futures::StreamExt;
use sampan_api::Object;
use sampan_client::{Client, Discovery, WatchEvent, WatchParams};
use std::time::Duration;

/// The reason why an object did not become ready, for people.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotReady(String);

/// Follows one object until it is Current. `tell` hears what is still missing, each time that it changes. The error is a
/// [`NotReady`] where the object is what did not come to be.
pub async fn until_current(
    client: &Client,
    discovery: &Discovery,
    object: &Object,
    deadline: Duration,
    tell: impl Fn(&str),
) -> anyhow::Result<Object> {
    let mut last = String::new();
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
            while let Some(event) = events.next().await {
                let record = match event {
                    Ok(WatchEvent::Added(record) | WatchEvent::Modified(record)) => record,
                    Ok(WatchEvent::Deleted(_)) => bail!(NotReady(format!("{what} was deleted"))),
                    Ok(WatchEvent::Bookmark { .. }) => continue,
                    // The watch ended: begun anew.
                    Err(_) => break,
                };
                pause = WATCH_PAUSE_MIN;
                let now = record.object();
                match progress(&now) {
                    Progress::Current => return Ok(now),
                    Progress::Failed(why) => bail!(NotReady(format!("{what} failed: {why}"))),
                    Progress::Terminating => bail!(NotReady(format!("{what} is being deleted"))),
                    Progress::InProgress(missing) => {
                        if missing != last {
                            tell(&missing);
                            last = missing;
                        }
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
