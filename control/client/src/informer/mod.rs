//! Informers (client-go's shared informers): a local copy of one resource, kept by one watch, read by many.

mod reflector;
mod store;
mod subscription;

pub use store::{Lister, Store, by_controller_uid, by_field, by_owner_uid};
pub use subscription::Subscription;

use crate::client::Client;
use crate::error::Error;
use crate::{Result, limits};
use parking_lot::Mutex;
use sampan_api::k8s::Resource;
use sampan_api::{GroupVersionResource, Record};
use sampan_env::{CancellationToken, Env, Tasks};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use store::IndexFn;
use tokio::sync::watch;

/// The objects that one informer watches.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InformerSpec {
    pub resource: GroupVersionResource,
    /// `None`: all, or cluster-scoped.
    pub namespace: Option<String>,
    pub label_selector: Option<String>,
    pub field_selector: Option<String>,
}

impl InformerSpec {
    pub fn of<K: Resource>() -> Self {
        Self::dynamic(GroupVersionResource::new(K::GROUP, K::VERSION, K::URL_PATH_SEGMENT))
    }

    pub fn dynamic(resource: GroupVersionResource) -> Self {
        Self { resource, namespace: None, label_selector: None, field_selector: None }
    }

    pub fn namespace(self, namespace: impl Into<String>) -> Self {
        Self { namespace: Some(namespace.into()), ..self }
    }

    pub fn labels(self, selector: impl Into<String>) -> Self {
        Self { label_selector: Some(selector.into()), ..self }
    }

    pub fn fields(self, selector: impl Into<String>) -> Self {
        Self { field_selector: Some(selector.into()), ..self }
    }
}

/// A change of the local copy.
#[derive(Clone, Debug)]
pub enum Change {
    Applied {
        /// The object before the change; `None` for a new object, and in a replay.
        old: Option<Arc<Record>>,
        new: Arc<Record>,
    },
    /// The last state; its revision is the deletion's, unless the deletion was missed and found by listing again.
    Deleted { last: Arc<Record> },
    /// The copy is complete for the first time (for a new handler: the replay is).
    Synced,
    /// A subscriber fell behind and changes were dropped: forget everything, the state follows anew.
    Lost,
}

pub type Handler = Arc<dyn Fn(&Change) + Send + Sync>;

/// Informers of one identity, each made when first asked for and shared by all who ask for the same.
#[derive(Clone)]
pub struct Informers {
    shared: Arc<Factory>,
}

struct Factory {
    client: Client,
    env: Env,
    tasks: Tasks,
    informers: Mutex<HashMap<InformerSpec, Informer>>,
}

impl Informers {
    pub fn new(client: Client, env: &Env, tasks: &Tasks) -> Self {
        let informers = Mutex::new(HashMap::new());
        Self { shared: Arc::new(Factory { client, env: env.clone(), tasks: tasks.clone(), informers }) }
    }

    /// # Errors
    /// `Config` when the factory has [`limits::INFORMERS_MAX`] informers.
    pub fn of<K: Resource>(&self) -> Result<Informer> {
        self.select(InformerSpec::of::<K>())
    }

    /// # Errors
    /// `Config` when the factory has [`limits::INFORMERS_MAX`] informers.
    pub fn select(&self, spec: InformerSpec) -> Result<Informer> {
        let mut informers = self.shared.informers.lock();
        if let Some(informer) = informers.get(&spec) {
            return Ok(informer.clone());
        }
        if informers.len() >= limits::INFORMERS_MAX {
            return Err(Error::Config(format!("more than {} informers of one client", limits::INFORMERS_MAX)));
        }
        let informer = Informer::start(&self.shared.client, spec.clone(), &self.shared.env, &self.shared.tasks);
        informers.insert(spec, informer.clone());
        Ok(informer)
    }

    /// Ends the informers of resources that are served no more: those of which `gone` says so, and the server said it when
    /// it was last asked. Their copies are empty then. Who asks for one of them again gets a new one.
    pub fn retire(&self, gone: impl Fn(&GroupVersionResource) -> bool) {
        let retired: Vec<Informer> = {
            let mut informers = self.shared.informers.lock();
            let of_gone =
                informers.extract_if(|spec, one| one.shared.refused.load(Ordering::Acquire) && gone(&spec.resource));
            of_gone.map(|(_, informer)| informer).collect()
        };
        for informer in retired {
            informer.shared.end();
        }
    }

    /// Waits until every informer made so far is complete.
    ///
    /// # Errors
    /// `Closed` when the tasks are drained before.
    pub async fn wait_synced(&self) -> Result<()> {
        let informers: Vec<Informer> = self.shared.informers.lock().values().cloned().collect();
        for informer in informers {
            informer.wait_synced().await?;
        }
        Ok(())
    }
}

/// A local copy of what one spec selects. Cheap to clone.
#[derive(Clone)]
pub struct Informer {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    spec: InformerSpec,
    store: Arc<Store>,
    /// Held while a change is made and told: who is added sees each change once, in the replay or after it.
    handlers: Mutex<Vec<Handler>>,
    synced: watch::Sender<bool>,
    revision: AtomicU64,
    /// The server said at the last try that there is no such resource.
    refused: AtomicBool,
    closed: CancellationToken,
}

