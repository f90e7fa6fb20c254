//! Conditions of pods and Events that say what was decided. None of it holds a cycle up.

use crate::limits;
use crate::scheduler::Cycled;
use sampan_api::k8s::api::core::v1::Pod;
use sampan_api::time::rfc3339;
use sampan_client::{Client, EventRecorder, EventType, Patch, reference};
use sampan_env::{Env, Tasks};
use sampan_scheduler_core::{CycleResult, PodInfo, shortened};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Tells why a pod was not placed, in its condition and its Event.
pub(crate) fn report(cycled: &Cycled, events: &EventRecorder) -> Option<(Arc<Pod>, Value)> {
    let reason = match cycled.outcome.result {
        CycleResult::Placed(_) => return None,
        CycleResult::Unschedulable | CycleResult::Held => "Unschedulable",
        CycleResult::Failed => "SchedulerError",
    };
    let message = &cycled.outcome.message;
    events.event(
        reference(&*cycled.pod.pod),
        EventType::Warning,
        "FailedScheduling",
        shortened(message, limits::EVENT_MESSAGE),
    );
    let condition = condition(&cycled.pod, reason, message)?;
    Some((Arc::clone(&cycled.pod.pod), condition))
}

/// The condition `PodScheduled=False`, unless the pod has just that already.
fn condition(pod: &PodInfo, reason: &str, message: &str) -> Option<Value> {
    let status = pod.pod.status.as_ref();
    let old = status.and_then(|status| status.conditions.as_ref()?.iter().find(|c| c.type_ == "PodScheduled").cloned());
    let same = old.is_some_and(|old| {
        old.status == "False" && old.reason.as_deref() == Some(reason) && old.message.as_deref() == Some(message)
    });
    (!same).then(|| json!({"type": "PodScheduled", "status": "False", "reason": reason, "message": message}))
}

/// Writes conditions, a few at a time.
#[derive(Clone)]
pub(crate) struct Conditions {
    pub client: Client,
    pub env: Env,
    pub tasks: Tasks,
    pub turns: Arc<Semaphore>,
}

impl Conditions {
    pub async fn write(&self, pod: Arc<Pod>, mut condition: Value) {
        let Ok(turn) = Arc::clone(&self.turns).acquire_owned().await else { return };
        let old_status = pod.status.as_ref().and_then(|status| {
            let conditions = status.conditions.as_ref()?;
            Some(conditions.iter().find(|c| c.type_ == "PodScheduled")?.status.clone())
        });
        if old_status.as_deref() != Some("False") {
            condition["lastTransitionTime"] = Value::String(rfc3339(self.env.now()));
        }
        let this = self.clone();
        self.tasks.spawn_until_cancelled(async move {
            let meta = &pod.metadata;
            let (namespace, name) = (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default());
            // The uid is a precondition: a later pod of that name is none of ours.
            let patch = json!({"metadata": {"uid": meta.uid}, "status": {"conditions": [condition]}});
            let api = this.client.namespaced::<Pod>(&namespace);
            if let Err(error) = api.patch_status(&name, &Patch::Strategic(patch)).await
                && !error.is_not_found()
                && !error.is_conflict()
            {
                tracing::warn!(%error, %namespace, %name, "a pod's condition could not be written");
            }
            drop(turn);
        });
    }
}

/// A cycle on its way onto the record.
pub(crate) struct Decided {
    pub cycled: Cycled,
    pub micros: u64,
}
