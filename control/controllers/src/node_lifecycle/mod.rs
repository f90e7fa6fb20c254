//! Notices nodes that fall silent or ill, taints them, and takes pods away from those that stay so.

mod plan;

pub use plan::{evicts, readiness, silent, taints, tolerates_for};

use crate::{Context, Error, Settings, limits, owner, pod, time};
use parking_lot::Mutex;
use sampan_api::k8s::api::coordination::v1::Lease;
use sampan_api::k8s::api::core::v1::{Node, Pod};
use sampan_api::{RecordKey, UserInfo};
use sampan_client::informer::by_field;
use sampan_client::{Change, Client, DeleteParams, EventRecorder, EventType, InformerSpec, Lister, Patch, reference};
use sampan_env::Env;
use sampan_reconcile::{Conflict, Reconcile, Requeue, Runtime, update_status};
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The namespace of kubelets' Leases.
const LEASES: &str = "kube-node-lease";
const BY_NODE: &str = "node";

/// Time of the last sign of life of each node, on our own clock: a wall clock that jumps makes no node silent.
#[derive(Default)]
struct Heard(Mutex<HashMap<Arc<str>, (Sign, Instant)>>);

/// Values that change with each sign of life.
#[derive(Clone, Debug, Default, PartialEq)]
struct Sign {
    renewed: Option<std::time::SystemTime>,
    heartbeat: Option<std::time::SystemTime>,
}

impl Heard {
    /// Notes what may be a sign of life; returns for how long there had been none, if it is one.
    fn note(&self, node: &Arc<str>, change: impl FnOnce(&mut Sign), now: Instant) -> Option<Duration> {
        let mut all = self.0.lock();
        let entry = all.entry(node.clone()).or_insert_with(|| (Sign::default(), now));
        let mut sign = entry.0.clone();
        change(&mut sign);
        if sign == entry.0 {
            return None;
        }
        let silence = now.duration_since(entry.1);
        *entry = (sign, now);
        Some(silence)
    }

    fn since(&self, node: &str, now: Instant) -> Duration {
        self.0.lock().get(node).map_or(Duration::ZERO, |(_, at)| now.duration_since(*at))
    }

    fn forget(&self, node: &str) {
        self.0.lock().remove(node);
    }
}

/// Since when each pod of a node has had its taints to bear, by UID. Neither the taint (a pod may have come later, and
/// not every taint has a time) nor the pod says so.
#[derive(Default)]
struct TaintedSince(Mutex<HashMap<Arc<str>, HashMap<String, Instant>>>);

impl TaintedSince {
    /// For these pods, from now on for those that were not there; others are forgotten.
    fn since<'a>(
        &self,
        node: &Arc<str>,
        pods: impl Iterator<Item = &'a str>,
        now: Instant,
    ) -> HashMap<String, Instant> {
        let mut all = self.0.lock();
        let old = all.remove(node).unwrap_or_default();
        let new: HashMap<String, Instant> =
            pods.map(|uid| (uid.to_owned(), old.get(uid).copied().unwrap_or(now))).collect();
        if !new.is_empty() {
            all.insert(node.clone(), new.clone());
        }
        new
    }

    fn forget(&self, node: &str) {
        self.0.lock().remove(node);
    }
}

struct Nodes {
    tainted: Arc<TaintedSince>,
    nodes: Lister<Node>,
    pods: Lister<Pod>,
    heard: Arc<Heard>,
    client: Client,
    events: EventRecorder,
    settings: Settings,
    env: Env,
}

