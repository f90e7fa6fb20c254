//! The writes of slices, and the wait until they are seen: shared by those who keep slices.

use super::plan::{Changes, MANAGED_BY, SERVICE_NAME};
use crate::service::TRIGGER_TIME;
use crate::{Context, Error, owner};
use sampan_api::k8s::api::discovery::v1::EndpointSlice;
use sampan_api::k8s::apimachinery::pkg::apis::meta::v1::Time;
use sampan_api::{Record, RecordKey};
use sampan_client::{Change, Client, DeleteParams, Informer, Lister};
use sampan_reconcile::{Expectations, Runtime, Unsent};
use std::sync::Arc;

/// Index of an informer: slices by namespace, manager and Service.
const BY_SERVICE: &str = "service";

fn index_value(namespace: &str, manager: &str, service: &str) -> String {
    format!("{namespace}/{manager}/{service}")
}

/// The slices of one manager: what there are, and writes to them.
pub(crate) struct Slices {
    manager: &'static str,
    slices: Lister<EndpointSlice>,
    client: Client,
    expectations: Arc<Expectations>,
}

impl Slices {
    /// Wakes the runtime's keys (the Service's namespace and name) when slices of this manager change.
    pub(crate) fn new(
        context: &Context,
        client: Client,
        runtime: &mut Runtime,
        manager: &'static str,
    ) -> Result<Self, Error> {
        let informer: Informer = context.informers.of::<EndpointSlice>()?;
        informer.add_index(BY_SERVICE, |record| {
            let (manager, service) = (record.labels.get(MANAGED_BY), record.labels.get(SERVICE_NAME));
            let both = manager.zip(service);
            both.map(|(manager, service)| index_value(&record.key.namespace, manager, service)).into_iter().collect()
        });
        let expectations = Arc::new(Expectations::new(&context.config.env));
        let (seen, queue) = (expectations.clone(), runtime.queue().clone());
        let key_of = move |record: &Record| {
            let mine = record.labels.get(MANAGED_BY).is_some_and(|one| one == manager);
            let service = record.labels.get(SERVICE_NAME).filter(|_| mine)?;
            Some(RecordKey::new(record.key.namespace.clone(), service.as_str()))
        };
        informer.add_handler(move |change| match change {
            Change::Applied { old, new } => {
                if let Some(key) = key_of(new).filter(|_| old.is_none()) {
                    seen.created(&key);
                }
                let before = old.as_deref().and_then(&key_of);
                before.into_iter().chain(key_of(new)).for_each(|key| queue.add(key));
            }
            Change::Deleted { last } => {
                if let Some(key) = key_of(last) {
                    seen.deleted(&key, &last.uid);
                    queue.add(key);
                }
            }
            Change::Synced | Change::Lost => {}
        });
        runtime.read(&informer);
        Ok(Self { manager, slices: informer.lister(), client, expectations })
    }

    /// The Service's slices, without those that are being deleted; `None`: writes to them have not been seen yet, and the
    /// key comes again when they are.
    pub(crate) fn of(&self, key: &RecordKey) -> Option<Vec<Arc<EndpointSlice>>> {
        let seen = self.expectations.satisfied(key);
        let all = self.slices.by_index(BY_SERVICE, &index_value(&key.namespace, self.manager, &key.name));
        seen.then(|| all.into_iter().filter(|slice| !owner::is_being_deleted(&slice.metadata)).collect())
    }

    /// Nothing is expected of the Service any more.
    pub(crate) fn forget(&self, key: &RecordKey) {
        self.expectations.forget(key);
    }

    /// Makes the changes; `changed`: the time of what they follow, written beside them where the manager says it.
    ///
    /// # Errors
    /// The first write that failed; the others were tried.
    pub(crate) async fn apply(
        &self,
        key: &RecordKey,
        changes: Changes,
        changed: Option<Option<&Time>>,
    ) -> Result<(), Error> {
        let api = self.client.namespaced::<EndpointSlice>(&key.namespace);
        let uids = changes.delete.iter().map(|slice| owner::uid(&slice.metadata).to_owned());
        self.expectations.expect(key, changes.create.len(), uids);
        let mut unsent = Unsent::new(&self.expectations, key, changes.create.len());
        let mut first_error = None;
        for mut slice in changes.create {
            mark(&mut slice, changed);
            unsent.sent(1);
            if let Err(error) = api.create(&slice).await {
                self.expectations.created(key);
                // It can only succeed when the namespace is gone, and the Service with it.
                if !error.is_namespace_terminating() {
                    first_error.get_or_insert(Error::of(format!("create an EndpointSlice of {key}"))(error));
                }
                break;
            }
        }
        for mut slice in changes.update {
            mark(&mut slice, changed);
            let name = owner::name(&slice.metadata).to_owned();
            if let Err(error) = api.update(&name, &slice).await {
                first_error.get_or_insert(Error::of(format!("update EndpointSlice {name} of {key}"))(error));
            }
        }
        for slice in changes.delete {
            let (name, uid) = (owner::name(&slice.metadata), owner::uid(&slice.metadata));
            if let Err(error) = api.delete(name, &DeleteParams::uid(uid)).await {
                self.expectations.deleted(key, uid);
                if !error.is_not_found() {
                    first_error.get_or_insert(Error::of(format!("delete EndpointSlice {name} of {key}"))(error));
                }
            }
        }
        first_error.map_or(Ok(()), Err)
    }
}

fn mark(slice: &mut EndpointSlice, changed: Option<Option<&Time>>) {
    let Some(changed) = changed else { return };
    let annotations = slice.metadata.annotations.get_or_insert_default();
    match changed {
        Some(time) => drop(annotations.insert(TRIGGER_TIME.into(), time.0.to_string())),
        None => drop(annotations.remove(TRIGGER_TIME)),
    }
}
