//! A worker's supervisor: a pod whose worker fails loses its containers, not its worker.

#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use crate::limits::{START_BACKOFF_FIRST, START_BACKOFF_MAX};
use crate::observed::Observed;
use crate::plan::doubled;
use crate::worker::{PodFeed, RunningContainers, Shared, Worker};
use futures::future::FutureExt;
use sampan_api::k8s::api::core::v1::Pod;
use sampan_client::EventType;
use sampan_env::CancellationToken;
use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

/// Runs the pod's worker until the pod is gone or the node ends. One that panics has its containers ended and is begun
/// again, later each time, with what the ledger knows.
pub(crate) async fn supervise(
    shared: Arc<Shared>,
    pod: Arc<Pod>,
    mut before: Option<Observed>,
    mut feed: PodFeed,
    end: CancellationToken,
) {
    let mut failures = 0u32;
    let mut pod = pod;
    loop {
        let running = RunningContainers::default();
        let mut worker = Worker::new(shared.clone(), pod.clone(), before.take(), running.clone());
        // Nothing of a worker is used after its panic but what stands in `running`, behind a lock.
        match AssertUnwindSafe(worker.run(&mut feed, &end)).catch_unwind().await {
            Ok(true) => return worker.forget().await,
            // A run ends with the node and is begun again at the next start. The ledger stays.
            Ok(false) => return running.kill(),
            Err(panic) => {
                drop(worker);
                tell(&shared, &pod, &text_of(panic.as_ref()));
                running.end().await;
            }
        }
        let delay = doubled(START_BACKOFF_FIRST, failures, START_BACKOFF_MAX);
        failures = failures.saturating_add(1);
        tokio::select! {
            () = end.cancelled() => return,
            () = shared.env.sleep(delay) => {}
            gone = is_gone(&mut feed) => if !gone { return },
        }
        if let Some(latest) = feed.borrow().clone() {
            pod = latest;
        }
        before = known(&shared, &pod).await;
        if feed.borrow().is_none() {
            return Worker::new(shared, pod, before, RunningContainers::default()).forget().await;
        }
    }
}

/// Returns when the pod is gone (true), or nobody tells of it any more (false).
async fn is_gone(feed: &mut PodFeed) -> bool {
    feed.wait_for(Option::is_none).await.is_ok()
}

async fn known(shared: &Arc<Shared>, pod: &Pod) -> Option<Observed> {
    let (ledger, uid) = (shared.ledger.clone(), pod.metadata.uid.clone()?);
    match sampan_env::blocking(move || ledger.get(&uid)).await {
        Ok(Ok(entry)) => entry.map(|entry| entry.observed).or_else(|| Observed::of_status(pod, shared.env.now())),
        Ok(Err(error)) => {
            tracing::error!(%error, "what ran of a pod whose worker failed is not known");
            Observed::of_status(pod, shared.env.now())
        }
        Err(error) => {
            tracing::error!(%error, "the ledger's reader ended");
            None
        }
    }
}

fn tell(shared: &Shared, pod: &Pod, why: &str) {
    tracing::error!(pod = pod.metadata.name, namespace = pod.metadata.namespace, why, "a pod's worker panicked");
    let message =
        format!("error running pod: its worker panicked: {why}; its containers are ended, and it is begun again");
    shared.events.event(sampan_client::reference(pod), EventType::Warning, "FailedSync", message);
}

/// The message of a panic.
fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no reason is known".to_owned())
}
