//! Deletes what has lost every owner, and carries out foreground and orphaning deletions (pkg/controller/garbagecollector).
//!
//! Every resource that can be listed and deleted is watched, but for Events. The informers' records are the server's own
//! in one process, so a copy of everything costs pointers.

mod absent;
mod plan;
mod watcher;

use absent::{Absent, Reference};
use plan::waiting_for;
pub use plan::{Action, Dependent, OwnerState, plan};
use watcher::Watcher;

use crate::{Context, Error, limits};
use parking_lot::{Mutex, RwLock};
use sampan_api::k8s::api::core::v1::ObjectReference;
use sampan_api::object::OwnerReference;
use sampan_api::record::Deletion;
use sampan_api::{GroupVersionKind, GroupVersionResource, Object, Record, RecordKey, UserInfo};
use sampan_client::{Client, DeleteParams, EventRecorder, EventType, Informer, Patch, Propagation};
use sampan_env::Tasks;
use sampan_reconcile::{Reconcile, Requeue, Runtime};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

const BY_OWNER: &str = "owner";

/// One object of any resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObjectKey {
    resource: Arc<GroupVersionResource>,
    key: RecordKey,
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.resource.group_resource(), self.key)
    }
}

/// A resource under watch.
#[derive(Clone)]
struct Watched {
    resource: Arc<GroupVersionResource>,
    kind: String,
    namespaced: bool,
    informer: Informer,
}

/// Everything that is watched, and who is known to be gone.
#[derive(Default)]
struct Graph {
    watched: RwLock<BTreeMap<GroupVersionResource, Watched>>,
    absent: Mutex<Absent>,
}

impl Graph {
    /// The dependents of an object, and what each is to its deletion.
    fn dependents(&self, owner: &Record) -> Vec<(ObjectKey, Arc<Record>, Dependent)> {
        let waiting = match owner.deletion {
            // Only who has an owner can stand in a circle.
            Deletion::Foreground if !owner.owners.is_empty() => self.waiting_for(owner),
            _ => HashSet::new(),
        };
        let state = |one: &Record| {
            let blocks = one.owners.iter().any(|other| other.uid == *owner.uid && other.block_owner_deletion);
            match blocks {
                false => Dependent::Loose,
                true if waiting.contains(&one.uid) => Dependent::Circular,
                true => Dependent::Blocks,
            }
        };
        let found = self.of_owner(&owner.uid).into_iter();
        found.map(|(key, record)| (key, record.clone(), state(&record))).collect()
    }

    /// UIDs of what waits for the end of `start`, as [`plan::waiting_for`].
    fn waiting_for(&self, start: &Record) -> HashSet<Arc<str>> {
        let seen =
            RefCell::new(HashMap::from([(start.uid.clone(), (start.key.namespace.clone(), start.owners.clone()))]));
        waiting_for(&start.uid, |uid| {
            let Some((namespace, owners)) = seen.borrow().get(uid).cloned() else { return Vec::new() };
            let blocked = owners.iter().filter(|owner| owner.block_owner_deletion);
            let records = blocked.filter_map(|owner| self.owner(owner, &namespace));
            let waiting = records.filter(|record| record.deletion == Deletion::Foreground);
            waiting
                .map(|record| {
                    let entry = (record.key.namespace.clone(), record.owners.clone());
                    seen.borrow_mut().insert(record.uid.clone(), entry);
                    record.uid.clone()
                })
                .collect()
        })
    }

    /// The owner that a reference from this namespace names, where it is watched and has that UID.
    fn owner(&self, owner: &OwnerReference, namespace: &Arc<str>) -> Option<Arc<Record>> {
        let (_, record) = self.record(&self.owner_key(owner, namespace)?)?;
        (*record.uid == owner.uid).then_some(record)
    }

    fn of_owner(&self, uid: &str) -> Vec<(ObjectKey, Arc<Record>)> {
        let watched = self.watched.read();
        let found = watched.values().flat_map(|one| {
            let records = one.informer.store().by_index(BY_OWNER, uid);
            records
                .into_iter()
                .map(|record| (ObjectKey { resource: one.resource.clone(), key: record.key.clone() }, record))
        });
        found.collect()
    }

