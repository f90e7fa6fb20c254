//! Accepts the names of definitions of kinds, says when they are served, and takes their objects away before they go
//! (apiextensions-apiserver's naming, establishing, approval and finalizing controllers, in one).
//!
//! It belongs to the API server: it runs wherever one does.

mod plan;

use crate::{ClientOf, Error, limits};
use parking_lot::Mutex;
use plan::{Names, Taken};
use sampan_api::{GroupVersionResource, Object, RecordKey, UserInfo};
use sampan_client::{Client, DeleteParams, Informer, InformerSpec, Informers, ListParams, Patch};
use sampan_env::{Env, Tasks};
use sampan_reconcile::{Reconcile, Requeue, Runtime};
use serde_json::json;
use std::collections::{BTreeSet, HashMap};

/// Keeps an object of a definition until its instances are gone.
const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

fn definitions() -> GroupVersionResource {
    GroupVersionResource::new("apiextensions.k8s.io", "v1", "customresourcedefinitions")
}

/// Starts it, as the API server itself.
///
/// # Errors
/// When no client can be made.
pub fn start(client_of: &ClientOf, env: &Env, tasks: &Tasks) -> Result<(), Error> {
    let client = client_of(UserInfo::apiserver())?.with_user_agent("kube-apiserver/definitions");
    let informers = Informers::new(client.clone(), env, tasks);
    let informer = informers.select(InformerSpec::dynamic(definitions()))?;
    let mut runtime: Runtime = Runtime::new("definitions", env, tasks);
    let (queue, all) = (runtime.queue().clone(), informer.store().clone());
    runtime.watch_with(&informer, move |record, gone| {
        queue.add(record.key.clone());
        // Its names are free for others.
        let others = all.list();
        others.iter().filter(|_| gone).for_each(|other| queue.add(other.key.clone()));
    });
    let queue = runtime.queue().clone();
    let again = move |key: RecordKey| queue.add(key);
    let reconciler =
        Definitions { informer, client, env: env.clone(), written: Mutex::default(), again: Box::new(again) };
    // One at a time: who is first has the name.
    runtime.start(reconciler, 1);
    Ok(())
}

struct Definitions {
    informer: Informer,
    client: Client,
    env: Env,
    /// Names that were accepted and that the informer may not show yet: by definition, with the revision.
    written: Mutex<HashMap<RecordKey, (u64, Names)>>,
    again: Box<dyn Fn(RecordKey) + Send + Sync>,
}

impl Reconcile for Definitions {
    async fn reconcile(&self, key: &RecordKey) -> Result<Requeue, Error> {
        let Some(record) = self.informer.store().get(key) else {
            self.written.lock().remove(key);
            return Ok(Requeue::Never);
        };
        // What was written here and is not shown yet comes again when it is.
        if self.written.lock().get(key).is_some_and(|(revision, _)| *revision > record.mod_revision) {
            return Ok(Requeue::Never);
        }
        let definition = record.object();
        if definition.deletion_timestamp().is_some() {
            return self.finalize(key, definition).await;
        }
        let mut next = definition.clone();
        let now = sampan_api::time::rfc3339(self.env.now());
        plan::names(&mut next, &self.taken(key, &definition), &now);
        plan::approval(&mut next, &now);
        let accepted = plan::is_true(&next, "NamesAccepted");
        let mut waits = false;
        if accepted && !plan::is_true(&next, "Established") {
            // First the names, by which it is served; then, once it is, whoever waits for it.
            if plan::is_true(&definition, "NamesAccepted") && self.is_served(&definition).await {
                plan::establish(&mut next, &now);
            } else {
                waits = true;
            }
        }
        if next != definition {
            self.write(key, &next).await?;
        }
        Ok(if waits { Requeue::After(limits::DEFINITIONS_POLL) } else { Requeue::Never })
    }
}