impl Informer {
    fn start(client: &Client, spec: InformerSpec, env: &Env, tasks: &Tasks) -> Self {
        let shared = Arc::new(Shared {
            spec,
            store: Arc::default(),
            handlers: Mutex::default(),
            synced: watch::Sender::new(false),
            revision: AtomicU64::new(0),
            refused: AtomicBool::new(false),
            closed: tasks.token().child_token(),
        });
        let (closed, follow) = (shared.closed.clone(), reflector::run(client.clone(), shared.clone(), env.clone()));
        tasks.spawn_until_cancelled(async move {
            closed.run_until_cancelled(follow).await;
        });
        Self { shared }
    }

    pub fn spec(&self) -> &InformerSpec {
        &self.shared.spec
    }

    pub fn store(&self) -> &Arc<Store> {
        &self.shared.store
    }

    /// The copy, read as `K`.
    pub fn lister<K>(&self) -> Lister<K> {
        Lister::new(self.shared.store.clone())
    }

    /// Keeps an index from now on. An index of that name that exists is kept as it is.
    pub fn add_index(&self, name: &'static str, values: impl Fn(&Record) -> Vec<String> + Send + Sync + 'static) {
        let values: IndexFn = Arc::new(values);
        self.shared.store.add_index(name, values);
    }

    /// Calls `handler` for each change, in order, after the copy has it. First the present state is replayed. It must be
    /// quick and must not add handlers: everything else about this informer waits for it.
    pub fn add_handler(&self, handler: impl Fn(&Change) + Send + Sync + 'static) {
        let handler: Handler = Arc::new(handler);
        let mut handlers = self.shared.handlers.lock();
        self.shared.replay(&*handler);
        handlers.push(handler);
    }

    /// The changes as a queue of [`limits::SUBSCRIPTION_BUFFER`]: a reader that falls behind is told `Lost` and given
    /// the state anew.
    pub fn subscribe(&self) -> Subscription {
        Subscription::new(self.clone())
    }

    pub fn is_synced(&self) -> bool {
        *self.shared.synced.borrow()
    }

    /// Whether it has ended: with its tasks, or because what it watched is served no more.
    pub fn is_closed(&self) -> bool {
        self.shared.closed.is_cancelled()
    }

    /// Waits until the copy is complete.
    ///
    /// # Errors
    /// `Closed` when the informer's task has ended before.
    pub async fn wait_synced(&self) -> Result<()> {
        let mut synced = self.shared.synced.subscribe();
        tokio::select! {
            biased;
            done = synced.wait_for(|synced| *synced) => done.map(drop).map_err(|_| Error::Closed),
            () = self.shared.closed.cancelled() => Err(Error::Closed),
        }
    }

    /// The revision that the copy has reached, bookmarks included; 0 before it is complete.
    pub fn revision(&self) -> u64 {
        self.shared.revision.load(Ordering::Acquire)
    }
}

impl Shared {
    /// Tells `handler` the state as it is. The caller holds the lock of the handlers.
    fn replay(&self, handler: &dyn Fn(&Change)) {
        for new in self.store.list() {
            handler(&Change::Applied { old: None, new });
        }
        if *self.synced.borrow() {
            handler(&Change::Synced);
        }
    }

    fn apply(&self, record: Arc<Record>) {
        let handlers = self.handlers.lock();
        self.revision.fetch_max(record.mod_revision, Ordering::AcqRel);
        // A watch that resumes may tell again what a list has told.
        if self
            .store
            .get(&record.key)
            .is_some_and(|old| old.uid == record.uid && old.mod_revision >= record.mod_revision)
        {
            return;
        }
        let old = self.store.insert(record.clone());
        tell(&handlers, &Change::Applied { old, new: record });
    }

    fn delete(&self, record: Arc<Record>) {
        let handlers = self.handlers.lock();
        self.revision.fetch_max(record.mod_revision, Ordering::AcqRel);
        if self.store.remove(&record.key).is_some() {
            tell(&handlers, &Change::Deleted { last: record });
        }
    }

    /// The whole state as of `revision`: what differs is told as changes.
    fn replace(&self, records: Vec<Arc<Record>>, revision: u64) {
        let handlers = self.handlers.lock();
        let keep: std::collections::HashSet<&sampan_api::RecordKey> = records.iter().map(|one| &one.key).collect();
        for last in self.store.list() {
            if !keep.contains(&last.key) {
                self.store.remove(&last.key);
                tell(&handlers, &Change::Deleted { last });
            }
        }
        drop(keep);
        for new in records {
            if self.store.get(&new.key).is_some_and(|old| old.mod_revision == new.mod_revision && old.uid == new.uid) {
                continue;
            }
            let old = self.store.insert(new.clone());
            tell(&handlers, &Change::Applied { old, new });
        }
        self.revision.store(revision, Ordering::Release);
        if !self.synced.send_replace(true) {
            tell(&handlers, &Change::Synced);
        }
    }

    /// Nothing is followed, held or told any more.
    fn end(&self) {
        self.closed.cancel();
        let mut handlers = self.handlers.lock();
        for last in self.store.list() {
            self.store.remove(&last.key);
            tell(&handlers, &Change::Deleted { last });
        }
        handlers.clear();
    }

    fn reached(&self, revision: u64) {
        self.revision.fetch_max(revision, Ordering::AcqRel);
    }
}

fn tell(handlers: &[Handler], change: &Change) {
    for handler in handlers {
        handler(change);
    }
}

#[cfg(test)]
mod tests;