    fn record(&self, key: &ObjectKey) -> Option<(Watched, Arc<Record>)> {
        let watched = self.watched.read().get(&*key.resource)?.clone();
        let record = watched.informer.store().get(&key.key)?;
        Some((watched, record))
    }

    fn of_kind(&self, gvk: &GroupVersionKind) -> Option<Watched> {
        let watched = self.watched.read();
        watched.values().find(|one| one.kind == gvk.kind && one.resource.group == gvk.group).cloned()
    }

    /// Owners that no longer have to wait for the object that was `old`: their references are gone, or no longer block.
    fn unblocked(&self, old: &Record, new: &Record) -> Vec<ObjectKey> {
        let still =
            |owner: &OwnerReference| new.owners.iter().any(|one| one.uid == owner.uid && one.block_owner_deletion);
        let freed = old.owners.iter().filter(|owner| owner.block_owner_deletion && !still(owner));
        freed.filter_map(|owner| self.owner_key(owner, &old.key.namespace)).collect()
    }
}

struct Collector {
    graph: Arc<Graph>,
    client: Client,
    events: EventRecorder,
}

pub(crate) fn start(context: &Context) -> Result<(), Error> {
    let user = UserInfo::service_account("kube-system", "generic-garbage-collector");
    let client = context.client(user, "generic-garbage-collector")?;
    let events = context.recorder(&client, "garbage-collector-controller");
    let runtime: Runtime<ObjectKey> = Runtime::new("garbage", &context.config.env, &context.config.tasks);
    let graph = Arc::new(Graph::default());
    let watcher = Watcher {
        graph: graph.clone(),
        client: client.clone(),
        queue: runtime.queue().clone(),
        informers: context.informers.clone(),
        env: context.config.env.clone(),
    };
    let tasks: &Tasks = &context.config.tasks;
    let start = move || runtime.start(Collector { graph, client, events }, limits::GARBAGE_WORKERS);
    tasks.spawn_until_cancelled(watcher.run(start));
    Ok(())
}

impl Graph {
    fn owner_key(&self, owner: &OwnerReference, namespace: &Arc<str>) -> Option<ObjectKey> {
        let gvk = GroupVersionKind::parse(&owner.api_version, &owner.kind)?;
        let watched = self.of_kind(&gvk)?;
        let namespace: Arc<str> = if watched.namespaced { namespace.clone() } else { "".into() };
        Some(ObjectKey { resource: watched.resource, key: RecordKey::new(namespace, owner.name.as_str()) })
    }
}

impl Graph {
    /// Whether another namespace has the owner that was looked for: nobody is owned across namespaces.
    fn is_elsewhere(&self, watched: &Watched, owner: &OwnerReference) -> bool {
        let Some(namespaces) = self.of_kind(&GroupVersionKind::new("", "v1", "Namespace")) else { return false };
        let store = watched.informer.store();
        let in_namespace = |name: &Arc<str>| store.get(&RecordKey::new(name.clone(), owner.name.as_str()));
        let all = namespaces.informer.store().list();
        watched.namespaced && all.iter().filter_map(|one| in_namespace(&one.key.name)).any(|one| *one.uid == owner.uid)
    }
}

impl Reconcile<ObjectKey> for Collector {
    async fn reconcile(&self, key: &ObjectKey) -> Result<Requeue, Error> {
        let Some((watched, record)) = self.graph.record(key) else { return Ok(Requeue::Never) };
        let object = record.object();
        let mut owners = Vec::new();
        if object.deletion_timestamp().is_none() {
            for owner in record.owners.iter() {
                owners.push((owner.clone(), self.state_of(owner, &record).await?));
            }
        }
        let dependents = self.graph.dependents(&record);
        let states: Vec<Dependent> = dependents.iter().map(|(_, _, state)| *state).collect();
        for action in plan(&object, &owners, &states) {
            self.apply(&watched, &record, &dependents, action).await?;
        }
        Ok(Requeue::Never)
    }
}

