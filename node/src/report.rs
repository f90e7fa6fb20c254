//! A worker's records: the pod's status and its end in the API, its entry in the ledger, and the state that readers of
//! its logs see.

#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use crate::ledger::LedgerEntry;
use crate::observed::{CONTAINER_CREATING, ContainerState};
use crate::status::{StatusInput, status};
use crate::worker::Worker;
use sampan_api::k8s::api::core::v1::Pod;
use sampan_client::{Api, DeleteParams, Patch};
use serde_json::{Value, json};
use std::sync::Arc;

impl Worker {
    fn api(&self) -> (Api<Pod>, &str) {
        let metadata = &self.pod.metadata;
        let pods = self.shared.client.namespaced::<Pod>(metadata.namespace.as_deref().unwrap_or_default());
        (pods, metadata.name.as_deref().unwrap_or_default())
    }

    /// Writes the status if it changed. False: it could not be written and is to be tried again.
    pub(crate) async fn publish(&mut self) -> bool {
        if !self.dirty {
            return true;
        }
        self.tell_log_readers();
        let wanted = self.wanted();
        let status = status(&StatusInput {
            pod: &self.pod,
            observed: &self.observed,
            restart_policy: wanted.restart_policy,
            terminating: wanted.deletion_grace.is_some(),
            host_ip: &self.shared.host_ip,
            now: self.shared.env.now(),
        });
        if status == self.published {
            self.dirty = false;
            return true;
        }
        let patch = Patch::Strategic(json!({"metadata": {"uid": self.uid}, "status": status}));
        let (pods, name) = self.api();
        match pods.patch_status(name, &patch).await {
            Ok(pod) => {
                // Conditions keep the times that this node just wrote.
                self.pod = Arc::new(pod);
                self.published = status;
                self.dirty = false;
                true
            }
            // Gone, or another pod of that name: the feed will say so.
            Err(error) if error.is_not_found() || error.is_conflict() => {
                self.dirty = false;
                true
            }
            Err(error) => {
                tracing::warn!(pod = %self.pod_name(), %error, "the status could not be written");
                false
            }
        }
    }

    /// Whether the API's copy of the pod says otherwise than this worker last wrote: the phase, or a condition of its own.
    pub(crate) fn is_misstated(&self) -> bool {
        let Some(conditions) = self.published["conditions"].as_array() else { return false };
        let said = self.pod.status.as_ref();
        let phase = said.and_then(|status| status.phase.as_deref());
        let differs = |condition: &Value| {
            let mut all = said.iter().flat_map(|status| status.conditions.iter().flatten());
            let same = all.find(|one| condition["type"] == one.type_.as_str());
            same.is_none_or(|one| condition["status"] != one.status.as_str())
        };
        self.published["phase"].as_str() != phase || conditions.iter().any(differs)
    }

    /// Takes the object out of the API. True when that was accepted: who else holds it may keep it for a while.
    pub(crate) async fn remove(&mut self) -> bool {
        let params =
            DeleteParams { grace_period_seconds: Some(0), uid: Some(self.uid.clone()), ..DeleteParams::default() };
        let (pods, name) = self.api();
        match pods.delete(name, &params).await {
            Ok(_) => true,
            Err(error) if error.is_not_found() || error.is_conflict() => true,
            Err(error) => {
                tracing::warn!(pod = %self.pod_name(), %error, "the pod could not be removed");
                false
            }
        }
    }

    /// Writes what is observed to the ledger. What could not be written is due again.
    pub(crate) async fn save(&mut self) -> Result<(), String> {
        let entry = LedgerEntry {
            uid: self.uid.clone(),
            namespace: self.pod.metadata.namespace.clone().unwrap_or_default(),
            name: self.pod.metadata.name.clone().unwrap_or_default(),
            observed: self.observed.clone(),
        };
        let ledger = self.shared.ledger.clone();
        let saved = match sampan_env::blocking(move || ledger.save(&entry)).await {
            Ok(saved) => saved.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = &saved {
            tracing::error!(pod = %self.pod_name(), error, "what runs could not be recorded");
        }
        self.unsaved = saved.is_err();
        saved
    }

    fn tell_log_readers(&self) {
        self.logs(|logs| {
            for one in &self.observed.containers {
                let of_container = logs.containers.entry(one.name.to_string()).or_default();
                of_container.waiting = match &one.state {
                    ContainerState::Waiting { reason, .. } => Some(reason.clone()),
                    ContainerState::Pulling { .. } | ContainerState::Starting { .. } => Some(CONTAINER_CREATING.into()),
                    // A run that did not begin left no log: readers have the one before.
                    ContainerState::Terminated(ended) if ended.container_id.is_empty() => Some(ended.reason.clone()),
                    ContainerState::Terminated(_)
                    | ContainerState::Running { .. }
                    | ContainerState::Stopping { .. } => None,
                };
            }
        });
    }

    /// The pod is gone: what runs of it is ended, and what was kept for it is given back.
    pub(crate) async fn forget(mut self) {
        // Starts that are under way end with their futures.
        self.work.clear();
        self.running.end().await;
        self.shared.runtime.remove_pod(&self.uid).await;
        self.shared.volumes.remove(&self.uid);
        let key = self.logs_key();
        {
            let mut logs = self.shared.logs.lock();
            if logs.get(&key).is_some_and(|logs| logs.uid == self.uid) {
                logs.remove(&key);
            }
        }
        let (ledger, uid) = (self.shared.ledger.clone(), self.uid.clone());
        match sampan_env::blocking(move || ledger.remove(&uid)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the ledger's entry stays"),
            Err(error) => tracing::error!(%error, "the ledger's writer ended"),
        }
    }
}
