//! What the garbage collector watches.

use super::{BY_OWNER, Graph, ObjectKey, Watched};
use crate::limits;
use sampan_api::GroupVersionResource;
use sampan_client::informer::by_owner_uid;
use sampan_client::{ApiResource, Change, Client, Discovery, InformerSpec, Informers, WorkQueue};
use sampan_env::Env;
use std::collections::HashSet;
use std::sync::Arc;

/// Watches each resource that the server serves, also those that it serves later.
pub(super) struct Watcher {
    pub(super) graph: Arc<Graph>,
    pub(super) client: Client,
    pub(super) queue: WorkQueue<ObjectKey>,
    pub(super) informers: Informers,
    pub(super) env: Env,
}

impl Watcher {
    /// `start` is called once everything served at first has been read: an owner whose dependents are not known yet
    /// must not be let go as one that has none.
    pub(super) async fn run(self, start: impl FnOnce()) {
        let mut start = Some(start);
        loop {
            match self.client.discover().await {
                Ok(served) => {
                    self.unwatch(&served);
                    served.preferred().filter(|one| is_collectable(one)).for_each(|one| self.watch(one));
                    if let Some(start) = start.take() {
                        self.wait_synced().await;
                        start();
                    }
                }
                Err(error) => tracing::warn!(%error, "the garbage collector cannot see what is served"),
            }
            self.env.sleep(if start.is_some() { limits::GARBAGE_RETRY } else { limits::GARBAGE_RESYNC }).await;
        }
    }

    async fn wait_synced(&self) {
        let watched: Vec<Watched> = self.graph.watched.read().values().cloned().collect();
        let all = futures::future::join_all(watched.iter().map(|one| one.informer.wait_synced()));
        if tokio::time::timeout(limits::GARBAGE_SYNC_MAX, all).await.is_err() {
            let late: Vec<String> = watched
                .iter()
                .filter(|one| !one.informer.is_synced())
                .map(|one| one.resource.group_resource().to_string())
                .collect();
            tracing::warn!(?late, "the garbage collector starts without having read everything");
        }
    }

    /// Lets go of what is served no more.
    fn unwatch(&self, served: &Discovery) {
        let listed: HashSet<&GroupVersionResource> = served.resources.iter().map(|one| &one.resource).collect();
        // What another server has is not gone while that does not answer.
        let there = |resource: &&GroupVersionResource| {
            listed.contains(*resource) || served.stale.contains(&resource.group_version())
        };
        let gone: HashSet<GroupVersionResource> =
            self.graph.watched.read().keys().filter(|resource| !there(resource)).cloned().collect();
        self.informers.retire(|resource| gone.contains(resource));
        self.graph.watched.write().retain(|_, one| !one.informer.is_closed());
    }

    fn watch(&self, one: &ApiResource) {
        {
            let watched = self.graph.watched.read();
            if watched.contains_key(&one.resource) {
                return;
            }
            if watched.len() >= limits::GARBAGE_RESOURCES_MAX {
                let max = limits::GARBAGE_RESOURCES_MAX;
                tracing::error!(resource = %one.resource, max, "too many resources are served: it is not collected");
                return;
            }
        }
        let informer = match self.informers.select(InformerSpec::dynamic(one.resource.clone())) {
            Ok(informer) => informer,
            Err(error) => {
                tracing::warn!(resource = %one.resource, %error, "not collected");
                return;
            }
        };
        informer.add_index(BY_OWNER, by_owner_uid);
        let resource = Arc::new(one.resource.clone());
        let watched = Watched {
            resource: resource.clone(),
            kind: one.kind.clone(),
            namespaced: one.namespaced,
            informer: informer.clone(),
        };
        self.graph.watched.write().insert(one.resource.clone(), watched);
        let (graph, queue) = (self.graph.clone(), self.queue.clone());
        informer.add_handler(move |change| match change {
            Change::Applied { old, new } => {
                // A heartbeat changes neither: it costs nothing here.
                let owners_changed = !new.owners.is_empty() && old.as_ref().is_none_or(|old| old.owners != new.owners);
                if owners_changed || new.deletion.is_pending() {
                    queue.add(ObjectKey { resource: resource.clone(), key: new.key.clone() });
                }
                if let Some(old) = old
                    && old.owners != new.owners
                {
                    graph.unblocked(old, new).into_iter().for_each(|key| queue.add(key));
                }
            }
            Change::Deleted { last } => {
                graph.absent.lock().deleted(&last.uid);
                for (key, _) in graph.of_owner(&last.uid) {
                    queue.add(key);
                }
                // An owner that waits for its dependents has one fewer.
                for owner in last.owners.iter() {
                    if let Some(key) = graph.owner_key(owner, &last.key.namespace) {
                        queue.add(key);
                    }
                }
            }
            Change::Synced | Change::Lost => {}
        });
    }
}

fn is_collectable(one: &ApiResource) -> bool {
    let has_all = ["list", "watch", "delete"].iter().all(|verb| one.has_verb(verb));
    has_all && one.resource.resource != "events"
}