impl Collector {
    fn tell_of_wrong_namespace(&self, owner: &OwnerReference, dependent: &Record) {
        let (namespace, object) = (&*dependent.key.namespace, dependent.object());
        let about = ObjectReference {
            api_version: Some(object.api_version().to_owned()),
            kind: Some(object.kind().to_owned()),
            name: Some(dependent.key.name.to_string()),
            namespace: Some(namespace.to_owned()),
            uid: Some(dependent.uid.to_string()),
            ..ObjectReference::default()
        };
        let OwnerReference { api_version, kind, name, uid, .. } = owner;
        let named = format!("[{api_version}/{kind}, namespace: {namespace}, name: {name}, uid: {uid}]");
        let text = format!("ownerRef {named} does not exist in namespace {namespace:?}");
        self.events.event(about, EventType::Warning, "OwnerRefInvalidNamespace", text);
    }

    fn api(&self, resource: &GroupVersionResource, namespaced: bool, namespace: &str) -> sampan_client::Api<Object> {
        self.client.dynamic(resource, namespaced.then_some(namespace))
    }

    /// The owner's state by the local copies and, where they know nothing of it, by the server. What anyone can write
    /// into a reference proves nothing of the owner's UID: only this very reference, from this namespace, is known to
    /// be absent.
    async fn state_of(&self, owner: &OwnerReference, dependent: &Record) -> Result<OwnerState, Error> {
        let watched = GroupVersionKind::parse(&owner.api_version, &owner.kind).and_then(|gvk| self.graph.of_kind(&gvk));
        let namespace = match &watched {
            Some(watched) if !watched.namespaced => "",
            _ => &*dependent.key.namespace,
        };
        let found = watched.as_ref().and_then(|watched| {
            let found = watched.informer.store().get(&RecordKey::new(namespace, owner.name.as_str()));
            found.filter(|record| *record.uid == owner.uid)
        });
        if found.is_none() && self.graph.absent.lock().was_deleted(&owner.uid) {
            return Ok(OwnerState::Absent);
        }
        let Some(watched) = watched else {
            tracing::debug!(kind = owner.kind, key = %dependent.key, "an owner of a kind that is not served");
            return Ok(OwnerState::Unknown);
        };
        if watched.namespaced && namespace.is_empty() {
            // A cluster-scoped object cannot be owned by a namespaced one: nobody can say which it means.
            return Ok(OwnerState::Unknown);
        }
        let deletion = match found {
            Some(record) => record.deletion,
            None => {
                let reference = Reference::new(owner, namespace);
                if self.graph.absent.lock().has(&reference) {
                    return Ok(OwnerState::Absent);
                }
                match self.api(&watched.resource, watched.namespaced, namespace).get_opt(&owner.name).await? {
                    Some(object) if object.uid() == owner.uid => {
                        Deletion::of(object.deletion_timestamp().is_some(), object.finalizers())
                    }
                    _ => {
                        if self.graph.is_elsewhere(&watched, owner) {
                            self.tell_of_wrong_namespace(owner, dependent);
                        }
                        self.graph.absent.lock().note(reference);
                        return Ok(OwnerState::Absent);
                    }
                }
            }
        };
        Ok(match deletion {
            Deletion::Foreground => OwnerState::WaitsForDependents,
            Deletion::None | Deletion::Pending => OwnerState::Solid,
        })
    }

    async fn apply(
        &self,
        watched: &Watched,
        record: &Record,
        dependents: &[(ObjectKey, Arc<Record>, Dependent)],
        action: Action,
    ) -> Result<(), Error> {
        let api = self.api(&watched.resource, watched.namespaced, &record.key.namespace);
        let name = &*record.key.name;
        let outcome = match action {
            Action::Delete(propagation) => api.delete(name, &as_seen(record, propagation)).await.map(drop),
            Action::DropOwners(uids) => api.patch(name, &drop_owners(record, &uids)).await.map(drop),
            Action::RemoveFinalizer(finalizer) => {
                let left: Vec<Value> =
                    record.object().finalizers().filter(|one| *one != finalizer).map(Value::from).collect();
                let patch = json!({"metadata": {"uid": &*record.uid,
                    "resourceVersion": record.mod_revision.to_string(), "finalizers": left}});
                api.patch(name, &Patch::Merge(patch)).await.map(drop)
            }
            Action::OrphanDependents => {
                for (key, dependent, _) in dependents {
                    let namespace = &*dependent.key.namespace;
                    let api = self.api(&key.resource, !namespace.is_empty(), namespace);
                    let patch = drop_owners(dependent, &[record.uid.to_string()]);
                    match api.patch(&dependent.key.name, &patch).await {
                        Err(error) if !error.is_not_found() => return Err(Error::of(format!("orphan {key}"))(error)),
                        _ => {}
                    }
                }
                Ok(())
            }
            Action::DeleteDependents => {
                for (key, dependent, _) in dependents {
                    self.let_go(key, dependent, record).await?;
                }
                Ok(())
            }
            Action::UnblockDependents => {
                for (key, dependent, _) in dependents.iter().filter(|(_, _, state)| *state == Dependent::Circular) {
                    tracing::debug!(%key, owner = %record.key, "owner and dependent wait for each other: unblocked");
                    let api = self.api(&key.resource, !dependent.key.namespace.is_empty(), &dependent.key.namespace);
                    match api.patch(&dependent.key.name, &unblock(dependent, &record.uid)).await {
                        Err(error) if !error.is_not_found() => return Err(Error::of(format!("unblock {key}"))(error)),
                        _ => {}
                    }
                }
                Ok(())
            }
        };
        match outcome {
            // Gone, or another of the same name: nothing is left to do.
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(Error::of(format!("{} {}", watched.resource.group_resource(), record.key))(error)),
            Ok(()) => Ok(()),
        }
    }