pub(crate) fn start(context: &Context) -> Result<(), Error> {
    let component = "node-controller";
    let client = context.client(UserInfo::controller("node"), component)?;
    let env = context.config.env.clone();
    let (nodes, pods) = (context.informers.of::<Node>()?, context.informers.of::<Pod>()?);
    let leases = context.informers.select(InformerSpec::of::<Lease>().namespace(LEASES))?;
    pods.add_index(BY_NODE, by_field("spec.nodeName"));
    let (heard, tainted) = (Arc::new(Heard::default()), Arc::new(TaintedSince::default()));
    let mut runtime: Runtime = Runtime::new("node", &env, &context.config.tasks);
    {
        let (heard, tainted, queue, env) = (heard.clone(), tainted.clone(), runtime.queue().clone(), env.clone());
        nodes.add_handler(move |change| match change {
            Change::Applied { new, .. } => {
                if let Ok(node) = new.typed::<Node>() {
                    let beat = plan::ready(&node).and_then(|one| one.last_heartbeat_time.as_ref()).map(time::system);
                    heard.note(&new.key.name, |sign| sign.heartbeat = beat, env.instant());
                }
                queue.add(new.key.clone());
            }
            Change::Deleted { last } => {
                heard.forget(&last.key.name);
                tainted.forget(&last.key.name);
            }
            Change::Synced | Change::Lost => {}
        });
        runtime.read(&nodes);
    }
    {
        let (heard, queue, env) = (heard.clone(), runtime.queue().clone(), env.clone());
        let grace = context.config.settings.node_grace;
        leases.add_handler(move |change| {
            if let Change::Applied { new, .. } = change
                && let Ok(lease) = new.typed::<Lease>()
            {
                let renewed = lease.spec.as_ref().and_then(|spec| spec.renew_time.as_ref()).map(time::system_micro);
                let silence = heard.note(&new.key.name, |sign| sign.renewed = renewed, env.instant());
                // Nobody waits for the next silence of a node that was given up.
                if silence.is_some_and(|silence| silence >= grace) {
                    queue.add(RecordKey::new("", new.key.name.clone()));
                }
            }
        });
        runtime.read(&leases);
    }
    {
        // A pod that comes to a tainted node has its own time to leave.
        let (queue, all) = (runtime.queue().clone(), nodes.lister::<Node>());
        runtime.watch_with(&pods, move |record, gone| {
            let node = record.field("spec.nodeName").unwrap_or_default();
            let is_ill = |node: &Node| readiness(node) != "True" || evicts(node);
            if !gone && !node.is_empty() && all.get("", node).is_some_and(|node| is_ill(&node)) {
                queue.add(RecordKey::new("", node));
            }
        });
    }
    let reconciler = Nodes {
        nodes: nodes.lister(),
        pods: pods.lister(),
        heard,
        tainted,
        events: context.recorder(&client, component),
        client,
        settings: context.config.settings.clone(),
        env,
    };
    runtime.start(reconciler, limits::WORKERS);
    Ok(())
}

impl Reconcile for Nodes {
    async fn reconcile(&self, key: &RecordKey) -> Result<Requeue, Error> {
        let Some(node) = self.nodes.get("", &key.name) else { return Ok(Requeue::Never) };
        let api = self.client.all::<Node>();
        let name = &*key.name;
        let (grace, silence) = (plan::grace(&node, &self.settings), self.heard.since(name, self.env.instant()));
        let mut requeue = Requeue::Never;
        let mut node = Node::clone(&node);
        if silence >= grace {
            if let Some(conditions) = silent(&node, self.env.now()) {
                let change = |node: &mut Node| {
                    node.status.get_or_insert_default().conditions = Some(conditions.clone());
                    true
                };
                // A status of before the last heartbeat must not overwrite it.
                node = match update_status(&api, &node, Conflict::Fail, change).await? {
                    Some(written) => written,
                    None => return Ok(Requeue::Never),
                };
                let message = format!("Node {name} status is now: NodeNotReady");
                self.events.event(reference(&node), EventType::Normal, "NodeNotReady", message);
            }
        } else {
            requeue = Requeue::After((grace - silence).max(limits::NODE_RECHECK_MIN));
        }
        if let Some(taints) = taints(&node, self.env.now()) {
            node.spec.get_or_insert_default().taints = (!taints.is_empty()).then_some(taints);
            node = match api.update(name, &node).await {
                Err(error) if error.is_not_found() => return Ok(Requeue::Never),
                other => other.map_err(Error::of(format!("taints of node {name}")))?,
            };
        }
        Ok(requeue.sooner(self.evict_pods(&node).await?))
    }
}

impl Nodes {
    async fn evict_pods(&self, node: &Node) -> Result<Requeue, Error> {
        let name: Arc<str> = owner::name(&node.metadata).into();
        // One that has never reported has said nothing of its pods either.
        let is_ill = plan::ready(node).is_some_and(|condition| condition.status != "True");
        let (mut requeue, mut acted) = (Requeue::Never, 0);
        if !evicts(node) {
            self.tainted.forget(&name);
            if !is_ill {
                return Ok(requeue);
            }
        }
        let now = self.env.instant();
        let pods = self.pods.by_index(BY_NODE, &name);
        let has_taints = |one: &Arc<Pod>| tolerates_for(node, one).map(|_| owner::uid(&one.metadata).to_owned());
        let tainted: Vec<String> = pods.iter().filter_map(has_taints).collect();
        let since = self.tainted.since(&name, tainted.iter().map(String::as_str), now);
        for one in pods {
            if acted >= limits::EVICTION_BATCH_MAX {
                return Ok(requeue.sooner(Requeue::After(limits::NODE_MONITOR_PERIOD)));
            }
            if pod::is_finished(&one) {
                continue;
            }
            if is_ill && pod::is_ready(&one) {
                self.mark_not_ready(&one).await?;
                acted += 1;
            }
            if owner::is_being_deleted(&one.metadata) {
                continue;
            }
            let Some(tolerates_for) = tolerates_for(node, &one) else { continue };
            let for_how_long =
                since.get(owner::uid(&one.metadata)).map_or(Duration::ZERO, |then| now.duration_since(*then));
            if for_how_long >= tolerates_for {
                self.evict(&one).await?;
                acted += 1;
            } else {
                requeue = requeue.sooner(Requeue::After(tolerates_for - for_how_long));
            }
        }
        Ok(requeue)
    }