impl Definitions {
    /// The names that other definitions of the group have.
    fn taken(&self, key: &RecordKey, definition: &Object) -> Taken {
        let group = definition.get_str(&["spec", "group"]).unwrap_or_default();
        let written = self.written.lock();
        let mut taken = Taken::default();
        for record in self.informer.store().list().iter().filter(|record| record.key != *key) {
            let other = record.object();
            if other.get_str(&["spec", "group"]) != Some(group) {
                continue;
            }
            match written.get(&record.key).filter(|(revision, _)| *revision > record.mod_revision) {
                Some((_, names)) => taken.add(names),
                None => taken.add(&Names::accepted(&other)),
            }
        }
        taken
    }

    /// Whether requests find it, in any version in which they may.
    async fn is_served(&self, definition: &Object) -> bool {
        let Some(resource) = plan::served(definition) else { return true };
        let one = ListParams { limit: Some(1), ..ListParams::default() };
        self.client.dynamic(&resource, None).list_records(&one).await.is_ok()
    }

    /// Writes the status. One that was changed or deleted in the meantime comes again by itself.
    async fn write(&self, key: &RecordKey, definition: &Object) -> Result<(), Error> {
        let api = self.client.dynamic(&definitions(), None);
        match api.update_status(&key.name, definition).await {
            Ok(written) => {
                let revision = written.resource_version().parse().unwrap_or_default();
                self.written.lock().insert(key.clone(), (revision, Names::accepted(&written)));
                // Names may have been let go.
                let group = definition.get_str(&["spec", "group"]);
                for other in self.informer.store().list() {
                    let object = other.object();
                    if other.key != *key
                        && object.get_str(&["spec", "group"]) == group
                        && !plan::is_true(&object, "NamesAccepted")
                    {
                        (self.again)(other.key.clone());
                    }
                }
                Ok(())
            }
            Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes the instances of a definition that is to go, and lets it go when there are none.
    async fn finalize(&self, key: &RecordKey, definition: Object) -> Result<Requeue, Error> {
        if !definition.finalizers().any(|one| one == FINALIZER) {
            return Ok(Requeue::Never);
        }
        let now = sampan_api::time::rfc3339(self.env.now());
        let mut next = definition.clone();
        if plan::is_true(&definition, "Established") {
            plan::set(&mut next, "Terminating", "True", "InstanceDeletionInProgress", plan::IN_PROGRESS, &now);
            if next != definition {
                // Nothing is created any more once this is seen.
                self.write(key, &next).await?;
                return Ok(Requeue::After(limits::DEFINITIONS_POLL));
            }
            match self.delete_instances(&definition).await {
                Ok(true) => {}
                Ok(false) => return Ok(Requeue::After(limits::INSTANCES_POLL)),
                Err(error) => {
                    let text = format!("could not issue all deletes: {error}");
                    plan::set(&mut next, "Terminating", "True", "InstanceDeletionFailed", &text, &now);
                    self.write(key, &next).await?;
                    return Err(error.into());
                }
            }
            plan::set(&mut next, "Terminating", "False", "InstanceDeletionCompleted", "removed all instances", &now);
        } else {
            plan::set(&mut next, "Terminating", "False", "NeverEstablished", "resource was never established", &now);
        }
        let kept: Vec<&str> = definition.finalizers().filter(|one| *one != FINALIZER).collect();
        let patch = json!({"metadata": {"finalizers": kept, "resourceVersion": definition.resource_version()}});
        let api = self.client.dynamic(&definitions(), None);
        match api.patch(&key.name, &Patch::Merge(patch)).await {
            Ok(_) => Ok(Requeue::Never),
            Err(error) if error.is_not_found() || error.is_conflict() => Ok(Requeue::Never),
            Err(error) => Err(error.into()),
        }
    }

    /// Asks for the deletion of all instances; whether there are none.
    async fn delete_instances(&self, definition: &Object) -> sampan_client::Result<bool> {
        let Some(resource) = plan::served(definition).or_else(|| plan::stored(definition)) else { return Ok(true) };
        let all = self.client.dynamic(&resource, None).list_all_records(&ListParams::default()).await?;
        let namespaces: BTreeSet<String> = all.items.iter().map(|record| record.key.namespace.to_string()).collect();
        for namespace in &namespaces {
            let of = Some(namespace.as_str()).filter(|namespace| !namespace.is_empty());
            let api = self.client.dynamic(&resource, of);
            api.delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
        }
        Ok(namespaces.is_empty())
    }
}
