//! Collects pods that nobody else will: of nodes that are gone, going without ever having had a node, and finished ones
//! beyond a number (pkg/controller/podgc).

use crate::{Context, Error, limits, owner, pod, time};
use sampan_api::UserInfo;
use sampan_api::k8s::api::core::v1::{Node, Pod};
use sampan_client::{Client, DeleteParams, Lister, Patch};
use sampan_env::Env;
use serde_json::json;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio::time::Instant;

/// The reason why a pod is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its node has been gone for the length of the quarantine.
    NodeGone,
    /// It is being deleted and never had a node.
    NeverScheduled,
    /// It is finished, and more are than may stay.
    TooManyFinished,
}

/// The pods to delete. `missing`: nodes that have been gone for long enough.
pub fn plan(pods: &[Arc<Pod>], missing: &HashSet<String>, finished_max: usize) -> Vec<(Arc<Pod>, Why)> {
    let mut go: Vec<(Arc<Pod>, Why)> = Vec::new();
    let mut finished: Vec<&Arc<Pod>> = Vec::new();
    for one in pods {
        let node = pod::node(one);
        if node.is_empty() && owner::is_being_deleted(&one.metadata) {
            go.push((one.clone(), Why::NeverScheduled));
        } else if missing.contains(node) {
            go.push((one.clone(), Why::NodeGone));
        } else if pod::is_finished(one) {
            finished.push(one);
        }
    }
    let surplus = finished.len().saturating_sub(finished_max);
    if surplus > 0 {
        finished.sort_by_key(|one| {
            (one.metadata.creation_timestamp.as_ref().map(|then| then.0), owner::name(&one.metadata))
        });
        go.extend(finished.into_iter().take(surplus).map(|one| (one.clone(), Why::TooManyFinished)));
    }
    go.truncate(limits::POD_GC_BATCH_MAX);
    go
}

struct Collector {
    pods: Lister<Pod>,
    nodes: Lister<Node>,
    client: Client,
    env: Env,
    finished_max: usize,
    /// Nodes that pods name and that are not there, since when.
    quarantine: HashMap<String, Instant>,
}

pub(crate) fn start(context: &Context) -> Result<(), Error> {
    let user = UserInfo::service_account("kube-system", "pod-garbage-collector");
    let client = context.client(user, "pod-garbage-collector")?;
    let (pods, nodes) = (context.informers.of::<Pod>()?, context.informers.of::<Node>()?);
    let mut collector = Collector {
        pods: pods.lister(),
        nodes: nodes.lister(),
        client,
        env: context.config.env.clone(),
        finished_max: context.config.settings.terminated_pods_max,
        quarantine: HashMap::new(),
    };
    context.config.tasks.spawn_until_cancelled(async move {
        for informer in [&pods, &nodes] {
            if informer.wait_synced().await.is_err() {
                return;
            }
        }
        loop {
            collector.round().await;
            collector.env.sleep(limits::POD_GC_PERIOD).await;
        }
    });
    Ok(())
}

impl Collector {
    async fn round(&mut self) {
        let pods = self.pods.list();
        let missing = match self.missing(&pods).await {
            Ok(missing) => missing,
            Err(error) => {
                tracing::warn!(%error, "pods of nodes that are gone are not collected now");
                HashSet::new()
            }
        };
        for (one, why) in plan(&pods, &missing, self.finished_max) {
            if let Err(error) = self.collect(&one, why).await {
                tracing::warn!(%error, "a pod is not collected now");
            }
        }
    }

    /// Nodes that have been gone for the length of the quarantine, and that the server has not either.
    async fn missing(&mut self, pods: &[Arc<Pod>]) -> Result<HashSet<String>, Error> {
        let now = self.env.instant();
        let named: HashSet<&str> = pods.iter().map(|one| pod::node(one)).filter(|node| !node.is_empty()).collect();
        let gone: HashSet<&str> = named.into_iter().filter(|node| self.nodes.get("", node).is_none()).collect();
        self.quarantine.retain(|node, _| gone.contains(node.as_str()));
        let mut missing = HashSet::new();
        for node in gone {
            let since = *self.quarantine.entry(node.to_owned()).or_insert(now);
            if now.duration_since(since) >= limits::ORPHAN_QUARANTINE
                && self.client.all::<Node>().get_opt(node).await?.is_none()
            {
                missing.insert(node.to_owned());
            }
        }
        Ok(missing)
    }

    async fn collect(&self, one: &Pod, why: Why) -> Result<(), Error> {
        let name = owner::name(&one.metadata);
        let api = self.client.namespaced::<Pod>(owner::namespace(&one.metadata));
        let outcome = async {
            if why == Why::NodeGone && !pod::is_finished(one) {
                let patch = json!({"metadata": {"uid": owner::uid(&one.metadata)}, "status": {"phase": "Failed", "conditions": [
                    {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC",
                     "message": "PodGC: node no longer exists", "lastTransitionTime": time::of(self.env.now())}]}});
                api.patch_status(name, &Patch::Strategic(patch)).await?;
            }
            let params = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::uid(owner::uid(&one.metadata)) };
            api.delete(name, &params).await
        };
        match outcome.await {
            Err(error) if !error.is_not_found() && !error.is_conflict() => {
                Err(Error::of(format!("collect pod {name}"))(error))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_goes_and_why() {
        let pod = |name: &str, node: &str, phase: &str, going: bool| -> Arc<Pod> {
            let mut value = json!({"metadata": {"name": name}, "spec": {"containers": [], "nodeName": node}, "status": {"phase": phase}});
            if going {
                value["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
            }
            Arc::new(serde_json::from_value(value).expect("a pod"))
        };
        let pods = [
            pod("runs", "here", "Running", false),
            pod("lost", "gone", "Running", false),
            pod("waits", "", "Pending", false),
            pod("never", "", "Pending", true),
            pod("done-a", "here", "Succeeded", false),
            pod("done-b", "here", "Failed", false),
        ];
        let missing = HashSet::from(["gone".to_owned()]);
        let go: Vec<String> = plan(&pods, &missing, 1)
            .iter()
            .map(|(one, why)| format!("{} {why:?}", owner::name(&one.metadata)))
            .collect();
        assert_eq!(go, ["lost NodeGone", "never NeverScheduled", "done-a TooManyFinished"]);
    }
}