    /// Nobody may send it anything: its node cannot say how it is.
    async fn mark_not_ready(&self, one: &Arc<Pod>) -> Result<(), Error> {
        let name = owner::name(&one.metadata);
        let patch = Patch::Strategic(json!({"metadata": {"uid": owner::uid(&one.metadata)}, "status": {"conditions": [
            {"type": "Ready", "status": "False", "lastTransitionTime": time::of(self.env.now())}]}}));
        let api = self.client.namespaced::<Pod>(owner::namespace(&one.metadata));
        match api.patch_status(name, &patch).await {
            Ok(_) => {
                self.events.event(reference(&**one), EventType::Warning, "NodeNotReady", "Node is not ready");
                Ok(())
            }
            Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
            Err(error) => Err(Error::of(format!("status of pod {name}"))(error)),
        }
    }

    async fn evict(&self, one: &Arc<Pod>) -> Result<(), Error> {
        let (namespace, name) = (owner::namespace(&one.metadata), owner::name(&one.metadata));
        let api = self.client.namespaced::<Pod>(namespace);
        let patch = Patch::Strategic(json!({"metadata": {"uid": owner::uid(&one.metadata)}, "status": {"conditions": [
            {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager",
             "message": "Taint manager: deleting due to NoExecute taint",
             "lastTransitionTime": time::of(self.env.now())}]}}));
        let outcome = async {
            api.patch_status(name, &patch).await?;
            api.delete(name, &DeleteParams::uid(owner::uid(&one.metadata))).await
        };
        match outcome.await {
            Ok(_) => {
                let message = format!("Marking for deletion Pod {namespace}/{name}");
                self.events.event(reference(&**one), EventType::Normal, "TaintManagerEviction", message);
                Ok(())
            }
            Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
            Err(error) => Err(Error::of(format!("evict pod {name}"))(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_a_new_sign_counts_as_one() {
        let env = Env::simulated(1, std::time::SystemTime::UNIX_EPOCH);
        let (heard, node): (Heard, Arc<str>) = (Heard::default(), "n".into());
        let at = |seconds| Some(std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(heard.note(&node, |sign| sign.renewed = at(1), env.instant()), Some(Duration::ZERO));
        env.sleep(Duration::from_secs(10)).await;
        assert_eq!(heard.note(&node, |sign| sign.renewed = at(1), env.instant()), None);
        assert_eq!(heard.since("n", env.instant()), Duration::from_secs(10));
        let silence = heard.note(&node, |sign| sign.heartbeat = at(1), env.instant());
        assert_eq!(silence, Some(Duration::from_secs(10)), "what ends a silence says how long it was");
        assert_eq!(heard.since("n", env.instant()), Duration::ZERO);
        assert_eq!(heard.since("unknown", env.instant()), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_bears_a_taint_from_when_it_was_first_seen_with_it() {
        let env = Env::simulated(1, std::time::SystemTime::UNIX_EPOCH);
        let (tainted, node): (TaintedSince, Arc<str>) = (TaintedSince::default(), "n".into());
        let since = |pods: &[&str]| {
            let now = env.instant();
            let mut all: Vec<(String, u64)> = tainted
                .since(&node, pods.iter().copied(), now)
                .into_iter()
                .map(|(uid, then)| (uid, now.duration_since(then).as_secs()))
                .collect();
            all.sort();
            all
        };
        let of = |all: &[(&str, u64)]| all.iter().map(|(uid, s)| ((*uid).to_owned(), *s)).collect::<Vec<_>>();
        assert_eq!(since(&["a"]), of(&[("a", 0)]));
        env.sleep(Duration::from_secs(5)).await;
        assert_eq!(since(&["a", "b"]), of(&[("a", 5), ("b", 0)]));
        env.sleep(Duration::from_secs(5)).await;
        assert_eq!(since(&["b"]), of(&[("b", 5)]));
        assert_eq!(since(&["a", "b"]), of(&[("a", 0), ("b", 5)]), "one that no longer had to begins anew");
        tainted.forget("n");
        assert_eq!(since(&["b"]), of(&[("b", 0)]));
    }
}