    /// Deletes what no other owner keeps; what one keeps no longer holds up the deletion of this one.
    async fn let_go(&self, key: &ObjectKey, dependent: &Record, owner: &Record) -> Result<(), Error> {
        let namespace = &*dependent.key.namespace;
        let api = self.api(&key.resource, !namespace.is_empty(), namespace);
        let outcome = if dependent.deletion.is_pending() {
            Ok(())
        } else if self.waits_only_for(dependent, owner).await? {
            let has_own = !self.graph.of_owner(&dependent.uid).is_empty();
            let propagation = if has_own { Propagation::Foreground } else { Propagation::Background };
            api.delete(&dependent.key.name, &as_seen(dependent, propagation)).await.map(drop)
        } else {
            api.patch(&dependent.key.name, &drop_owners(dependent, &[owner.uid.to_string()])).await.map(drop)
        };
        match outcome {
            Err(error) if !error.is_not_found() => Err(Error::of(format!("let go of {key}"))(error)),
            _ => Ok(()),
        }
    }

    /// Whether no other owner keeps the dependent.
    async fn waits_only_for(&self, dependent: &Record, owner: &Record) -> Result<bool, Error> {
        for other in dependent.owners.iter().filter(|other| other.uid != *owner.uid) {
            if matches!(self.state_of(other, dependent).await?, OwnerState::Solid | OwnerState::Unknown) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Deletes the object only if it is still as the copy has it: one that was orphaned a moment ago has another owner list
/// by now, and the copies of different resources do not move together. A conflict is tried again on a newer copy.
fn as_seen(record: &Record, propagation: Propagation) -> DeleteParams {
    DeleteParams {
        propagation: Some(propagation),
        resource_version: Some(record.mod_revision.to_string()),
        ..DeleteParams::uid(&*record.uid)
    }
}

/// A merge patch in which the references to this owner no longer block its deletion.
fn unblock(record: &Record, owner: &str) -> Patch {
    let object = record.object();
    let mut owners = object.metadata().get("ownerReferences").and_then(Value::as_array).cloned().unwrap_or_default();
    for reference in owners.iter_mut().filter(|reference| reference["uid"].as_str() == Some(owner)) {
        reference["blockOwnerDeletion"] = false.into();
    }
    Patch::Merge(json!({"metadata": {"uid": &*record.uid, "resourceVersion": record.mod_revision.to_string(),
        "ownerReferences": owners}}))
}

/// A merge patch with the owners that stay: it works on every resource, custom ones included. The version makes it fail
/// when somebody else changed the list.
fn drop_owners(record: &Record, uids: &[String]) -> Patch {
    let object = record.object();
    let owners = object.metadata().get("ownerReferences").and_then(Value::as_array).cloned().unwrap_or_default();
    let left: Vec<Value> =
        owners.into_iter().filter(|owner| !uids.iter().any(|uid| owner["uid"].as_str() == Some(uid))).collect();
    Patch::Merge(json!({"metadata": {"uid": &*record.uid, "resourceVersion": record.mod_revision.to_string(),
        "ownerReferences": left}}))
}
